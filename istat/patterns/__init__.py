"""Name patterns: globs and regular expressions, as automata that take a time no longer than the name."""
