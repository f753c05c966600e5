
from istat.cube.easy.collector import Collector
from istat.cube.easy.easy import Easy
from istat.cube.easy.handles import EasyCounter, EasyCube, EasyGauge, EasyHistogram, EasyHll

__all__ = [
    "Collector", "Easy", "EasyCounter", "EasyCube", "EasyGauge", "EasyHistogram", "EasyHll", "FolderSink", "LinesSink",
]  # fmt: skip
