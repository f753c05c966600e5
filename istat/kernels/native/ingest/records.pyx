# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Journal records, written and read: the fast build of istat/kernels/python/ingest/records.py.

Reading trusts nothing: it says malformed where no engine can have written that, and tells that apart from what a newer
one wrote. Whether a record can be, after those before it, is the engine's business.
"""
from libc.math cimport isfinite

from istat.kernels.native.names cimport NAME_ROOM
from istat.kernels.native.varints cimport VARINT_ROOM, get_varint, unzigzag


cdef uint8_t *end_of(Buffer *log, size_t numbers, Py_ssize_t size) except NULL:
    """Where the next record begins, with room for so many numbers and a name of that size."""
    if reserve(log, VARINT_ROOM * numbers + <size_t> size) < 0:
        raise MemoryError()
    return log.data + log.size


cdef inline void close(Buffer *log, uint8_t *to, const char *name, Py_ssize_t size) noexcept nogil:
    """Put the name at the end, which completes the record."""
    memcpy(to, name, <size_t> size)
    log.size = <size_t> (to - log.data) + <size_t> size


cdef int put_counter(Buffer *log, uint64_t id, bint event, const char *name, Py_ssize_t size) except -1:
    cdef uint8_t *to = end_of(log, 2, size)
    to = put_varint(to, id << 4 | <uint64_t> (event << 3 | FORM_NAMES))
    close(log, put_varint(to, <uint64_t> size), name, size)
    return 0


cdef int put_route(Buffer *log, uint64_t number, const uint32_t *ids, uint32_t n, const char *wire,
                   Py_ssize_t size) except -1:
    cdef uint8_t *to = end_of(log, 3 + <size_t> n, size)
    cdef uint32_t i
    to = put_varint(to, number << 4 | 1 << 2 | FORM_NAMES)
    to = put_varint(to, n)
    for i in range(n):
        to = put_varint(to, ids[i])
    close(log, put_varint(to, <uint64_t> size), wire, size)
    return 0


cdef int put_change(Buffer *log, int what, uint64_t number, tuple values, bytes name) except -1:
    cdef bytes text = b"" if name is None else name
    cdef uint8_t *to = end_of(log, 3 + <size_t> len(values), len(text))
    to = put_varint(to, number << 4 | CHANGE << 2 | FORM_NAMES)
    to = put_varint(to, <uint64_t> what)
    for value in values:
        to = put_varint(to, <uint64_t> value)
    if name is not None:
        to = put_varint(to, <uint64_t> len(text))
    close(log, to, text, len(text))
    return 0


cdef inline uint8_t *put_escape(uint8_t *to, uint64_t kind, size_t size) noexcept nogil:
    """What stands before the payload of an escape."""
    to = put_varint(to, CHANGE << 2 | FORM_NAMES)
    to = put_varint(to, ESCAPE)
    to = put_varint(to, kind)
    return put_varint(to, size)


cdef int put_interval(Buffer *journal, int64_t seconds) noexcept nogil:
    cdef uint8_t number[VARINT_ROOM]
    cdef size_t size = put_varint(number, <uint64_t> seconds) - number
    cdef uint8_t *to
    if reserve(journal, ESCAPE_ROOM) < 0:
        return -1
    to = put_escape(journal.data + journal.size, INTERVAL, size)
    memcpy(to, number, size)
    journal.size = to + size - journal.data
    return 0


cdef int put_mark(Buffer *journal, const char *sender, Py_ssize_t size, uint64_t epoch, uint64_t sequence) except -1:
    cdef uint8_t numbers[2 * VARINT_ROOM]
    cdef size_t used = put_varint(put_varint(numbers, epoch), sequence) - numbers
    cdef uint8_t *to
    if reserve(journal, ESCAPE_ROOM) < 0:
        raise MemoryError()
    to = put_escape(journal.data + journal.size, MARK, used + <size_t> size)
    memcpy(to, numbers, used)
    memcpy(to + used, sender, <size_t> size)
    journal.size = to + used + <size_t> size - journal.data
    return 0


cdef int put_position(Buffer *journal, const char *store, uint64_t epoch, uint64_t segment, uint64_t offset,
                      uint64_t salt) except -1:
    cdef uint8_t numbers[4 * VARINT_ROOM]
    cdef size_t used = put_varint(put_varint(put_varint(put_varint(numbers, epoch), segment), offset), salt) - numbers
    cdef uint8_t *to
    if reserve(journal, ESCAPE_ROOM) < 0:
        raise MemoryError()
    to = put_escape(journal.data + journal.size, POSITION, used + STORE_BYTES)
    memcpy(to, numbers, used)
    memcpy(to + used, store, STORE_BYTES)
    journal.size = to + used + STORE_BYTES - journal.data
    return 0


cdef bytes take(Buffer *buffer):
    cdef bytes taken = (<char *> buffer.data)[:buffer.size] if buffer.size else b""
    buffer.size = 0
    return taken


cdef const uint8_t *read_record(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil:
    cdef uint64_t tag
    at = get_varint(at, end, &tag)
    if at == NULL:
        return NULL
    record.form = <int> (tag & 3)
    if record.form == FORM_NAMES:
        record.number = tag >> 4
        if tag >> 2 & 3 == CHANGE:
            return read_change(at, end, record)
        return read_name(at, end, record, tag)
    record.number = tag >> 2
    return read_sample(at, end, record)


cdef inline const uint8_t *read_sample(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil:
    cdef uint64_t number
    if record.form != FORM_SAME:
        at = get_varint(at, end, &number)
        if at == NULL:
            return NULL
        record.time += unzigzag(number)
    if end - at < 8:
        return NULL
    memcpy(&record.sum, at, 8)
    at += 8
    record.count = 1
    record.m2 = 0.0
    record.min = record.sum
    record.max = record.sum
    if record.form == FORM_WIDE:
        at = get_varint(at, end, &number)
        if at == NULL or number >> 62 or end - at < 24:
            return NULL
        record.count = <int64_t> number
        memcpy(&record.m2, at, 8)
        memcpy(&record.min, at + 8, 8)
        memcpy(&record.max, at + 16, 8)
        at += 24
    if not (isfinite(record.sum) and isfinite(record.m2) and isfinite(record.min) and isfinite(record.max)):
        return NULL
    return at


cdef inline const uint8_t *read_text(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil:
    """A length, and a name of it."""
    cdef uint64_t size
    at = get_varint(at, end, &size)
    if at == NULL or size > <uint64_t> (end - at):
        return NULL
    record.name = <const char *> at
    record.name_size = <Py_ssize_t> size
    return at + size


cdef inline const uint8_t *read_name(const uint8_t *at, const uint8_t *end, Record *record,
                                     uint64_t tag) noexcept nogil:
    cdef uint64_t i
    cdef uint64_t id
    record.what = 0
    record.is_route = tag >> 2 & 1
    record.is_event = tag >> 3 & 1
    if record.is_route:
        at = get_varint(at, end, &record.targets)
        if at == NULL or record.targets > <uint64_t> (end - at):
            return NULL
        record.ids = at
        for i in range(record.targets):
            at = get_varint(at, end, &id)
            if at == NULL:
                return NULL
    return read_text(at, end, record)


cdef const uint8_t *read_change(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil:
    cdef uint64_t event = 0
    cdef bint named
    if at == end:
        return NULL
    record.what = at[0]
    at += 1
    if record.what == ESCAPE:
        return read_escape(at, end, record)
    if not DELETE <= record.what <= UNLEARNT:
        record.unknown = record.what > ESCAPE
        return NULL
    named = record.what == RENAME or record.what == TOMBSTONE
    if record.what == TOMBSTONE:
        at = get_varint(at, end, &event)
        record.is_event = event != 0
    if at != NULL and record.what != RENAME and record.what != UNDELETE:
        at = get_varint(at, end, &record.value)
    if at != NULL and named:
        at = read_text(at, end, record)
    if at == NULL or named and not 0 < record.name_size <= NAME_ROOM:
        return NULL
    if (record.what == GONE or record.what == UNLEARNT) and not (
            0 < record.value <= MOST_RUN and record.number <= MOST_IDS - record.value):
        return NULL
    return at


cdef const uint8_t *read_escape(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil:
    cdef const uint8_t *stop
    cdef uint64_t number = 0
    at = get_varint(at, end, &record.value)
    if at == NULL:
        return NULL
    stop = read_text(at, end, record)
    if stop == NULL:
        return NULL
    at = <const uint8_t *> record.name
    if record.value == INTERVAL:
        at = get_varint(at, stop, &number)
        if at != stop or number >= <uint64_t> MOST_INTERVAL:
            return NULL
        record.interval = <int64_t> number
    elif record.value == MARK:
        at = get_varint(at, stop, &record.epoch)
        if at != NULL:
            at = get_varint(at, stop, &record.sequence)
        if at == NULL or not 0 < stop - at <= MOST_SENDER or (record.epoch | record.sequence) >= MOST_MARK:
            return NULL
        record.name = <const char *> at
        record.name_size = stop - at
    elif record.value == POSITION:
        return read_position(at, stop, record)
    else:
        record.unknown = True
        return NULL
    return stop


cdef const uint8_t *read_position(const uint8_t *at, const uint8_t *stop, Record *record) noexcept nogil:
    at = get_varint(at, stop, &record.epoch)
    if at != NULL:
        at = get_varint(at, stop, &record.segment)
    if at != NULL:
        at = get_varint(at, stop, &record.offset)
    if at != NULL:
        at = get_varint(at, stop, &record.salt)
    if (at == NULL or stop - at != STORE_BYTES or (record.epoch | record.segment | record.offset) >= MOST_MARK
            or record.salt >= MOST_SALT):
        return NULL
    record.name = <const char *> at
    record.name_size = STORE_BYTES
    return stop
