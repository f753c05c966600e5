"""Search over a name table: patterns, segments and the questions that are answered with them."""

from istat.kernels.native.search.labels import children
from istat.kernels.native.search.patterns import Pattern
from istat.kernels.native.search.questions import find, find_words, work
from istat.kernels.native.search.segments import Segment, build, merge

__all__ = ["Pattern", "Segment", "build", "children", "find", "find_words", "merge", "work"]
