"""What a cube holds as bytes, and back. docs/formats/cube.md has the format."""

from istat.kernels.native.cubes.wire.cells import get_cells, put_cells
from istat.kernels.native.cubes.wire.sketches import get_sketch, put_sketch, sketch_options
from istat.kernels.native.cubes.wire.totals import get_totals, put_totals

__all__ = ["get_cells", "get_sketch", "get_totals", "put_cells", "put_sketch", "put_totals", "sketch_options"]
