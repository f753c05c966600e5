"""How files and folders of a store are made, opened and brought safely to the disk: as all of ours (istat/access).

Knows no format.
"""
from __future__ import annotations

from istat.access.ondisk import at_once, make_folder, plain, private, sync_folder

__all__ = ["NAMESPACES", "at_once", "make_folder", "plain", "private", "sync_folder"]

# The folder in a store's that is not the store's: namespaces lie there (istat_server/keyvalue).
NAMESPACES = "settings"
