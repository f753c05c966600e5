"""Sketches of other libraries as ours, and ours as theirs: HdrHistogram, DDSketch, DataSketches' HLL."""

from istat.cube.interchange.datasketches import from_datasketches, to_datasketches
from istat.cube.interchange.ddsketch import from_ddsketch
from istat.cube.interchange.hdr import from_hdr, to_hdr
from istat.cube.interchange.imported import Imported

__all__ = ["Imported", "from_datasketches", "from_ddsketch", "from_hdr", "to_datasketches", "to_hdr"]
