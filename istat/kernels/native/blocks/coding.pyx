# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Blocks of coded runs, written and read: the fast build of istat/kernels/python/blocks/coding.py.

The same bytes for the same rows. The loops hold no GIL; what they read was checked or is checked there.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.blocks.runs cimport EVENT, JOINT, LAST_TIME, SINGLE, decode_run, encode_run, is_single
from istat.kernels.native.blocks.streams cimport MALFORMED, NO_MEMORY, PADDING, Coder, free_coder
from istat.kernels.native.varints cimport VARINT_ROOM, get_varint, put_varint

from istat.kernels.python.blocks.coding import ID_BITS as ID_BITS_OF_TWIN, Block

cdef enum:
    VERSION = 1
    JOINT_VERSION = 2       # has a fourth flag; written only where a run needs that
    MOST_ROWS = 1 << 20     # rows of one block: bounds what hostile bytes can make a reader allocate
    VALUES_OF_ROW = 5
    RANGE_BITS = 18         # ID_BITS of the twin

ID_BITS = ID_BITS_OF_TWIN
assert ID_BITS == RANGE_BITS

cdef uint64_t MOST_ID = (<uint64_t>1 << 32) - 1


cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end
    bint broken


cdef inline uint64_t next_number(Cursor *cursor, uint64_t most) noexcept nogil:
    """Read a number of at most `most`, else the cursor is broken."""
    cdef uint64_t value = 0
    cdef const uint8_t *behind = get_varint(cursor.at, cursor.end, &value)
    if behind == NULL or value > most:
        cursor.broken = True
        return 0
    cursor.at = behind
    return value


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
        made = malloc((self.runs * 4 + 8) * VARINT_ROOM + self.coder.used)
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
        self.unit = <int64_t>next_number(&cursor, LAST_TIME)
        if cursor.broken or self.unit < 1 or interval % self.unit != 0:
            return MALFORMED
        most = LAST_TIME // self.unit
        base = next_number(&cursor, most)
        runs = next_number(&cursor, MOST_ROWS)
        if cursor.broken or runs * 4 > length:
            return MALFORMED
        self.entries = <Entry *>malloc((runs + 1) * sizeof(Entry))
        if self.entries == NULL:
            return NO_MEMORY
        for i in range(runs):
            entry = &self.entries[i]
            id += next_number(&cursor, MOST_ID)
            packed = next_number(&cursor, (<uint64_t>(MOST_ROWS + 1) << flags) - 1)
            start = base + next_number(&cursor, most)
            entry.length = next_number(&cursor, length)
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
