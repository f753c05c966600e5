"""The built-in collectors, a folder for each; installed as `istat_plugins`. They import nothing of ours but `istat`."""

ISTAT_BUILT_IN = True  # tells the agent that this is the package it looks for, whatever name it has here
