# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Blocks of coded runs, written, read, merged and reduced: the fast build of istat/kernels/python/blocks.py.

The same bytes for the same rows. The loops hold no GIL; what they read was checked or is checked there.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize
from istat.kernels.native.columns cimport FOLD_GAUGES, FOLD_RATES, FOLD_TOTALS, Columns
from istat.kernels.native.runs cimport EVENT, JOINT, SINGLE, decode_run, encode_run, is_single
from istat.kernels.native.streams cimport MALFORMED, NO_MEMORY, PADDING, Coder, free_coder

from istat.kernels.python.blocks import ID_BITS as ID_BITS_OF_TWIN, Block

cdef enum:
    VERSION = 1
    JOINT_VERSION = 2       # has a fourth flag; written only where a run needs that
    MOST_ROWS = 1 << 20     # rows of one block: bounds what hostile bytes can make a reader allocate
    MOST_OUTPUTS = 64
    VALUES_OF_ROW = 5
    RANGE_BITS = 18         # ID_BITS of the twin
    NUMBER_BYTES = 10       # a 64-bit number in groups of seven bits
    WRONG_KIND = -3

ID_BITS = ID_BITS_OF_TWIN
assert ID_BITS == RANGE_BITS

cdef int64_t LAST_TIME = <int64_t>1 << 62
cdef uint64_t MOST_ID = (<uint64_t>1 << 32) - 1


cdef inline uint8_t *put_varint(uint8_t *at, uint64_t value) noexcept nogil:
    while value >= 128:
        at[0] = <uint8_t>(value & 127) | 128
        value >>= 7
        at += 1
    at[0] = <uint8_t>value
    return at + 1


cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end
    bint broken


cdef uint64_t get_varint(Cursor *cursor, uint64_t most) noexcept nogil:
    """Read a number of at most `most`, else the cursor is broken."""
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef uint8_t byte
    while cursor.at < cursor.end and shift < 64:
        byte = cursor.at[0]
        cursor.at += 1
        value |= <uint64_t>(byte & 127) << shift
        if byte < 128:
            if shift == 63 and byte > 1 or value > most:
                break
            return value
        shift += 7
    cursor.broken = True
    return 0


