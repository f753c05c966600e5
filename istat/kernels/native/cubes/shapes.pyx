# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The shape of a histogram, and values of Python as one of that shape records them. The specification is the twin."""
from cpython.buffer cimport (PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyBuffer_Release,
                             PyBuffer_ToContiguous, PyObject_GetBuffer)
from libc.math cimport isfinite, rint
from libc.stdint cimport int32_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from istat.kernels.native.cubes.histogram cimport hist_high, hist_low, hist_slot

import operator

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

cdef Py_ssize_t MOST_ROWS = 1 << 40     # of a batch: a buffer whose step is 0 bytes may have any number
cdef double TOO_LARGE = 9223372036854775808.0       # 2**63

MOST_SLOTS = 1 << 20            # of a shape: 4 MiB for each histogram
MOST_PRECISION = 14             # bits; digits=5 asks for 17
NO_VALUE = "a value is an int or float, not {}"
NOT_FINITE = "a value is a number, neither NaN nor infinite"
TOO_WIDE = "a value, scaled, is from -2**63 to 2**63 - 1"
NO_COUNT = "a count is from 0 to 2**63 - 1"


# --- values ------------------------------------------------------------------------------------------

cdef int scaled(double value, double scale, int64_t *out) noexcept nogil:
    """0, -1: not finite, -2: too large."""
    if not isfinite(value):
        return -1
    value = rint(value * scale)
    if not -TOO_LARGE <= value < TOO_LARGE:
        return -2
    out[0] = <int64_t> value
    return 0


cdef int refused(int why) except -1:
    if why == -1:
        raise ValueError(NOT_FINITE)
    if why == -2:
        raise OverflowError(TOO_WIDE)
    return 0


