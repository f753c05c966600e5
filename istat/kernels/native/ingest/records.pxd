# Journal records: their forms, and how they are written and read without the GIL. docs/formats/journal.md has the bytes.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from istat.kernels.native.varints cimport put_varint, zigzag

cdef enum:
    FORM_SAME = 0              # forms: value at the time of the record before,
    FORM_TIME = 1              # value at a new time,
    FORM_WIDE = 2              # pre-aggregated at a new time,
    FORM_NAMES = 3             # a counter, a route or a change
    CHANGE = 3                 # of the last form, what is no name: something happened to a counter (or a route)
    DELETE = 1                 # what happened
    UNDELETE = 2
    RENAME = 3
    POLICY = 4
    GONE = 5
    TOMBSTONE = 6
    UNLEARNT = 7
    MOST_IDS = 0xFFFFFFFEu     # ids are less
    MOST_RUN = 65536           # ids that one record can say to be gone: bounds what damaged bytes can make of a few
    SAMPLE_ROOM = 96           # [bytes] more than any sample record takes

cdef struct Buffer:            # records that nobody has taken yet
    uint8_t *data
    size_t size
    size_t room

cdef struct Record:            # what `read_record` finds; only what the form has is set
    int form
    int what                   # of a change: DELETE and so on; 0: a counter or a route
    bint is_route
    bint is_event
    uint64_t number            # the route of a sample, else the id of the counter or the number of the route
    int64_t time               # carried from record to record: 0 before the first of a frame
    int64_t count
    double sum
    double m2
    double min
    double max
    uint64_t value             # of a change: the number of a delete or of a policy, or how many ids
    uint64_t targets           # of a route: how many ids,
    const uint8_t *ids         # and where their varints begin
    const char *name
    Py_ssize_t name_size

cdef inline int reserve(Buffer *buffer, size_t size) noexcept nogil:
    """Room for so many more bytes. 0, or -1: no memory."""
    cdef void *grown
    if buffer.size + size > buffer.room:
        grown = realloc(buffer.data, (buffer.size + size) * 2)
        if grown == NULL:
            return -1
        buffer.data = <uint8_t *> grown
        buffer.room = (buffer.size + size) * 2
    return 0


cdef inline int put_sample(Buffer *journal, int64_t *before, uint32_t route, int64_t time, int64_t count, double sum,
                           double m2, double min, double max) noexcept nogil:
    """Append a sample; `before` is the time of the one before it. 0, or -1: no memory."""
    cdef uint8_t *to
    cdef int form = FORM_SAME
    if reserve(journal, SAMPLE_ROOM) < 0:
        return -1
    to = journal.data + journal.size
    if count != 1 or m2 != 0.0 or min != sum or max != sum:
        form = FORM_WIDE
    elif time != before[0]:
        form = FORM_TIME
    to = put_varint(to, <uint64_t> route << 2 | form)
    if form != FORM_SAME:
        to = put_varint(to, zigzag(time - before[0]))
        before[0] = time
    memcpy(to, &sum, 8)
    to += 8
    if form == FORM_WIDE:
        to = put_varint(to, <uint64_t> count)
        memcpy(to, &m2, 8)
        memcpy(to + 8, &min, 8)
        memcpy(to + 16, &max, 8)
        to += 24
    journal.size = to - journal.data
    return 0

# A counter, or a route to some counters.
cdef int put_counter(Buffer *log, uint64_t id, bint event, const char *name, Py_ssize_t size) except -1
cdef int put_route(Buffer *log, uint64_t number, const uint32_t *ids, uint32_t n, const char *wire,
                   Py_ssize_t size) except -1
# What happened, with the numbers and the name (or None) that tell of it.
cdef int put_change(Buffer *log, int what, uint64_t number, tuple values, bytes name) except -1
# The byte after the record, or NULL when it is malformed.
cdef const uint8_t *read_record(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil
# All that was put in, as bytes; the buffer is empty afterwards and keeps its room.
cdef bytes take(Buffer *buffer)