cdef class BlockWriter:
    """Collects runs of rows into blocks. interval: seconds that all times are multiples of."""

    def __cinit__(self, Py_ssize_t max_values=16000, int64_t interval=1):
        if not VALUES_OF_ROW <= max_values <= MOST_ROWS:
            raise ValueError("max_values must be from 5 to 2**20")
        if not 1 <= interval <= LAST_TIME:
            raise ValueError("interval must be positive")
        self.max_values = max_values
        self.unit = interval
        self.last_id = -1

    def __dealloc__(self):
        cdef Py_ssize_t i
        free_coder(&self.coder)
        free(self.entries)
        for i in range(self.finished_count):
            free(self.finished[i].data)
        free(self.finished)

    cdef int put_run(self, uint32_t id, bint event, Columns rows) except -1 nogil:
        cdef Py_ssize_t i, part, first = 0
        cdef int width
        if rows.n == 0:
            return 0
        if <int64_t>id < self.last_id:
            with gil:
                raise ValueError("runs must come by ascending id")
        if not self._sound(rows):
            with gil:
                raise ValueError("rows need ascending times >= 0 on the interval, and counts >= 1")
        width = 1 if is_single(rows, 0, rows.n) else VALUES_OF_ROW
        part = self.max_values // width
        while first < rows.n:
            if part > rows.n - first:
                part = rows.n - first
            if self._put_part(id, event, rows, first, part, part * width):
                with gil:
                    raise MemoryError
            first += part
        self.last_id = id
        return 0

    cdef bint _sound(self, Columns rows) noexcept nogil:
        cdef Py_ssize_t i
        cdef int64_t gap
        if rows.time[0] % self.unit != 0 or rows.time[0] < 0 or rows.time[rows.n - 1] > LAST_TIME:
            return False
        for i in range(rows.n):
            if rows.count[i] < 1:
                return False
            if i > 0:
                if rows.time[i] <= rows.time[i - 1]:
                    return False
                gap = rows.time[i] - rows.time[i - 1]
                if gap != self.unit and gap % self.unit != 0:
                    return False
        return True

    cdef int _put_part(self, uint32_t id, bint event, Columns rows, Py_ssize_t first, Py_ssize_t n,
                       Py_ssize_t values) noexcept nogil:
        cdef Py_ssize_t room
        cdef void *made
        cdef Entry *entry
        if self.runs and (self.values + values > self.max_values
                          or self.entries[self.runs - 1].id >> RANGE_BITS != id >> RANGE_BITS) and self._close():
            return NO_MEMORY
        if self.runs == self.entries_room:
            room = self.entries_room * 2 + 64
            made = realloc(self.entries, room * sizeof(Entry))
            if made == NULL:
                return NO_MEMORY
            self.entries = <Entry *>made
            self.entries_room = room
        entry = &self.entries[self.runs]
        entry.id = id
        entry.rows = <uint32_t>n
        entry.time = rows.time[first]
        entry.last = rows.time[first + n - 1]
        entry.offset = self.coder.used
        entry.flags = encode_run(&self.coder, rows, first, n, self.unit,
                                 (EVENT if event else 0) | (SINGLE if values == n else 0))
        if entry.flags < 0:
            return NO_MEMORY
        entry.length = self.coder.used - entry.offset
        self.runs += 1
        self.values += values
        return 0

    cdef int _close(self) noexcept nogil:
        """Put directory and runs together as a finished block."""
        cdef Py_ssize_t i, room
        cdef void *made
        cdef Finished *block
        cdef Entry *entry
        cdef uint8_t *at
        cdef uint32_t before
        cdef int flags = 3, any = 0
        if self.runs == 0:
            return 0
        if self.finished_count == self.finished_room:
            room = self.finished_room * 2 + 16
            made = realloc(self.finished, room * sizeof(Finished))
            if made == NULL:
                return NO_MEMORY
            self.finished = <Finished *>made
            self.finished_room = room
        made = malloc((self.runs * 4 + 8) * NUMBER_BYTES + self.coder.used)
        if made == NULL:
            return NO_MEMORY
        block = &self.finished[self.finished_count]
        block.data = <uint8_t *>made
        block.first_id = self.entries[0].id
        block.last_id = self.entries[self.runs - 1].id
        block.rows = 0
        block.first_time = self.entries[0].time
        block.last_time = self.entries[0].last
        for i in range(self.runs):
            block.rows += self.entries[i].rows
            any |= self.entries[i].flags
            block.first_time = min(block.first_time, self.entries[i].time)
            block.last_time = max(block.last_time, self.entries[i].last)
        at = block.data
        at[0] = VERSION
        if any & JOINT:
            at[0] = JOINT_VERSION
            flags = 4
        at = put_varint(at + 1, self.unit)
        at = put_varint(at, block.first_time // self.unit)
        at = put_varint(at, self.runs)
        before = 0
        for i in range(self.runs):
            entry = &self.entries[i]
            at = put_varint(at, entry.id - before)
            at = put_varint(at, (<uint64_t>entry.rows << flags) | <uint64_t>entry.flags)
            at = put_varint(at, (entry.time - block.first_time) // self.unit)
            at = put_varint(at, entry.length)
            before = entry.id
        memcpy(at, self.coder.data, self.coder.used)
        block.length = (at - block.data) + self.coder.used
        self.finished_count += 1
        self.runs = 0
        self.values = 0
        self.coder.used = 0
        return 0

    def add_run(self, uint32_t id, bint event, Columns columns not None):
        """Add one counter's rows, in time order and unique; ids must not descend. ValueError if not so."""
        with nogil:
            self.put_run(id, event, columns)

    def take(self):
        """Give the finished blocks, and forget them."""
        cdef Py_ssize_t i
        cdef Finished *block
        blocks = []
        for i in range(self.finished_count):
            block = &self.finished[i]
            data = PyBytes_FromStringAndSize(<char *>block.data, block.length)
            blocks.append(Block(block.first_id, block.last_id, block.rows, block.first_time, block.last_time, data))
        for i in range(self.finished_count):
            free(self.finished[i].data)
        self.finished_count = 0
        return blocks

    def finish(self):
        """Close the open block and give all finished blocks; ids may begin anew after it."""
        if self._close():
            raise MemoryError
        self.last_id = -1
        return self.take()


cdef class BlockReader:
    """The runs of one block, decoded one by one. Safe for reading by many threads at once.

    ValueError: the bytes are no block, or a run in it is damaged.
    """

    def __cinit__(self, const uint8_t[::1] data not None, int64_t interval):
        cdef int failed
        if data.shape[0] < 4 or interval < 1:
            raise ValueError("no block")
        failed = self._parse(&data[0], data.shape[0], interval)
        if failed == NO_MEMORY:
            raise MemoryError
        if failed:
            raise ValueError("malformed block")

    def __dealloc__(self):
        free(self.data)
        free(self.entries)

    cdef int _parse(self, const uint8_t *data, size_t length, int64_t interval) noexcept nogil:
        cdef Cursor cursor
        cdef uint64_t base, runs, i, packed, start, id = 0, rows = 0, offset = 0, most
        cdef Entry *entry
        cdef int flags = 3
        cursor.at = data + 1
        cursor.end = data + length
        cursor.broken = data[0] != VERSION and data[0] != JOINT_VERSION
        if data[0] == JOINT_VERSION:
            flags = 4
        self.unit = <int64_t>get_varint(&cursor, LAST_TIME)
        if cursor.broken or self.unit < 1 or interval % self.unit != 0:
            return MALFORMED
        most = LAST_TIME // self.unit
        base = get_varint(&cursor, most)
        runs = get_varint(&cursor, MOST_ROWS)
        if cursor.broken or runs * 4 > length:
            return MALFORMED
        self.entries = <Entry *>malloc((runs + 1) * sizeof(Entry))
        if self.entries == NULL:
            return NO_MEMORY
        for i in range(runs):
            entry = &self.entries[i]
            id += get_varint(&cursor, MOST_ID)
            packed = get_varint(&cursor, (<uint64_t>(MOST_ROWS + 1) << flags) - 1)
            start = base + get_varint(&cursor, most)
            entry.length = get_varint(&cursor, length)
            entry.id = <uint32_t>id
            entry.rows = <uint32_t>(packed >> flags)
            entry.flags = <int>(packed & ((<uint64_t>1 << flags) - 1))
            entry.offset = offset
            rows += entry.rows
            offset += entry.length
            if cursor.broken or id > MOST_ID or entry.rows == 0 or rows > MOST_ROWS or start > most:
                return MALFORMED
            entry.time = <int64_t>start * self.unit
        if offset != <uint64_t>(cursor.end - cursor.at):
            return MALFORMED
        self.data = <uint8_t *>malloc(offset + PADDING)
        if self.data == NULL:
            return NO_MEMORY
        memcpy(self.data, cursor.at, offset)
        memset(self.data + offset, 0, PADDING)
        self.count = runs
        return 0

    cdef int decode(self, Py_ssize_t index, Columns into) noexcept nogil:
        cdef Entry *entry = &self.entries[index]
        return decode_run(self.data + entry.offset, entry.length, entry.flags, entry.rows, entry.time,
                          self.unit, into)

    cdef Py_ssize_t find(self, uint32_t id) noexcept nogil:
        cdef Py_ssize_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].id < id:
                low = middle + 1
            else:
                high = middle
        return low

    def runs(self):
        """List ``(id, event, rows)`` of every run, in order; a long run may come in several parts."""
        cdef Py_ssize_t i
        return [(self.entries[i].id, bool(self.entries[i].flags & EVENT), self.entries[i].rows)
                for i in range(self.count)]

    def read(self, uint32_t id, int64_t start, int64_t end, Columns into not None):
        """Append the rows of id with start <= time < end to into; give how many. ValueError if damaged."""
        cdef Py_ssize_t at, before = into.n, kept, i
        cdef int failed = 0
        with nogil:
            at = self.find(id)
            while at < self.count and self.entries[at].id == id and not failed:
                if self.entries[at].time < end:
                    kept = into.n
                    failed = self.decode(at, into)
                    for i in range(kept, into.n):
                        if start <= into.time[i] < end:
                            into.move_row(kept, i)
                            kept += 1
                    into.n = kept
                at += 1
        if failed:
            into.n = before
            if failed == NO_MEMORY:
                raise MemoryError
            raise ValueError("malformed run")
        return into.n - before


# --- merging ---------------------------------------------------------------------------------------

cdef struct Input:
    void **readers          # borrowed BlockReaders, by ascending id
    Py_ssize_t count
    Py_ssize_t reader
    Py_ssize_t entry
    int64_t start           # only rows with start <= time < end count
    int64_t end


cdef class Inputs:
    """Cursors over the blocks of several files, walked together by id."""

    cdef Input *inputs
    cdef Py_ssize_t count
    cdef object keep
    cdef uint32_t *dropped
    cdef Py_ssize_t dropped_count
    cdef int64_t regroup
    cdef int fold_events

    def __cinit__(self, inputs, uint32_t first_id, drop_ids, clips=None, int64_t regroup=0, bint rates=False):
        cdef Py_ssize_t i, j
        cdef Input *each
        self.keep = [list(readers) for readers in inputs]
        self.regroup = regroup
        self.fold_events = FOLD_RATES if rates else FOLD_TOTALS
        if clips is not None and len(clips) != len(self.keep):
            raise ValueError("every input needs its clip")
        ids = sorted(drop_ids)
        self.inputs = <Input *>malloc((len(self.keep) + 1) * sizeof(Input))
        self.dropped = <uint32_t *>malloc((len(ids) + 1) * sizeof(uint32_t))
        if self.inputs == NULL or self.dropped == NULL:
            raise MemoryError
        for id in ids:
            self.dropped[self.dropped_count] = id
            self.dropped_count += 1
        for i, readers in enumerate(self.keep):
            each = &self.inputs[i]
            memset(each, 0, sizeof(Input))
            self.count += 1
            each.readers = <void **>malloc((len(readers) + 1) * sizeof(void *))
            if each.readers == NULL:
                raise MemoryError
            for j, reader in enumerate(readers):
                if not isinstance(reader, BlockReader):
                    raise TypeError("inputs are lists of BlockReader")
                each.readers[j] = <void *>reader
            each.count = len(readers)
            each.start, each.end = (0, LAST_TIME + 1) if clips is None else clips[i]
            self._skip(each, first_id)

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            free(self.inputs[i].readers)
        free(self.inputs)
        free(self.dropped)

    cdef void _skip(self, Input *each, uint32_t first_id) noexcept:
        """Go to the first entry with an id >= first_id."""
        cdef BlockReader reader
        while each.reader < each.count:
            reader = <BlockReader>each.readers[each.reader]
            each.entry = reader.find(first_id)
            if each.entry < reader.count:
                return
            each.reader += 1
        each.entry = 0

    cdef int64_t next_id(self) noexcept nogil:
        """The least id at any cursor; -1 at the end."""
        cdef Py_ssize_t i
        cdef int64_t least = -1, id
        cdef Input *each
        for i in range(self.count):
            each = &self.inputs[i]
            while each.reader < each.count and each.entry >= reader_count(each):
                each.reader += 1
                each.entry = 0
            if each.reader < each.count:
                id = entry_of(each).id
                if least < 0 or id < least:
                    least = id
        return least

    cdef void _adapt(self, Input *each, Columns rows, Py_ssize_t first) noexcept nogil:
        """Clip the rows from first on and move their times down to the coarser interval."""
        cdef Py_ssize_t i, kept = first
        if each.start > 0 or each.end <= LAST_TIME:
            for i in range(first, rows.n):
                if each.start <= rows.time[i] < each.end:
                    rows.move_row(kept, i)
                    kept += 1
            rows.n = kept
        if self.regroup > 0:
            for i in range(first, rows.n):
                rows.time[i] -= rows.time[i] % self.regroup

    cdef bint is_dropped(self, uint32_t id) noexcept nogil:
        cdef Py_ssize_t low = 0, high = self.dropped_count, middle
        while low < high:
            middle = (low + high) // 2
            if self.dropped[middle] < id:
                low = middle + 1
            else:
                high = middle
        return low < self.dropped_count and self.dropped[low] == id

    cdef int gather(self, uint32_t id, Columns rows, bint *event) noexcept nogil:
        """Append the rows of all inputs for id, in their order, and fold them. 0 or what went wrong."""
        cdef Py_ssize_t i
        cdef Input *each
        cdef int kind = -1, failed
        cdef Py_ssize_t before
        for i in range(self.count):
            each = &self.inputs[i]
            while each.reader < each.count:
                if each.entry >= reader_count(each):
                    each.reader += 1
                    each.entry = 0
                    continue
                if entry_of(each).id != id:
                    break
                if kind < 0:
                    kind = entry_of(each).flags & EVENT
                elif kind != entry_of(each).flags & EVENT:
                    return WRONG_KIND
                before = rows.n
                failed = decode_here(each, rows)
                if failed:
                    return failed
                self._adapt(each, rows, before)
                each.entry += 1
        event[0] = kind == EVENT
        return NO_MEMORY if rows.fold_rows(self.fold_events if event[0] else FOLD_GAUGES) else 0


    cdef int64_t next_rows(self, uint32_t last_id, Columns rows, bint *event, int *failed) noexcept nogil:
        """Gather the rows of the next id that is not dropped into rows; -1 at the end or when it failed."""
        cdef int64_t id
        while True:
            id = self.next_id()
            if id < 0 or id > last_id:
                return -1
            rows.clear()
            failed[0] = self.gather(<uint32_t>id, rows, event)
            if failed[0] or not self.is_dropped(<uint32_t>id):
                return id


cdef inline Py_ssize_t reader_count(Input *each) noexcept nogil:
    return (<BlockReader>each.readers[each.reader]).count


cdef inline Entry *entry_of(Input *each) noexcept nogil:
    return &(<BlockReader>each.readers[each.reader]).entries[each.entry]


cdef inline int decode_here(Input *each, Columns rows) noexcept nogil:
    return (<BlockReader>each.readers[each.reader]).decode(each.entry, rows)


cdef complain(int failed, int64_t id):
    if failed == NO_MEMORY:
        raise MemoryError
    if failed == WRONG_KIND:
        raise ValueError(f"counter {id} is gauge here and event there")
    raise ValueError(f"malformed run of counter {id}")


cdef struct Output:
    int64_t start           # of the times that it takes; the interval for derive_runs
    int64_t end
    void *writer            # borrowed BlockWriter


cdef int take_outputs(list outputs, Output *out) except -1:
    """Take apart triples of start, end and writer, at most MOST_OUTPUTS; give how many. They must be kept."""
    cdef int count = 0
    if len(outputs) > MOST_OUTPUTS:
        raise ValueError("at most 64 outputs")
    for start, end, writer in outputs:
        if not isinstance(writer, BlockWriter):
            raise TypeError("outputs need BlockWriters")
        out[count].start = start
        out[count].end = end
        out[count].writer = <void *>writer
        count += 1
    return count


def merge_runs(inputs, uint32_t first_id, uint32_t last_id, outputs, drop_ids=(), clips=None, int64_t regroup=0,
               bint rates=False):
    """Merge runs of partial rows, inputs in sequence order, over ids first_id..last_id inclusive.

    outputs: ``(from, to, BlockWriter)``; rows outside all of them are left out, as are drop_ids. clips: for
    each input the ``(from, to)`` of which its rows count. regroup: a coarser interval to move times down to.
    rates: rows of events are rates per second (settled rows), which add with their min, max and M2.
    Gives the rows written. ValueError: an input is damaged.
    """
    cdef Inputs all = Inputs(inputs, first_id, drop_ids, clips, regroup, rates)
    cdef Columns rows = Columns(), part = Columns()
    cdef Output[MOST_OUTPUTS] out
    cdef int count, i, failed = 0
    cdef int64_t id = -1, written = 0
    cdef bint event = False
    keep = list(outputs)
    count = take_outputs(keep, out)
    with nogil:
        while not failed:
            id = all.next_rows(last_id, rows, &event, &failed)
            if id < 0 or failed:
                break
            if rows.n == 0:
                continue
            for i in range(count):
                if out[i].start <= rows.time[0] and rows.time[rows.n - 1] < out[i].end:
                    (<BlockWriter>out[i].writer).put_run(<uint32_t>id, event, rows)
                    written += rows.n
                    continue
                part.clear()
                if part.copy_span(rows, out[i].start, out[i].end):
                    failed = NO_MEMORY
                    break
                (<BlockWriter>out[i].writer).put_run(<uint32_t>id, event, part)
                written += part.n
    if failed:
        complain(failed, id)
    return written


def derive_runs(inputs, uint32_t first_id, uint32_t last_id, int64_t start, int64_t end, int64_t fine_interval,
                outputs, drop_ids=()):
    """Merge fine runs as merge_runs does and reduce start <= time < end to coarser intervals.

    outputs: ``(interval, BlockWriter)``; event totals become rates per second first. Gives the rows written.
    """
    cdef Inputs all = Inputs(inputs, first_id, drop_ids)
    cdef Columns rows = Columns(), span = Columns(), part = Columns()
    cdef Output[MOST_OUTPUTS] out
    cdef int count, i, failed = 0
    cdef int64_t id = -1, written = 0
    cdef bint event = False
    keep = [(interval, interval, writer) for interval, writer in outputs]
    count = take_outputs(keep, out)
    if fine_interval < 1 or any([interval < fine_interval for interval, _, _ in keep]):
        raise ValueError("a coarser interval is a multiple of the fine one")
    with nogil:
        while not failed:
            id = all.next_rows(last_id, rows, &event, &failed)
            if id < 0 or failed:
                break
            span.clear()
            if span.copy_span(rows, start, end):
                failed = NO_MEMORY
                break
            if event:
                span.to_rates(fine_interval)
            for i in range(count):
                part.clear()
                if part.reduce_from(span, start, out[i].start,
                                    out[i].start // fine_interval if event else 0):
                    failed = NO_MEMORY
                    break
                (<BlockWriter>out[i].writer).put_run(<uint32_t>id, event, part)
                written += part.n
    if failed:
        complain(failed, id)
    return written
