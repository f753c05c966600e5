# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A histogram as an object of Python. How it is kept, histogram.pyx says, whose twin is the specification."""
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from istat.kernels.native.cubes.histogram cimport (
    POINT_HIGH, POINT_LOW, POINT_MID, hist_at, hist_bytes, hist_clear, hist_copy, hist_high, hist_low, hist_merge,
    hist_percentiles, hist_put, hist_record, hist_record_all, hist_record_corrected, hist_up_to, hist_valid, hist_slot)
from istat.kernels.native.cubes.shapes cimport Shape, Values, counts_of, hist_times, hist_value, same_shape, values_of

import math

from istat.errors import ConcurrentUse, SchemaMismatch

POINTS = {"low": POINT_LOW, "mid": POINT_MID, "high": POINT_HIGH}
NO_MEMORY = "no memory for a histogram"
TOO_MANY = "that would stand for more than 1,000,000 values; is the interval in the unit of the values?"
NO_HISTOGRAM = "these are no parts of a histogram of this shape"


cdef Histogram hist_object(const hist_t *histogram, Shape shape):
    cdef Histogram made = Histogram.__new__(Histogram, shape)
    if histogram != NULL:
        made.histogram = hist_copy(histogram)
        if made.histogram == NULL:
            raise MemoryError(NO_MEMORY)
    return made


cdef int done_or_full(int done) except -1:
    """Whether it was done. MemoryError, ValueError."""
    if done == -1:
        raise MemoryError(NO_MEMORY)
    if done < 0:
        raise ValueError(TOO_MANY)
    return done


