"""What a cache of a given size costs, by formula: page faults of files that are rings, and how many such files fit.

After Plonka, Gupta and Carder, "Application Buffer-Cache Management for Performance" (LISA 2007). `paper`, `bound` and
`recency` are three models of one question; `rates` has them by name. A fault is one page read. Knows layouts of files;
no logs, no kernel.
"""
