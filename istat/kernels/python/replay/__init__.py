"""Replay of references to pages in caches of a size and a policy. caches.py says what all policies have in common."""

from istat.kernels.python.replay.caches import MOST_FRAMES, MOST_PAGES, MOST_REFERENCES
from istat.kernels.python.replay.counting import counts, histogram
from istat.kernels.python.replay.ghosts import Arc, S3Fifo, TwoQueues
from istat.kernels.python.replay.imitations import Generations, TwoLists
from istat.kernels.python.replay.optimal import Opt
from istat.kernels.python.replay.queues import Clock, Fifo, Lru
from istat.kernels.python.replay.recency import Lirs
from istat.kernels.python.replay.stack import depths

__all__ = ["MOST_FRAMES", "MOST_PAGES", "MOST_REFERENCES", "Arc", "Clock", "Fifo", "Generations", "Lirs", "Lru", "Opt",
           "S3Fifo", "TwoLists", "TwoQueues", "counts", "depths", "histogram"]
