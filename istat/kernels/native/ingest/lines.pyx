# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Line grammar: one line of bytes to a sample. Knows no name tables, no sockets, no clock.

The specification is the Python twin of the same name.
"""
from libc.math cimport isfinite
from libc.stdlib cimport free, malloc
from libc.string cimport memchr

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


cdef int split(const char *line, Py_ssize_t size, const char **token, Py_ssize_t *length) noexcept nogil:
    """The first eight tokens of a line; how many there are of them."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t begin
    cdef int n = 0
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
    return n


cdef int parse_line(const char *line, Py_ssize_t size, bint refuse_nan, Sample *out) noexcept nogil:
    """One line without its LF. Returns a LineCode; out is whole only for SAMPLE."""
    cdef const char *token[8]
    cdef Py_ssize_t length[8]
    cdef Py_ssize_t i
    cdef int n
    cdef int code
    cdef double value[5]
    if size == 0 or (size == 1 and line[0] == 13):
        return EMPTY
    if line[0] == 35:
        return META
    if is_reserved(line[0]):
        return RESERVED
    n = split(line, size, token, length)
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


def sift(const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end, bint refuse_nan=False):
    """(code, start, end) of each whole line in data[start:end] that is no sample, its LF included; in order."""
    cdef Sample sample
    cdef const char *text
    cdef const char *line_end
    cdef Py_ssize_t at = start
    cdef Py_ssize_t next
    cdef int code
    check_part(data, start, end)
    found = []
    if start == end:
        return found
    text = <const char *> &data[0]
    with nogil:
        while at < end:
            line_end = <const char *> memchr(text + at, 10, end - at)
            if line_end == NULL:
                break
            next = line_end - text + 1
            code = parse_line(text + at, next - 1 - at, refuse_nan, &sample)
            if code != SAMPLE:
                with gil:
                    found.append((code, at, next))
            at = next
    return found


def timed(const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end, long long clock):
    """The samples among the whole lines of data[start:end] as an original istatd takes them: each with a time, that of
    the line or `clock`, which has no fraction. All digits stay. What stands behind the seventh token is left out."""
    cdef bytes time = b"%d" % clock
    cdef const char *digits = time
    cdef Py_ssize_t digits_size = len(time)
    cdef const char *text
    cdef const char *at
    cdef const char *stop
    cdef Py_ssize_t size
    cdef char *out
    check_part(data, start, end)
    if start == end:
        return b""
    text = <const char *> &data[0]
    at = text + start
    stop = text + end
    size = end - start
    while at < stop:            # each line may get a time and a space more
        at = <const char *> memchr(at, 10, stop - at)
        if at == NULL:
            break
        at += 1
        size += digits_size + 1
    out = <char *> malloc(size)
    if out == NULL:
        raise MemoryError()
    try:
        with nogil:
            size = put_timed(text + start, stop, digits, digits_size, out)
        return out[:size]
    finally:
        free(out)


cdef int check_part(const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end) except -1:
    if not 0 <= start <= end <= data.shape[0]:
        raise ValueError(f"{start}..{end} is not inside {data.shape[0]} bytes")
    return 0


cdef Py_ssize_t put_timed(const char *at, const char *stop, const char *digits, Py_ssize_t digits_size,
                          char *out) noexcept nogil:
    """Write the samples of whole lines with their times; how many bytes."""
    cdef Sample sample
    cdef const char *token[8]
    cdef Py_ssize_t length[8]
    cdef const char *line_end
    cdef const char *fraction
    cdef char *to = out
    cdef int i
    while at < stop:
        line_end = <const char *> memchr(at, 10, stop - at)
        if line_end == NULL:
            break
        if parse_line(at, line_end - at, False, &sample) == SAMPLE:
            split(at, line_end - at, token, length)
            to = put_token(to, token[0], length[0])
            if sample.fields == 2:
                to = put_token(to, digits, digits_size)
            else:
                fraction = <const char *> memchr(token[1], 46, length[1])
                if fraction != NULL:
                    length[1] = fraction - token[1]
            for i in range(1, sample.fields):
                to = put_token(to, token[i], length[i])
            (to - 1)[0] = 10    # in place of the last space
        at = line_end + 1
    return to - out


cdef inline char *put_token(char *to, const char *token, Py_ssize_t size) noexcept nogil:
    """A token and a space; where the next one goes."""
    memcpy(to, token, size)
    to[size] = 32
    return to + size + 1


def count_lines(const unsigned char[::1] data not None):
    """How many line feeds there are."""
    cdef Py_ssize_t size = data.shape[0]
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t found = 0
    cdef const unsigned char *text
    cdef unsigned char some
    cdef int i
    if size == 0:
        return 0
    text = &data[0]
    with nogil:
        while size - at >= 240:     # as many as one byte can count: the compiler takes sixteen at once then
            some = 0
            for i in range(240):
                some += <unsigned char> (text[at + i] == 10)
            found += some
            at += 240
        while at < size:
            found += text[at] == 10
            at += 1
    return found
