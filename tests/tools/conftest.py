"""Tests of the tools use the writers that lie beside the tests of foreign files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "foreign"))
sys.path.insert(0, str(Path(__file__).parent))
