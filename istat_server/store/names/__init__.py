"""The counters: their names and how they are found, deleted, renamed and forgotten."""