cdef class Histogram:
    """How values are spread. One writer at a time."""

    def __cinit__(self, Shape shape not None):
        self.shape = shape

    def __dealloc__(self):
        hist_clear(&self.histogram)

    cdef int enter(self) except -1:
        """Nobody is at work in it without the GIL."""
        if self.busy:
            raise ConcurrentUse("another thread is recording here; give each thread its own and merge them")
        return 0

    def record(self, value, count=1):
        """A value that came so many times. False when that would be more than 2**63 - 1 values in all. TypeError,
        ValueError for NaN and infinity, OverflowError beyond 64 bits."""
        cdef int64_t recorded
        cdef uint64_t times = hist_times(count)
        hist_value(value, self.shape.shape.scale, &recorded)
        self.enter()
        return done_or_full(hist_record(&self.histogram, &self.shape.shape, recorded, times)) == 1

    def record_whole(self, int64_t value, uint64_t count):
        """As `record`, of a value that is scaled and rounded already."""
        self.enter()
        return done_or_full(hist_record(&self.histogram, &self.shape.shape, value, count)) == 1

    def record_corrected(self, value, interval, count=1):
        """A value that kept others, which come at an interval, from being recorded: also value - interval, value -
        2 * interval, ... down to the interval. Errors as those of `record`; ValueError when the interval is not
        above 0, or there are more than 1,000,000 of them."""
        cdef int64_t recorded
        cdef int64_t expected
        cdef uint64_t times = hist_times(count)
        hist_value(value, self.shape.shape.scale, &recorded)
        hist_value(interval, self.shape.shape.scale, &expected)
        if expected <= 0:
            raise ValueError("an interval is above 0")
        self.enter()
        return done_or_full(hist_record_corrected(&self.histogram, &self.shape.shape, recorded, expected, times)) == 1

    def record_many(self, values, counts=None):
        """A batch: a buffer of numbers or a sequence of them, and how often each came; all or, when one is wrong,
        nothing. How many of them were taken: all, unless there would be more than 2**63 - 1 values. Errors as those of
        `record`."""
        cdef Values batch = values_of(values, self.shape.shape.scale)
        cdef Values times = None if counts is None else counts_of(counts, batch.n)
        cdef int64_t taken
        self.enter()
        self.busy = True
        with nogil:
            taken = hist_record_all(&self.histogram, &self.shape.shape, batch.items,
                                    times.items if times is not None else NULL, batch.n)
        self.busy = False
        if taken < 0:
            raise MemoryError(NO_MEMORY)
        return taken

    def merge(self, Histogram other not None):
        """Add the values of another. SchemaMismatch when it has another shape, OverflowError when there would be more
        than 2**63 - 1 values."""
        self.enter()
        other.enter()
        if other is self:           # its memory may move while it is read
            other = self.copy()
        if not same_shape(&self.shape.shape, &other.shape.shape):
            raise SchemaMismatch(f"a histogram of {other.shape!r} cannot be merged into one of {self.shape!r}")
        if done_or_full(hist_merge(&self.histogram, other.histogram, &self.shape.shape)) == 0:
            raise OverflowError("there would be more than 2**63 - 1 values")

    # --- reading -------------------------------------------------------------------------------------

    @property
    def count(self):
        """How many values there are."""
        return self.histogram.count if self.histogram != NULL else 0

    @property
    def sum(self):
        """The exact sum of the values, as they were before they were sorted into slots."""
        return self.shape.unscaled(self.raw_sum())

    @property
    def min(self):
        """The smallest value, exactly; None of none."""
        return self.shape.unscaled(self.histogram.min) if self.histogram != NULL else None

    @property
    def max(self):
        """The largest value, exactly; None of none."""
        return self.shape.unscaled(self.histogram.max) if self.histogram != NULL else None

    @property
    def mean(self):
        """The exact mean, as near as a float is; None of none."""
        return self.raw_sum() / self.count / self.shape.scale if self.histogram != NULL else None

    @property
    def m2(self):
        """The sum of squared deviations from the mean, from exact sums."""
        if self.histogram == NULL:
            return 0.0
        deviations = max(self.count * self.raw_squares() - self.raw_sum() ** 2, 0)
        return deviations / self.count / self.shape.scale / self.shape.scale

    @property
    def stdev(self):
        """The standard deviation of the values, as a whole population; None of none."""
        return math.sqrt(self.m2 / self.count) if self.histogram != NULL else None

    @property
    def underflow(self):
        """How many values were below 0: they are in the first slot."""
        return self.histogram.underflow if self.histogram != NULL else 0

    @property
    def overflow(self):
        """How many values were above the highest: they are in the last slot."""
        return self.histogram.overflow if self.histogram != NULL else 0

    @property
    def is_empty(self):
        """Whether nothing was recorded."""
        return self.histogram == NULL

    def percentile(self, q, point="mid"):
        """As `percentiles`, of one."""
        return self.percentiles((q,), point)[0]

    def percentiles(self, qs, point="mid"):
        """The values that so many percent of all are not above; None each when there is none.

        0 and 100 are minimum and maximum; of other ones the slot is known: `point` says whether its middle, its low or
        its high end is given, never beyond minimum and maximum. ValueError when one is not from 0 to 100.
        """
        wanted = [float(q) for q in qs]
        cdef int at = point_number(point)
        if not all(0.0 <= q <= 100.0 for q in wanted):
            raise ValueError("a percentile is from 0 to 100")
        self.enter()
        if self.histogram == NULL:
            return [None] * len(wanted)
        found = dict(zip(sorted(wanted), self.ascending(sorted(wanted), at)))
        return [self.shape.unscaled(found[q]) for q in wanted]

    cdef list ascending(self, list qs, int point):
        cdef Py_ssize_t n = len(qs)
        cdef double *wanted = <double *> PyMem_Malloc(n * (sizeof(double) + sizeof(int64_t)) + 1)
        cdef int64_t *found = <int64_t *> (wanted + n)
        cdef Py_ssize_t i
        if wanted == NULL:
            raise MemoryError(NO_MEMORY)
        for i in range(n):
            wanted[i] = qs[i]
        hist_percentiles(self.histogram, &self.shape.shape, wanted, n, point, found)
        made = [found[i] for i in range(n)]
        PyMem_Free(wanted)
        return made

    def cdf(self):
        """(value, share of all that are not above it) at the end of each slot that has values, ascending."""
        cdef uint64_t seen = 0
        cdef uint32_t slot
        made = []
        self.enter()
        if self.histogram == NULL:
            return made
        for slot in range(self.histogram.first, self.histogram.last + 1):
            if hist_at(self.histogram, slot):
                seen += hist_at(self.histogram, slot)
                end = self.histogram.max if seen == self.histogram.count else hist_high(&self.shape.shape, slot)
                made.append((self.shape.unscaled(end), seen / self.count))
        return made

    def proportion_below(self, value):
        """The share of values below one, which is rounded down to the start of its slot; None of none."""
        cdef int64_t bound = whole_bound(value, self.shape, math.ceil)
        cdef uint32_t slot
        self.enter()
        if self.histogram == NULL:
            return None
        if bound <= self.histogram.min:
            return 0.0
        if bound > self.histogram.max:
            return 1.0
        slot = hist_slot(&self.shape.shape, max(min(bound, self.shape.shape.highest), 0))
        if slot == 0:
            return 0.0
        return hist_up_to(self.histogram, &self.shape.shape, hist_low(&self.shape.shape, slot) - 1) / self.count

    def buckets(self, boundaries, proportion=False):
        """How many values (or which share of all) are not above the first boundary, above it and not above the second,
        ..., above the last. A boundary is rounded up to the end of its slot. ValueError when they do not ascend."""
        bounds = [whole_bound(one, self.shape, math.floor) for one in boundaries]
        if any(a > b for a, b in zip(bounds, bounds[1:])):
            raise ValueError("boundaries ascend")
        self.enter()
        total = self.count
        reached = [hist_up_to(self.histogram, &self.shape.shape, bound) if total else 0 for bound in bounds]
        made = [b - a for a, b in zip([0, *reached], [*reached, total])]
        return [one / total if total else 0.0 for one in made] if proportion else made

    # --- as a value ----------------------------------------------------------------------------------

    def copy(self):
        """Another one with the same values."""
        self.enter()
        return hist_object(self.histogram, self.shape)

    def clear(self):
        """Forget all values."""
        self.enter()
        hist_clear(&self.histogram)

    def memory(self):
        """Bytes it takes, without those of the Python object around it."""
        return sizeof(hist_t *) + hist_bytes(self.histogram)

    def parts(self):
        """All there is to it, with values as they were recorded: the first slot that is used, the counts from there to
        the last one, sum, sum of squares, minimum, maximum, underflow, overflow. None when nothing was recorded."""
        self.enter()
        if self.histogram == NULL:
            return None
        counts = [hist_at(self.histogram, i) for i in range(self.histogram.first, self.histogram.last + 1)]
        return (self.histogram.first, counts, self.raw_sum(), self.raw_squares(), self.histogram.min,
                self.histogram.max, self.histogram.underflow, self.histogram.overflow)

    cdef object raw_sum(self):
        if self.histogram == NULL:
            return 0
        return <object> (<int64_t> self.histogram.sum[1]) * 2**64 + self.histogram.sum[0]

    cdef object raw_squares(self):
        cdef uint64_t *words = self.histogram.squares
        return (<object> words[2] * 2**64 + words[1]) * 2**64 + words[0]

    def __repr__(self):
        return f"Histogram({self.shape!r}): {self.count} values" + (
            f" from {self.min} to {self.max}, median {self.percentile(50)}" if self.count else "")

    def __reduce__(self):
        return from_parts, (self.shape, self.parts())


