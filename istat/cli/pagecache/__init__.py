"""`istat fincore`, `fadvise`, `pagetrace`, `cachesim`, `cacheplan`: a module for each, loaded when it is asked for
(entry points in pyproject.toml)."""
