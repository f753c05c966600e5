"""What the tests of histograms share: both builds, values to draw, and a histogram of some values."""
from __future__ import annotations

from hypothesis import strategies as st

from istat.kernels import implementation

BUILDS = [implementation(name) for name in ("python", "native")]
WHOLE = st.integers(0, 2**20) | st.integers(-2**63, 2**63 - 1) | st.integers(-3, 70)
COUNT = st.integers(0, 5) | st.sampled_from([2**32 - 1, 2**32, 2**40])


def filled(cubes, values, **shape):
    histogram = cubes.Histogram(cubes.Shape(**shape))
    histogram.record_many(values)
    return histogram
