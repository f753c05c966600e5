"""Search over a name table: patterns, segments and the questions that are answered with them."""

from istat.kernels.python.search.labels import children
from istat.kernels.python.search.patterns import Pattern
from istat.kernels.python.search.questions import find, find_words, work
from istat.kernels.python.search.segments import Segment, build, merge

__all__ = ["Pattern", "Segment", "build", "children", "find", "find_words", "merge", "work"]
