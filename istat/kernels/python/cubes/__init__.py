"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""
