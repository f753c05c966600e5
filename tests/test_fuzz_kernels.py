"""The targets of the fuzz run hold: a smoke run without AddressSanitizer."""
from __future__ import annotations

import pytest

from istat.kernels import IMPLEMENTATION, native_missing
from tests import fuzz_cubes, fuzz_kernels, fuzz_replay

SECONDS = 2.0


@pytest.mark.skipif(bool(native_missing()), reason="the native kernels are not built")
def test_damaged_bytes_are_refused_and_sound_ones_read() -> None:
    reached = fuzz_kernels.run(SECONDS, seed=1)
    for what in ("samples", "rows taken", "marks", "followed", "positions", "replay", "replay refused", "read",
                 "read refused", "merge_runs", "derive_runs", "rows", "rings"):
        assert reached[what] > 10, what


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="the native kernels are not built, or not chosen")
def test_damaged_frames_are_refused_and_sound_ones_good_for_all() -> None:
    reached = fuzz_kernels.run(2 * SECONDS, seed=1, targets=fuzz_cubes.TARGETS)
    for what in ("frame refused", "payload", "payload refused", "merge", "datasketches refused", "hdr refused",
                 "encoded", "decoded refused", "rows", "update", "update refused"):
        assert reached[what] > 3, what


@pytest.mark.skipif(bool(native_missing()), reason="the native kernels are not built")
def test_hostile_references_are_refused_and_sound_ones_replayed() -> None:
    reached = fuzz_kernels.run(SECONDS, seed=1, targets=fuzz_replay.TARGETS)
    for what in ("replayed", "replayed refused", "depths", "depths refused", "histogram", "log", "log refused"):
        assert reached[what] > 3, what
