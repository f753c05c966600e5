"""Cubes of programs with threads, and of several processes. `Easy` counts, `Collector` adds up, sinks take frames."""

from istat.cube.easy.collector import Collector
from istat.cube.easy.easy import Easy
from istat.cube.easy.handles import EasyCounter, EasyCube, EasyGauge, EasyHistogram, EasyHll
from istat.cube.easy.sinks import FolderSink, LinesSink

__all__ = ["Collector", "Easy", "EasyCounter", "EasyCube", "EasyGauge", "EasyHistogram", "EasyHll", "FolderSink",
           "LinesSink"]  # fmt: skip
