"""Questions about buckets: which level, which grid, reduction, name patterns. Knows buckets, not HTTP."""
