"""The rows of `bench.cube`: cubes, sketches and exporters beside the libraries that others take for them."""
