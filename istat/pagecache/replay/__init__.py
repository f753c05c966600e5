"""Page logs: written, generated from layouts, recorded from programs, read; and replayed in caches of a policy and a
size. Knows no formulas and no command line."""
