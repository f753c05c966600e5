# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What is in memory of one level and not yet in a StatFile. Knows no names, no files, no clock.

A counter heard since the last cut has one open bucket of 64 bytes. A sample of another time leaves the open
bucket behind as a closed row (24 bytes when it holds one sample, 64 else) and starts anew; closed rows of one
counter are chained, newest first, so that a question can be answered before anything is written. A cut takes
all of it as a `Frozen` head in no time. The specification is the Python twin.
"""
from libc.string cimport memset

from istat.kernels.native.blocks.coding cimport BlockWriter
from istat.kernels.native.columns cimport FOLD_GAUGES, FOLD_TOTALS, Columns


cdef int grow(void **array, uint32_t *room, uint32_t wanted, size_t size) noexcept nogil:
    """Half as much again, at least `wanted` items."""
    cdef uint64_t bigger = <uint64_t> room[0] + room[0] // 2
    cdef void *grown
    if bigger < wanted:
        bigger = wanted
    if bigger < 64:
        bigger = 64
    if bigger > 0xFFFFFFF0u:
        return -1
    grown = realloc(array[0], bigger * size)
    if grown == NULL:
        return -1
    array[0] = grown
    room[0] = <uint32_t> bigger
    return 0


cdef int head_places(HeadState *head, uint32_t ids) noexcept nogil:
    """Room for ids below `ids`."""
    cdef uint32_t before = head.places
    if ids <= before:
        return 0
    if head.place == NULL:          # what nobody uses of a fresh array costs no memory
        before = ids if ids > 64 else 64    # not more: each cut asks for as many as the head before it had
        head.place = <uint32_t *> calloc(before, sizeof(uint32_t))
        if head.place == NULL:
            return -1
        head.places = before
        return 0
    if grow(<void **> &head.place, &head.places, ids, sizeof(uint32_t)) < 0:
        return -1
    memset(head.place + before, 0, (<size_t> head.places - before) * sizeof(uint32_t))
    return 0


cdef int head_open(HeadState *head, uint32_t id, bint event, uint32_t slot) noexcept nogil:
    cdef Open *bucket
    if head.opens == head.opens_room and grow(<void **> &head.open, &head.opens_room, head.opens + 1, sizeof(Open)) < 0:
        return -1
    bucket = &head.open[head.opens]
    bucket.id = id
    bucket.event = event
    bucket.slot = slot
    bucket.last = 0
    bucket.unused = 0
    head.opens += 1
    head.place[id] = head.opens
    return 0


cdef int head_close(HeadState *head, Open *bucket) noexcept nogil:
    cdef Closed *row
    cdef Wide *rest
    if (head.closeds == head.closeds_room
            and grow(<void **> &head.closed, &head.closeds_room, head.closeds + 1, sizeof(Closed)) < 0):
        return -1
    row = &head.closed[head.closeds]
    row.id = bucket.id
    row.previous = bucket.last
    row.slot = bucket.slot
    row.value = bucket.sum
    row.wide = 0
    if bucket.count != 1 or (bucket.event == 0 and (bucket.m2 != 0.0 or bucket.min != bucket.max
                                                     or bucket.min != bucket.sum)):
        if head.wides == head.wides_room and grow(<void **> &head.wide, &head.wides_room, head.wides + 1, sizeof(Wide)) < 0:
            return -1
        rest = &head.wide[head.wides]
        rest.count = bucket.count
        rest.sum = bucket.sum
        rest.m2 = bucket.m2
        rest.min = bucket.min
        rest.max = bucket.max
        head.wides += 1
        row.wide = head.wides
    head.closeds += 1
    bucket.last = head.closeds
    return 0


cdef int push_closed(HeadState *head, Closed *row, Columns into) noexcept nogil:
    cdef Wide *rest
    if row.wide == 0:
        return into.push(row.slot * head.interval, 1, row.value, 0.0, row.value, row.value)
    rest = &head.wide[row.wide - 1]
    return into.push(row.slot * head.interval, rest.count, rest.sum, rest.m2, rest.min, rest.max)


cdef int push_open(HeadState *head, Open *bucket, Columns into) noexcept nogil:
    return into.push(bucket.slot * head.interval, bucket.count, bucket.sum, bucket.m2, bucket.min, bucket.max)


cdef void turn_round(Columns rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows first..last-1 in the opposite order."""
    cdef int64_t whole
    cdef double real
    last -= 1
    while first < last:
        whole = rows.time[first]; rows.time[first] = rows.time[last]; rows.time[last] = whole
        whole = rows.count[first]; rows.count[first] = rows.count[last]; rows.count[last] = whole
        real = rows.sum[first]; rows.sum[first] = rows.sum[last]; rows.sum[last] = real
        real = rows.m2[first]; rows.m2[first] = rows.m2[last]; rows.m2[last] = real
        real = rows.min[first]; rows.min[first] = rows.min[last]; rows.min[last] = real
        real = rows.max[first]; rows.max[first] = rows.max[last]; rows.max[last] = real
        first += 1
        last -= 1


