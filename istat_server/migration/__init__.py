"""`istat migrate`: what an istatd of before was and kept, as ours: settings, counters, namespaces."""