cdef int hist_value(object value, double scale, int64_t *out) except -1:
    cdef int overflow = 0
    if type(value) is float:
        return refused(scaled(<double> value, scale, out))
    if type(value) is not int:
        if hasattr(value, "__index__"):
            value = operator.index(value)
        elif hasattr(value, "__float__"):
            return refused(scaled(float(value), scale, out))
        else:
            raise TypeError(NO_VALUE.format(type(value).__name__))
    out[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise OverflowError(TOO_WIDE)
    return 0 if scale == 1.0 else refused(scaled(<double> out[0], scale, out))


cdef uint64_t hist_times(object count) except? 0:
    cdef int overflow = 0
    cdef long long times
    if type(count) is not int:
        count = operator.index(count)
    times = PyLong_AsLongLongAndOverflow(count, &overflow)
    if overflow or times < 0:
        raise ValueError(NO_COUNT)
    return <uint64_t> times


cdef class Values:
    def __dealloc__(self):
        free(self.made)
        if self.viewed:
            PyBuffer_Release(&self.view)

    cdef int make(self, Py_ssize_t n) except -1:
        if n <= MOST_ROWS:
            self.made = <int64_t *> malloc(n * sizeof(int64_t) + 1)
        if self.made == NULL:
            raise MemoryError("no memory for a batch")
        self.items = self.made
        self.n = n
        return 0


cdef Values values_of(object values, double scale):
    cdef Values made = Values.__new__(Values)
    cdef Py_ssize_t i
    if isinstance(values, (str, bytes)):
        raise TypeError(f"a batch of values is a sequence or a buffer, not {type(values).__name__}")
    if isinstance(values, (list, tuple, range)):
        values = tuple(values)      # nobody can shorten it meanwhile
        made.make(len(values))
        for i in range(made.n):
            hist_value((<tuple> values)[i], scale, &made.made[i])
        return made
    try:
        PyObject_GetBuffer(values, &made.view, PyBUF_FORMAT | PyBUF_STRIDED_RO)
    except (TypeError, BufferError):
        raise TypeError(f"a batch of values is a list, a tuple or a buffer, not {type(values).__name__}") from None
    made.viewed = True
    if made.view.ndim != 1:
        raise TypeError(f"a batch of values has one dimension, not {made.view.ndim}")
    take_buffer(made, scale)
    return made


cdef int take_buffer(Values made, double scale) except -1:
    """The values of its view: as they lie there, when they may be used so."""
    cdef bytes code = made.view.format.lstrip(b"@=<") if made.view.format != NULL else b"B"
    cdef Py_ssize_t n = made.view.shape[0]
    cdef Py_ssize_t size = made.view.itemsize
    cdef int kind = code[0] if len(code) == 1 and code in b"ilqILQfd" else 0
    cdef char *raw
    cdef int why
    if kind == 0:
        raise TypeError("a buffer of values holds int32, int64, uint32, uint64, float32 or float64, "
                        f"not {(made.view.format or b'B').decode()!r}")
    if kind in b"ilq" and size == 8 and scale == 1.0 and PyBuffer_IsContiguous(&made.view, b"C") and not <size_t> made.view.buf & 7:
        made.items = <const int64_t *> made.view.buf
        made.n = n
        return 0
    made.make(n)
    raw = <char *> made.made + n * (sizeof(int64_t) - size)         # at its end: read before it is written over
    PyBuffer_ToContiguous(raw, &made.view, made.view.len, b"C")
    with nogil:
        why = convert(raw, n, size, kind, scale, made.made)
    return refused(why)


cdef int convert(const char *raw, Py_ssize_t n, Py_ssize_t size, int kind, double scale, int64_t *out) noexcept nogil:
    """Numbers of a buffer to values as they are recorded; as `scaled`."""
    cdef bint is_float = kind == 102 or kind == 100        # f, d
    cdef bint is_signed = kind >= 97                        # small letters
    cdef double real
    cdef float half_real
    cdef int64_t whole
    cdef uint32_t half
    cdef Py_ssize_t i
    cdef int why
    for i in range(n):
        if size == 4:
            memcpy(&half, raw + 4 * i, 4)
            memcpy(&half_real, raw + 4 * i, 4)
            real = half_real
            whole = <int64_t> <int32_t> half if is_signed else <int64_t> half
        else:
            memcpy(&whole, raw + 8 * i, 8)
            memcpy(&real, raw + 8 * i, 8)
            if whole < 0 and not is_signed:
                return -2
        if not is_float and scale == 1.0:
            out[i] = whole
            continue
        why = scaled(real if is_float else <double> whole, scale, &out[i])
        if why < 0:
            return why
    return 0


cdef Values counts_of(object counts, Py_ssize_t n):
    cdef Values made = values_of(counts, 1.0)
    cdef Py_ssize_t i
    if made.n != n:
        raise ValueError(f"there are {n} values and {made.n} counts")
    for i in range(n):
        if made.items[i] < 0:
            raise ValueError(NO_COUNT)
    return made


# --- shapes ------------------------------------------------------------------------------------------

cdef object limit(object value):
    """The `lowest` or `highest` of a shape. TypeError when it is no whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"lowest and highest are whole numbers, in units of values times scale: for 0.001 to 600 by "
                        f"scale=1000 say 1 and 600_000; not {value!r}") from None


cdef class Shape:
    """How values are told apart: whole numbers from 0 to `highest`, in slots with a relative width of 2**-precision.

    Values below `lowest` need not be told apart. `digits` (1 to 5) asks for as many decimal digits instead. Values are
    multiplied by `scale` and rounded, which is how fractions are recorded; `lowest` and `highest` are of such values.
    """

    def __init__(self, lowest=1, highest=3_600_000_000, precision=None, *, digits=None, double scale=1.0):
        """ValueError when these make no shape, or one of more than 2**20 slots."""
        lowest, highest = limit(lowest), limit(highest)
        if digits is None:
            precision = 7 if precision is None else operator.index(precision)
            if not 0 <= precision <= MOST_PRECISION:
                raise ValueError(f"a precision is from 0 to {MOST_PRECISION} bits, not {precision}")
        elif precision is not None or not 1 <= operator.index(digits) <= 5:
            raise ValueError("digits are from 1 to 5, and not given beside a precision")
        else:
            precision = (2 * 10**digits - 1).bit_length() - 1
        if not 1 <= lowest < highest < 2**63:
            raise ValueError("lowest is at least 1, highest above it and below 2**63")
        if not (isfinite(scale) and scale > 0.0):
            raise ValueError("a scale is a number above 0")
        memset(&self.shape, 0, sizeof(self.shape))
        self.shape.lowest, self.shape.highest, self.shape.scale = lowest, highest, scale
        self.shape.precision, self.shape.digits = precision, digits or 0
        self.shape.unit = lowest.bit_length() - 1
        self.shape.slots = hist_slot(&self.shape, highest) + 1
        if self.shape.slots > MOST_SLOTS:
            raise ValueError(f"a histogram like that has {self.shape.slots} slots, more than {MOST_SLOTS}")

    def slot(self, value):
        """The slot that a value is recorded in; values beyond the range are in the first and the last one."""
        cdef int64_t wanted
        hist_value(value, self.shape.scale, &wanted)
        return hist_slot(&self.shape, min(max(wanted, 0), self.shape.highest))

    def bounds(self, slot):
        """The smallest and the largest value of a slot. IndexError when there is none."""
        if not 0 <= slot < self.shape.slots:
            raise IndexError(f"slots are from 0 to {self.shape.slots - 1}")
        return self.unscaled(hist_low(&self.shape, slot)), self.unscaled(hist_high(&self.shape, slot))

    def whole(self, value):
        """A value as it is recorded: scaled and rounded. TypeError, ValueError, OverflowError."""
        cdef int64_t made
        hist_value(value, self.shape.scale, &made)
        return made

    def unscaled(self, value):
        """What a user calls a value that was recorded."""
        return value if self.shape.scale == 1.0 else value / self.shape.scale

    @property
    def lowest(self):
        """Values below it need not be told apart."""
        return self.shape.lowest

    @property
    def highest(self):
        """The largest value that a slot is for, scaled."""
        return self.shape.highest

    @property
    def precision(self):
        """Bits that tell the slots of one power of two apart."""
        return self.shape.precision

    @property
    def digits(self):
        """The decimal digits that it was made from, or None."""
        return self.shape.digits or None

    @property
    def scale(self):
        """What values are multiplied by before they are recorded."""
        return self.shape.scale

    @property
    def slots(self):
        """How many slots there are."""
        return self.shape.slots

    def __eq__(self, other):
        return isinstance(other, Shape) and same_shape(&self.shape, &(<Shape> other).shape)

    def __hash__(self):
        return hash((self.shape.unit, self.shape.highest, self.shape.precision, self.shape.scale))

    def parameters(self):
        """What it was made with, as text."""
        kind = f"digits={self.shape.digits}" if self.shape.digits else f"precision={self.shape.precision}"
        scale = "" if self.shape.scale == 1.0 else f", scale={self.shape.scale!r}"
        return f"lowest={self.shape.lowest}, highest={self.shape.highest}, {kind}{scale}"

    def __repr__(self):
        return f"Shape({self.parameters()})"

    def __reduce__(self):
        precision = None if self.shape.digits else self.shape.precision
        return made_shape, (self.shape.lowest, self.shape.highest, precision, self.digits, self.shape.scale)


cdef bint same_shape(const hist_shape *a, const hist_shape *b) noexcept nogil:
    """Whether slots mean the same in both."""
    return (a.unit == b.unit and a.highest == b.highest and a.precision == b.precision and a.scale == b.scale)


def made_shape(lowest, highest, precision, digits, scale):
    """A shape from its parameters, for pickle."""
    return Shape(lowest, highest, precision, digits=digits, scale=scale)
