"""Instances as bytes, and back. docs/formats/cube.md has the format."""

from istat.cube.frames.frame import Incoming, write
from istat.cube.frames.meta import Meta

__all__ = ["Incoming", "Meta", "write"]
