# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Columns as JSON text: the fast build of istat/kernels/python/render.py. Same names, same bytes."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.math cimport fabs, floor, frexp, ldexp, rint, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from istat.kernels.native.columns cimport Columns

cdef extern from *:
    """
    typedef unsigned __int128 istat_u128;
    """
    ctypedef unsigned long long u128 "istat_u128"

FIELDS = ("count", "sum", "avg", "min", "max", "sdev", "sumsq")
ROW_FIELDS = (*FIELDS, "time", "iso")
MAX_POINTS = 2000000
cdef int64_t MOST_POINTS = 2000000
cdef double MAX_DOUBLE = 1.7976931348623157e308
cdef double SLACK = 0.0001
cdef double INTEGERS_EXACT = 9007199254740992.0
cdef double SMALLEST_FRACTION = 1e-9
cdef int64_t FIRST_ISO = -62167219200
cdef int64_t LAST_ISO = 253402300799

cdef enum:
    COUNT, SUM, AVG, MIN, MAX, SDEV, SUMSQ, TIME, ISO


cdef int make_room(Text *text, Py_ssize_t more) noexcept nogil:
    """Have room for more bytes; -1 without memory."""
    cdef Py_ssize_t room
    cdef char *made
    if text.used + more <= text.room:
        return 0
    room = text.room * 2
    if room < text.used + more:
        room = text.used + more
    made = <char *>realloc(text.data, room)
    if made == NULL:
        return -1
    text.data = made
    text.room = room
    return 0


cdef inline void put(Text *text, const char *data, Py_ssize_t size) noexcept nogil:
    memcpy(text.data + text.used, data, size)
    text.used += size


cdef inline void put_integer(Text *text, int64_t value) noexcept nogil:
    cdef char digits[24]
    cdef int at = 24
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        rest = 0 - rest
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        at -= 1
        digits[at] = 45
    put(text, digits + at, 24 - at)


cdef inline void put_padded(Text *text, int64_t value, int digits) noexcept nogil:
    cdef int i
    for i in range(digits - 1, -1, -1):
        text.data[text.used + i] = <char>(48 + value % 10)
        value //= 10
    text.used += digits


cdef void put_fraction(Text *text, double size) noexcept nogil:
    """Shortest decimal of a positive double with a fraction (Steele and White); see the twin."""
    cdef int exponent = 0
    cdef double mantissa = frexp(size, &exponent)
    cdef uint64_t scaled = <uint64_t>ldexp(mantissa, 53)
    cdef int bits = 55 - exponent
    cdef u128 half = 1 if scaled == (<uint64_t>1 << 52) else 2
    cdef u128 one = <u128>1 << bits
    cdef u128 rest = <u128>scaled << 2
    cdef int digit
    cdef bint low, high
    put_integer(text, <int64_t>(rest >> bits))
    text.data[text.used] = 46
    text.used += 1
    rest = rest & (one - 1)
    while True:
        rest *= 10
        half *= 10
        digit = <int>(rest >> bits)
        rest = rest & (one - 1)
        low = rest < half
        high = rest + half > one
        if low or high:
            if high and (not low or rest * 2 > one):
                digit += 1
            text.data[text.used] = <char>(48 + digit)
            text.used += 1
            return
        text.data[text.used] = <char>(48 + digit)
        text.used += 1


