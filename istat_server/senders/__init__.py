"""Who sends, one by one (`sender`), and from whom nothing is taken (`blacklist`). The list of them is the roster."""
