"""Blocks of coded runs: writing, reading and merging them. How a run is coded, the modules beside say."""

from istat.kernels.native.blocks.coding import ID_BITS, Block, BlockReader, BlockWriter
from istat.kernels.native.blocks.merging import derive_runs, merge_runs

__all__ = ["ID_BITS", "Block", "BlockReader", "BlockWriter", "derive_runs", "merge_runs"]