cdef int point_number(point) except -1:
    if point not in POINTS:
        raise ValueError(f"a point is one of {', '.join(POINTS)}, not {point!r}")
    return POINTS[point]


cdef object whole_bound(value, Shape shape, rounded):
    """A boundary among recorded values, which are whole numbers of 64 bits."""
    bound = value if shape.scale == 1.0 else value * shape.scale
    if bound != bound:
        raise ValueError("a boundary is a number, not NaN")
    return rounded(max(min(bound, 2**63 - 1), -2**63))


def from_parts(Shape shape not None, parts):
    """A histogram from what `parts` gave. ValueError when that is none of this shape."""
    cdef Histogram made = Histogram(shape)
    cdef uint64_t count
    cdef uint32_t slot
    if parts is None:
        return made
    first, counts, total, squares, low, high, underflow, overflow = parts
    counts = tuple(counts)          # of our own: nobody makes it longer meanwhile
    if not (counts and first >= 0 and first + len(counts) <= shape.slots and counts[0] and counts[len(counts) - 1]
            and min(counts) >= 0 and sum(counts) < 2**63 and -2**127 <= total < 2**127 and 0 <= squares < 2**192):
        raise ValueError(NO_HISTOGRAM)
    for slot, count in enumerate(counts, first):
        if count and hist_put(&made.histogram, &shape.shape, slot, count) < 0:
            raise MemoryError(NO_MEMORY)
    try:
        set_header(made.histogram, sum(counts), total, squares)
        made.histogram.min, made.histogram.max = low, high
        made.histogram.underflow, made.histogram.overflow = underflow, overflow
    except OverflowError:
        raise ValueError(NO_HISTOGRAM) from None
    if not (hist_valid(made.histogram, &shape.shape) and total**2 <= made.count * squares):
        raise ValueError(NO_HISTOGRAM)
    return made


cdef int set_header(hist_t *histogram, count, total, squares) except -1:
    word = 2**64 - 1
    histogram.count = count
    histogram.sum[0], histogram.sum[1] = total & word, total >> 64 & word
    histogram.squares[0], histogram.squares[1] = squares & word, squares >> 64 & word
    histogram.squares[2] = squares >> 128
    return 0