cdef bint put_short_fraction(Text *text, double size) noexcept nogil:
    """Write a fraction of up to three digits the quick way; False, and nothing written, when it is longer.

    Below 2**52 / scale there is one candidate at most per length, and a quotient of integers below 2**53
    that equals size is within half a gap of it, never on the middle: the same digits as put_fraction's.
    """
    cdef double scale = 1.0, whole
    cdef int digits
    cdef uint64_t n, unit = 1
    for digits in range(1, 4):
        scale *= 10.0
        unit *= 10
        whole = rint(size * scale)
        if whole >= 4503599627370496.0:
            return False
        if whole / scale == size:
            n = <uint64_t>whole
            put_integer(text, <int64_t>(n // unit))
            text.data[text.used] = 46
            text.used += 1
            put_padded(text, <int64_t>(n % unit), digits)
            return True
    return False


cdef void put_number(Text *text, double value) noexcept nogil:
    """Write a double; there is room for NUMBER_ROOM bytes."""
    cdef double size = -value if value < 0.0 else value
    cdef int written, i
    if not size <= MAX_DOUBLE:
        put(text, b"null", 4)
    elif size < INTEGERS_EXACT and size == floor(size):
        put_integer(text, <int64_t>value)
    elif SMALLEST_FRACTION <= size < INTEGERS_EXACT:
        if value < 0.0:
            text.data[text.used] = 45
            text.used += 1
        if not put_short_fraction(text, size):
            put_fraction(text, size)
    else:
        written = snprintf(text.data + text.used, NUMBER_ROOM, b"%.17g", value)
        for i in range(written):        # a locale may write the point as a comma
            if text.data[text.used + i] == 44:
                text.data[text.used + i] = 46
        text.used += written


cdef void put_iso(Text *text, int64_t when) noexcept nogil:
    """UTC date and time; the civil calendar counted in eras of 400 years that begin in March."""
    cdef int64_t days, second, era, day, year_of_era, day_of_year, month_from_march, month, year
    when = min(max(when, FIRST_ISO), LAST_ISO)
    second = when % 86400
    if second < 0:
        second += 86400
    days = (when - second) // 86400 + 719468            # since 0000-03-01
    era = (days if days >= 0 else days - 146096) // 146097
    day = days - era * 146097
    year_of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day_of_year = day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    put_padded(text, year, 4)
    put(text, b"-", 1)
    put_padded(text, month, 2)
    put(text, b"-", 1)
    put_padded(text, day_of_year - (153 * month_from_march + 2) // 5 + 1, 2)
    put(text, b"T", 1)
    put_padded(text, second // 3600, 2)
    put(text, b":", 1)
    put_padded(text, second // 60 % 60, 2)
    put(text, b":", 1)
    put_padded(text, second % 60, 2)
    put(text, b"Z", 1)


cdef inline double average(double total, int64_t count, double low, double high) noexcept nogil:
    """Where rounding or the bound of sums has it outside minimum and maximum, the nearer of these; see the twin."""
    cdef double mean = total / <double>count
    cdef double bound = low if mean < low else high if mean > high else mean
    if fabs(bound - mean) <= fabs(bound) * SLACK or fabs(total) >= MAX_DOUBLE:
        return bound
    return mean


cdef void put_field(Text *text, Columns columns, Py_ssize_t i, int which) noexcept nogil:
    """Write one field of one row; there is room for NUMBER_ROOM bytes."""
    cdef int64_t count = columns.count[i]
    cdef double value = 0.0
    if which == COUNT:
        put_integer(text, count)
        return
    if which == TIME:
        put_integer(text, columns.time[i])
        return
    if which == ISO:
        put_iso(text, columns.time[i])
        return
    if which == SUM:
        value = columns.sum[i]
    elif which == AVG:
        if count > 0:
            value = average(columns.sum[i], count, columns.min[i], columns.max[i])
    elif which == MIN:
        value = columns.min[i]
    elif which == MAX:
        value = columns.max[i]
    elif which == SDEV:
        if count > 1 and columns.m2[i] > 0.0:
            value = sqrt(columns.m2[i] / <double>(count - 1))
    elif count > 0:
        value = columns.m2[i] + columns.sum[i] * columns.sum[i] / <double>count
        if value > MAX_DOUBLE:
            value = MAX_DOUBLE
    put_number(text, value)


cdef int put_nulls(Text *text, int64_t times) noexcept nogil:
    """Write times null and comma."""
    cdef int64_t i
    if make_room(text, times * 5 + 1):
        return -1
    for i in range(times):
        put(text, b"null,", 5)
    return 0


cdef int put_column(Text *text, Columns columns, int which, int64_t start, int64_t interval,
                    int64_t points) noexcept nogil:
    cdef int64_t place = 0, cell, time
    cdef Py_ssize_t i
    text.data[text.used] = 91
    text.used += 1
    for i in range(columns.n):
        time = columns.time[i]
        if time < start:
            continue
        # As unsigned: a start below zero and a far time may be more than an int64 apart.
        if (<uint64_t>time - <uint64_t>start) // <uint64_t>interval >= <uint64_t>points:
            break
        cell = <int64_t>((<uint64_t>time - <uint64_t>start) // <uint64_t>interval)
        if cell < place:
            continue
        if cell > place and put_nulls(text, cell - place):
            return -1
        if make_room(text, NUMBER_ROOM + 2):
            return -1
        put_field(text, columns, i, which)
        text.data[text.used] = 44
        text.used += 1
        place = cell + 1
    if put_nulls(text, points - place):
        return -1
    if points > 0:
        text.used -= 1          # the last comma
    text.data[text.used] = 93
    text.used += 1
    return 0


def number(double value):
    """Give the JSON text of a double; `null` for NaN and infinities."""
    cdef char room[NUMBER_ROOM]
    cdef Text text
    text.data = room
    text.used = 0
    text.room = NUMBER_ROOM
    put_number(&text, value)
    return PyBytes_FromStringAndSize(text.data, text.used)


def column(Columns columns not None, str which, int64_t start, int64_t interval, int64_t points):
    """Give `[v,v,null,...]`: one field of time-ordered rows on the grid start + k * interval, k < points."""
    cdef Text text
    cdef int failed, field
    if which not in FIELDS:
        raise ValueError(f"no column is called {which!r}")
    if interval < 1 or not 0 <= points <= MOST_POINTS:
        raise ValueError("a grid has a positive interval and a sane number of points")
    field = FIELDS.index(which)
    text.used = 0
    text.room = points * 8 + NUMBER_ROOM + 8
    text.data = <char *>malloc(text.room)
    if text.data == NULL:
        raise MemoryError
    try:
        with nogil:
            failed = put_column(&text, columns, field, start, interval, points)
        if failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(text.data, text.used)
    finally:
        free(text.data)


def rows(Columns columns not None, parts, fields, bytes separator not None):
    """Give every row as parts[0] field[0] parts[1] ... parts[-1], with separator between rows."""
    cdef Text text
    cdef const char *part_data[16]
    cdef Py_ssize_t part_size[16]
    cdef int which[16]
    cdef const char *between = separator
    cdef Py_ssize_t between_size = len(separator), fixed = between_size + 8
    cdef int n = len(fields), k, failed = 0
    cdef Py_ssize_t i
    cdef bytes part
    if len(parts) != n + 1:
        raise ValueError("there must be one part more than fields")
    if n > 15:
        raise ValueError("at most 15 fields")
    held = tuple(parts)                 # keeps the bytes alive while their memory is read
    for k in range(n + 1):
        part = held[k]
        part_data[k] = part
        part_size[k] = len(part)
        fixed += part_size[k]
    for k in range(n):
        if fields[k] not in ROW_FIELDS:
            raise ValueError(f"no field is called {fields[k]!r}")
        which[k] = ROW_FIELDS.index(fields[k])
    text.used = 0
    text.room = 256
    text.data = <char *>malloc(text.room)
    if text.data == NULL:
        raise MemoryError
    try:
        with nogil:
            for i in range(columns.n):
                if make_room(&text, fixed + n * NUMBER_ROOM):
                    failed = 1
                    break
                if i:
                    put(&text, between, between_size)
                put(&text, part_data[0], part_size[0])
                for k in range(n):
                    put_field(&text, columns, i, which[k])
                    put(&text, part_data[k + 1], part_size[k + 1])
        if failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(text.data, text.used)
    finally:
        free(text.data)