cdef int head_collect(HeadState *head, uint32_t id, int64_t start, int64_t end, Columns into) noexcept nogil:
    """Append the counter's partial rows with start <= time < end in order of arrival. 0, or -1: no memory."""
    cdef Py_ssize_t first = into.n
    cdef Open *bucket
    cdef Closed *row
    cdef uint32_t at
    cdef int64_t time
    if id >= head.places or head.place[id] == 0:
        return 0
    bucket = &head.open[head.place[id] - 1]
    at = bucket.last
    while at != 0:
        row = &head.closed[at - 1]
        time = row.slot * head.interval
        if start <= time < end and push_closed(head, row, into) < 0:
            return -1
        at = row.previous
    turn_round(into, first, into.n)
    time = bucket.slot * head.interval
    if start <= time < end:
        return push_open(head, bucket, into)
    return 0


cdef void head_free(HeadState *head) noexcept nogil:
    free(head.place)
    free(head.open)
    free(head.closed)
    free(head.wide)
    memset(head, 0, sizeof(HeadState))


cdef uint64_t head_bytes(HeadState *head) noexcept nogil:
    """Bytes in use by rows; what a cut by size goes by."""
    return (<uint64_t> head.opens * sizeof(Open) + <uint64_t> head.closeds * sizeof(Closed)
            + <uint64_t> head.wides * sizeof(Wide))


