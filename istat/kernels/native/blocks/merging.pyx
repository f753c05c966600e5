# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Runs of many blocks, merged and reduced: the fast build of istat/kernels/python/blocks/merging.py.

The loops hold no GIL.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from istat.kernels.native.blocks.coding cimport BlockReader, BlockWriter, Entry
from istat.kernels.native.blocks.runs cimport EVENT, LAST_TIME
from istat.kernels.native.blocks.streams cimport NO_MEMORY
from istat.kernels.native.columns cimport FOLD_GAUGES, FOLD_RATES, FOLD_TOTALS, Columns

cdef enum:
    MOST_OUTPUTS = 64
    WRONG_KIND = -3


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
