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
    ESCAPE = 8                 # in place of what happened: a kind, a length and so many bytes follow
    INTERVAL = 1               # kinds of escapes
    MARK = 2
    POSITION = 3
    MOST_IDS = 0xFFFFFFFEu     # ids are less
    MOST_RUN = 65536           # ids that one record can say to be gone: bounds what damaged bytes can make of a few
    SAMPLE_ROOM = 96           # [bytes] more than any sample record takes
    MOST_SENDER = 255          # [bytes] of a sender's name in a mark
    STORE_BYTES = 16           # of a store's UUID
    ESCAPE_ROOM = 320          # [bytes] more than any escape of ours takes

cdef extern from *:
    """
    #define ISTAT_MOST_COUNT (1LL << 62)
    #define ISTAT_MOST_INTERVAL (1LL << 31)
    #define ISTAT_MOST_MARK (1ULL << 63)
    #define ISTAT_MOST_SALT (1ULL << 32)
    """
    const int64_t MOST_COUNT "ISTAT_MOST_COUNT"             # counts are less
    const int64_t MOST_INTERVAL "ISTAT_MOST_INTERVAL"       # [s] intervals are less
    const uint64_t MOST_MARK "ISTAT_MOST_MARK"              # epochs, sequences, segments and offsets are less
    const uint64_t MOST_SALT "ISTAT_MOST_SALT"              # salts of segments are less

cdef struct Buffer:            # records that nobody has taken yet
    uint8_t *data
    size_t size
    size_t room

cdef struct Record:            # what `read_record` finds; only what the form has is set
    int form
    int what                   # of a change: DELETE and so on; 0: a counter or a route
    bint unknown               # what is malformed here may be right by a newer istatd: `what` (ESCAPE: `value`)
    bint is_route
    bint is_event
    uint64_t number            # the route of a sample, else the id of the counter or the number of the route
    int64_t time               # carried from record to record: 0 before the first of a frame
    int64_t count
    double sum
    double m2
    double min
    double max
    uint64_t value             # of a change: the number of a delete or of a policy, or how many ids; kind of an escape
    uint64_t epoch             # of a mark, whose sender is `name`, or of a position, whose store is
    uint64_t sequence
    uint64_t segment           # of a position
    uint64_t offset
    uint64_t salt
    int64_t interval           # of an interval
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
# The interval of the samples that follow; a batch's mark, whose sender has 1 to MOST_SENDER bytes.
cdef int put_interval(Buffer *journal, int64_t seconds) noexcept nogil         # 0, or -1: no memory
cdef int put_mark(Buffer *journal, const char *sender, Py_ssize_t size, uint64_t epoch, uint64_t sequence) except -1
# Up to where another store's journal is in this one; the store has STORE_BYTES bytes.
cdef int put_position(Buffer *journal, const char *store, uint64_t epoch, uint64_t segment, uint64_t offset,
                      uint64_t salt) except -1
# What happened, with the numbers and the name (or None) that tell of it.
cdef int put_change(Buffer *log, int what, uint64_t number, tuple values, bytes name) except -1
# The byte after the record, or NULL when it is malformed.
cdef const uint8_t *read_record(const uint8_t *at, const uint8_t *end, Record *record) noexcept nogil
# All that was put in, as bytes; the buffer is empty afterwards and keeps its room.
cdef bytes take(Buffer *buffer)
