# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Line grammar: one line of bytes to a sample. Knows no name tables, no sockets, no clock.

The specification is the Python twin of the same name.
"""
from libc.math cimport isfinite

# A token longer than this is no number anybody means; it bounds the copy that strtod needs [bytes].
cdef enum:
    NUMBER_ROOM = 400

CODES = {
    "EMPTY": EMPTY, "SAMPLE": SAMPLE, "META": META, "RESERVED": RESERVED, "BAD_FIELDS": BAD_FIELDS,
    "BAD_NUMBER": BAD_NUMBER, "NOT_FINITE": NOT_FINITE, "UNKNOWN": UNKNOWN, "FROM_FUTURE": FROM_FUTURE,
    "FROM_PAST": FROM_PAST, "REJECTED": REJECTED, "TOO_COARSE": TOO_COARSE,
}


cdef bint same_letters(const char *text, Py_ssize_t size, const char *lower, Py_ssize_t lower_size) noexcept nogil:
    cdef Py_ssize_t i
    if size != lower_size:
        return False
    for i in range(size):
        if (text[i] | 32) != lower[i]:
            return False
    return True


cdef int parse_word(const char *text, Py_ssize_t size, bint refuse_nan, double *out) noexcept nogil:
    """nan and infinity spellings: istatd's four NaNs are 0, the rest (or all) is refused as not finite."""
    cdef const char *word = text
    cdef Py_ssize_t left = size
    if left and (word[0] == 45 or word[0] == 43):
        word += 1
        left -= 1
    if not refuse_nan and left == 3 and text[0] != 43 and ((word[0] == 110 and word[1] == 97 and word[2] == 110)
                                        or (word[0] == 78 and word[1] == 97 and word[2] == 78)):
        out[0] = 0.0
        return SAMPLE
    if (same_letters(word, left, b"nan", 3) or same_letters(word, left, b"inf", 3)
            or same_letters(word, left, b"infinity", 8)):
        return NOT_FINITE
    return BAD_NUMBER


cdef int parse_number(const char *text, Py_ssize_t size, bint refuse_nan, double *out) noexcept nogil:
    """Decimal floating text to a double, correctly rounded: SAMPLE, BAD_NUMBER or NOT_FINITE."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t digits = 0
    cdef char room[NUMBER_ROOM + 1]
    cdef char *stop
    cdef double value
    if size == 0 or size > NUMBER_ROOM:
        return BAD_NUMBER
    if text[0] == 43 or text[0] == 45:
        i = 1
    while i < size and is_digit(text[i]):
        i += 1
        digits += 1
    if i < size and text[i] == 46:
        i += 1
        while i < size and is_digit(text[i]):
            i += 1
            digits += 1
    if digits == 0:
        return parse_word(text, size, refuse_nan, out)
    if i < size and (text[i] | 32) == 101:
        i += 1
        if i < size and (text[i] == 43 or text[i] == 45):
            i += 1
        if i == size:
            return BAD_NUMBER
        while i < size and is_digit(text[i]):
            i += 1
    if i != size:
        return BAD_NUMBER
    memcpy(room, text, size)
    room[size] = 0
    value = strtod(room, &stop)
    if not isfinite(value):
        return NOT_FINITE
    out[0] = value + 0.0          # -0.0 becomes 0.0: nobody counts with a negative zero
    return SAMPLE


cdef int parse_integer(const char *text, Py_ssize_t size, int64_t *out) noexcept nogil:
    """Signed decimal integer of at most 18 digits: SAMPLE or BAD_NUMBER."""
    cdef Py_ssize_t i = 0
    cdef int64_t value = 0
    if size and (text[0] == 43 or text[0] == 45):
        i = 1
    if i == size or size - i > 18:
        return BAD_NUMBER
    while i < size:
        if not is_digit(text[i]):
            return BAD_NUMBER
        value = value * 10 + (text[i] - 48)
        i += 1
    out[0] = -value if text[0] == 45 else value
    return SAMPLE


cdef int parse_time(const char *text, Py_ssize_t size, int64_t *out) noexcept nogil:
    """An integer, whose fraction is cut off: SAMPLE or BAD_NUMBER."""
    cdef Py_ssize_t whole = 0
    cdef Py_ssize_t i
    while whole < size and text[whole] != 46:
        whole += 1
    for i in range(whole + 1, size):
        if not is_digit(text[i]):
            return BAD_NUMBER
    return parse_integer(text, whole, out)


cdef inline bint is_reserved(char c) noexcept nogil:
    """# $ % & : ; @ begin no name."""
    return 35 <= c <= 38 or c == 58 or c == 59 or c == 64


cdef int parse_line(const char *line, Py_ssize_t size, bint refuse_nan, Sample *out) noexcept nogil:
    """One line without its LF. Returns a LineCode; out is whole only for SAMPLE."""
    cdef const char *token[8]
    cdef Py_ssize_t length[8]
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t begin
    cdef int n = 0
    cdef int code
    cdef double value[5]
    if size == 0 or (size == 1 and line[0] == 13):
        return EMPTY
    if line[0] == 35:
        return META
    if is_reserved(line[0]):
        return RESERVED
    while n < 8:
        while i < size and is_space(line[i]):
            i += 1
        if i == size:
            break
        begin = i
        while i < size and not is_space(line[i]):
            i += 1
        token[n] = line + begin
        length[n] = i - begin
        n += 1
    if n and is_reserved(token[0][0]):      # only behind white space; no name may begin so
        return RESERVED
    if n < 2 or 4 <= n <= 6:
        return BAD_FIELDS
    out.name = token[0]
    out.name_size = length[0]
    if n == 2:
        out.fields = 2
        out.count = 1
        code = parse_number(token[1], length[1], refuse_nan, &out.sum)
        out.min = out.sum
        out.max = out.sum
        return code
    code = parse_time(token[1], length[1], &out.time)
    if code != SAMPLE:
        return code
    if n == 3:
        out.fields = 3
        out.count = 1
        code = parse_number(token[2], length[2], refuse_nan, &out.sum)
        out.min = out.sum
        out.max = out.sum
        return code
    out.fields = 7
    for i in range(4):
        code = parse_number(token[2 + i], length[2 + i], refuse_nan, &value[i])
        if code != SAMPLE:
            return code
    out.sum = value[0]
    out.sumsq = value[1]
    out.min = value[2]
    out.max = value[3]
    code = parse_integer(token[6], length[6], &out.count)
    if code == SAMPLE and out.count < 0:
        return BAD_NUMBER
    return code


if sizeof(ByCode) != LINE_CODES * sizeof(uint64_t):
    raise SystemError("ByCode has not as many places as there are codes of lines")


def parse(bytes line not None, bint refuse_nan=False):
    """(code, name, fields, time, sum, sumsq, min, max, count) of one line; for tests and slow paths."""
    cdef Sample sample
    cdef const char *text = line
    cdef int code = parse_line(text, len(line), refuse_nan, &sample)
    if code != SAMPLE:
        return (code,)
    name = sample.name[:sample.name_size]
    if sample.fields == 7:
        return (code, name, 7, sample.time, sample.sum, sample.sumsq, sample.min, sample.max, sample.count)
    if sample.fields == 3:
        return (code, name, 3, sample.time, sample.sum, sample.sum * sample.sum, sample.sum, sample.sum, 1)
    return (code, name, 2, None, sample.sum, sample.sum * sample.sum, sample.sum, sample.sum, 1)