cdef class Head:
    """Open and closed partial buckets of one level."""

    def __cinit__(self, int64_t interval):
        self.state.interval = interval

    def __dealloc__(self):
        head_free(&self.state)

    def __len__(self):
        return <Py_ssize_t> self.state.opens + self.state.closeds

    def bytes(self):
        """Bytes in use by rows."""
        return head_bytes(&self.state)

    def memory(self):
        """Bytes held: of rows, with the room to grow, and of the table of all ids."""
        return (<uint64_t> self.state.places * sizeof(uint32_t) + <uint64_t> self.state.opens_room * sizeof(Open)
                + <uint64_t> self.state.closeds_room * sizeof(Closed)
                + <uint64_t> self.state.wides_room * sizeof(Wide))

    def heard(self):
        """How many counters have a bucket here."""
        return <Py_ssize_t> self.state.opens

    def add(self, uint32_t id, bint event, int64_t time, int64_t count, double sum, double m2,
            double min, double max):
        """Add one sample or partial bucket; `time` is any second of the bucket, not negative."""
        if id == 0xFFFFFFFFu or head_places(&self.state, id + 1) < 0 or head_add(
                &self.state, id, event, <uint32_t> (time // self.state.interval), count, sum, m2, min, max) < 0:
            raise MemoryError()

    def collect(self, uint32_t id, int64_t start, int64_t end, Columns into not None):
        """Append the partial rows of a counter with start <= time < end, in order of arrival."""
        if head_collect(&self.state, id, start, end, into) < 0:
            raise MemoryError()

    def freeze(self):
        """All of it as a Frozen head, or None when there is nothing; this head is empty afterwards."""
        cdef Frozen frozen
        cdef int64_t interval = self.state.interval
        if self.state.opens == 0:
            return None
        frozen = Frozen.__new__(Frozen)
        frozen.state = self.state
        memset(&self.state, 0, sizeof(HeadState))
        self.state.interval = interval
        if head_places(&self.state, frozen.state.places) < 0:
            raise MemoryError()
        return frozen


cdef class Frozen:
    """A head cut off: it only answers and is written."""

    def __dealloc__(self):
        head_free(&self.state)

    def __len__(self):
        return <Py_ssize_t> self.state.opens + self.state.closeds

    def bytes(self):
        """Bytes in use by rows."""
        return head_bytes(&self.state)

    def spans(self, int64_t span):
        """Starts of the spans of `span` seconds (a multiple of the interval) that rows lie in, ascending.

        Reads every row once, without the GIL, and sets first_time and last_time on the way.
        """
        cdef uint32_t width = <uint32_t> (span // self.state.interval)
        cdef uint32_t first = 0xFFFFFFFFu
        cdef uint32_t last = 0
        cdef uint32_t latest = 0xFFFFFFFFu
        cdef uint32_t slot
        cdef uint64_t i
        found = set()
        with nogil:
            for i in range(<uint64_t> self.state.opens + self.state.closeds):
                if i < self.state.opens:
                    slot = self.state.open[i].slot
                else:
                    slot = self.state.closed[i - self.state.opens].slot
                first = min(first, slot)
                last = max(last, slot)
                if slot // width != latest:
                    latest = slot // width
                    with gil:
                        found.add(<int64_t> latest * span)
        self.first_time = first * self.state.interval
        self.last_time = last * self.state.interval
        return sorted(found)

    def collect(self, uint32_t id, int64_t start, int64_t end, Columns into not None):
        """Append the partial rows of a counter with start <= time < end, in order of arrival."""
        if head_collect(&self.state, id, start, end, into) < 0:
            raise MemoryError()

    def write(self, BlockWriter writer not None):
        """Hand every counter's folded rows to the writer, ids ascending. Runs without the GIL."""
        cdef HeadState *head = &self.state
        cdef uint64_t ids = head.places
        cdef uint32_t *order
        cdef uint32_t *stop
        cdef Columns rows = Columns()
        cdef uint32_t i
        cdef uint32_t k
        cdef uint64_t id
        cdef uint32_t at = 0
        cdef Open *bucket
        # A counting sort of the closed rows by id keeps their order of arrival and reads them in one pass.
        order = <uint32_t *> calloc(<size_t> head.closeds + 1, sizeof(uint32_t))
        stop = <uint32_t *> calloc(ids + 1, sizeof(uint32_t))
        if order == NULL or stop == NULL:
            free(order)
            free(stop)
            raise MemoryError()
        try:
            with nogil:
                for i in range(head.closeds):
                    stop[head.closed[i].id] += 1
                k = 0
                for id in range(ids):
                    k += stop[id]
                    stop[id] = k - stop[id]
                for i in range(head.closeds):
                    order[stop[head.closed[i].id]] = i
                    stop[head.closed[i].id] += 1
                for id in range(ids):
                    if head.place[id] == 0:
                        continue
                    bucket = &head.open[head.place[id] - 1]
                    rows.clear()
                    while at < stop[id]:
                        if push_closed(head, &head.closed[order[at]], rows) < 0:
                            with gil:
                                raise MemoryError()
                        at += 1
                    if push_open(head, bucket, rows) < 0 or rows.fold_rows(FOLD_TOTALS if bucket.event else FOLD_GAUGES) < 0:
                        with gil:
                            raise MemoryError()
                    writer.put_run(<uint32_t> id, bucket.event, rows)
        finally:
            free(order)
            free(stop)
