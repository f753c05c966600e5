"""Replay of references to pages in caches of a size and a policy. caches.py says what all policies have in common."""

from istat.kernels.native.replay.caches import MOST_FRAMES, MOST_PAGES, MOST_REFERENCES
from istat.kernels.native.replay.counting import counts, histogram
from istat.kernels.native.replay.ghosts import Arc, S3Fifo, TwoQueues
from istat.kernels.native.replay.imitations import Generations, TwoLists
from istat.kernels.native.replay.optimal import Opt
from istat.kernels.native.replay.queues import Clock, Fifo, Lru
from istat.kernels.native.replay.recency import Lirs
from istat.kernels.native.replay.stack import depths

__all__ = ["MOST_FRAMES", "MOST_PAGES", "MOST_REFERENCES", "Arc", "Clock", "Fifo", "Generations", "Lirs", "Lru", "Opt",
           "S3Fifo", "TwoLists", "TwoQueues", "counts", "depths", "histogram"]
