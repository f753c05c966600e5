"""Who may get at a file, by which name: what daemons and commands look at before they open it."""
