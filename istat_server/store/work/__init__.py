"""The work that brings rows to rest: heads to files, files to windows and coarser levels, old files away."""
