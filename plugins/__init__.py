"""The built-in collectors, a folder for each; installed as `istat_plugins`. They import `istat` only."""

ISTAT_BUILT_IN = True  # tells the agent that this is the package it looks for, whatever name it has here
