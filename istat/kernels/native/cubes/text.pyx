# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Cells of a cube as flat JSON: the fast build of istat/kernels/python/cubes/text.py. Same names, same bytes."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.math cimport rint
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

import json

from istat.kernels.native.cubes.cells cimport LATE, TOUCHED, Cells
from istat.kernels.native.cubes.core cimport Core
from istat.kernels.native.cubes.histogram cimport hist_shape, hist_t
from istat.kernels.native.cubes.hll cimport PRECISION, hll_estimate, hll_t
from istat.kernels.native.cubes.inner.json cimport (
    ESCAPED, HEAD_ROOM, PAD, Piece, Style, put, put_byte, put_count, put_histogram, put_piece, put_registers, put_tag,
    put_whole)
from istat.kernels.native.cubes.keys cimport field_t, read_field
from istat.kernels.native.cubes.metrics cimport CounterMetric, GaugeMetric, gauge_t
from istat.kernels.native.cubes.sampling.residents cimport Sampler
from istat.kernels.native.cubes.sketched cimport HistogramMetric, HllMetric
from istat.kernels.native.render cimport NUMBER_ROOM, Text, make_room, put_number

HISTOGRAMS = ("summary", "buckets", "encoded")
HLLS = ("estimate", "encoded")

cdef enum:
    CHUNK = 65536               # [bytes] of text at a time; see the twin
    COUNTER = 0                 # kinds of columns
    REAL = 1
    GAUGE = 2
    HISTOGRAM = 3
    HLL = 4
    META_ROOM = 160             # [bytes] how a cell got in

cdef struct Column:             # of a metric, as it is while a piece is made
    int kind
    Piece key                   # `"name":`
    const void *values
    hist_shape shape
    int layout
    Piece head                  # of an encoded HyperLogLog's object, up to its registers
    int64_t other               # a counter's in the overflow cell
    double real_other

def quoted(text):
    """A JSON string."""
    return json.dumps(text, ensure_ascii=False).encode()


cdef inline void close(Text *text, const char *data, Py_ssize_t size) noexcept nogil:
    """End a list of members, the last of which may have a comma behind it."""
    if text.data[text.used - 1] == 44:
        text.used -= 1
    put(text, data, size)


cdef int put_fields(Text *text, Column *columns, int n, uint32_t slot, bint overflow, const Style *style,
                    Py_ssize_t room) noexcept nogil:
    """What the metrics have in a slot, each with a comma behind it; -1 without memory. `room`: what they take all
    together, without objects."""
    cdef int i
    cdef const hist_t *histogram
    cdef double value
    for i in range(n):
        if columns[i].values == NULL:           # dropped meanwhile, or there are no cells
            continue
        if columns[i].kind == COUNTER:
            put_piece(text, &columns[i].key)
            put_whole(text, columns[i].other if overflow else (<const int64_t *>columns[i].values)[slot])
        elif columns[i].kind == REAL:
            put_piece(text, &columns[i].key)
            put_number(text, columns[i].real_other if overflow else (<const double *>columns[i].values)[slot])
        elif columns[i].kind == GAUGE:
            value = (<const gauge_t *>columns[i].values)[slot].value
            if value != value:
                continue
            put_piece(text, &columns[i].key)
            put_number(text, value)
        elif columns[i].kind == HISTOGRAM:
            histogram = (<const hist_t *const *>columns[i].values)[slot]
            if histogram == NULL or histogram.count == 0:
                continue
            put_piece(text, &columns[i].key)
            if put_histogram(text, histogram, &columns[i].shape, style) or make_room(text, room):
                return -1
        elif style.encoded_hll:
            put_piece(text, &columns[i].key)
            if make_room(text, (<Py_ssize_t>1 << (columns[i].layout & PRECISION)) + room):
                return -1
            put_piece(text, &columns[i].head)
            if put_registers(text, &(<const hll_t *>columns[i].values)[slot], columns[i].layout):
                return -1
        else:
            put_piece(text, &columns[i].key)
            put_number(text, rint(hll_estimate(&(<const hll_t *>columns[i].values)[slot], columns[i].layout)))
        put_byte(text, b",")
    return 0


cdef class FlatText:
    """See the twin."""
    cdef Core core
    cdef list held              # what pieces point to
    cdef list metrics           # of the columns, as they were at the beginning
    cdef object told            # the mode, of which cells are told how they got in
    cdef Piece head
    cdef Piece mode             # `,"meta":{"mode":"topk"`, or of no size
    cdef Piece begun            # the name of what the sampler tells of a cell: `,"inherited":`, or `,"floor":`
    cdef bint ranks             # a metric ranks the cells
    cdef Py_ssize_t dimensions
    cdef Piece *names           # of dimensions
    cdef Column *columns
    cdef int n
    cdef Style style
    cdef Py_ssize_t room        # [bytes] that a cell takes without its key and what grows
    cdef Py_ssize_t fields_room
    cdef uint32_t *slots
    cdef Py_ssize_t count, next
    cdef bint overflow          # the overflow cell is still to come

    def __cinit__(self, Core core not None, bytes head not None, *, histogram="summary", quantiles=(), hll="estimate",
                  meta=False, limit=None):
        if histogram not in HISTOGRAMS or hll not in HLLS:
            raise ValueError(f"a histogram is written as one of {', '.join(HISTOGRAMS)}, a HyperLogLog as one of "
                             f"{', '.join(HLLS)}; not {histogram!r} and {hll!r}")
        self.core, self.held = core, []
        self.head, self.dimensions, self.ranks = self._piece(head), core.dimensions, core.sampler is not None
        self.told = core.mode
        self.begun = self._piece(b',"inherited":' if core.mode == "topk" else b',"floor":')
        if meta:
            self.mode = self._piece(b',"meta":{"mode":"%b"' % core.mode.encode())
        self._set_style(HISTOGRAMS.index(histogram), hll == "encoded", tuple(quantiles))
        self._set_names()
        core.guard.enter()
        try:
            self._set_slots(limit)
        finally:
            core.guard.leave()

    def __dealloc__(self):
        free(self.names)
        free(self.columns)
        free(self.style.names)
        free(self.style.percentiles)
        free(self.style.found)
        free(self.slots)

    cdef Piece _piece(self, bytes data):
        """Constant text; it stays as long as this object."""
        cdef Piece piece
        cdef bytes padded = data + bytes(PAD)
        self.held.append(padded)
        piece.data, piece.size = padded, len(data)
        return piece

    cdef int _set_style(self, int histogram, bint encoded_hll, tuple quantiles) except -1:
        cdef int i
        self.style.histogram, self.style.encoded_hll = histogram, encoded_hll
        self.style.names = <Piece *>calloc(len(quantiles) + 1, sizeof(Piece))
        self.style.percentiles = <double *>calloc(len(quantiles) + 1, sizeof(double))
        self.style.found = <int64_t *>calloc(len(quantiles) + 1, sizeof(int64_t))
        if self.style.names == NULL or self.style.percentiles == NULL or self.style.found == NULL:
            raise MemoryError
        for i in range(len(quantiles)):
            name, q = quantiles[i]
            self.style.names[i] = self._piece(quoted(name) + b":")
            self.style.percentiles[i] = q
        self.style.quantiles = len(quantiles)
        return 0

    cdef int _set_names(self) except -1:
        """The names of dimensions and metrics, and what they take with numbers behind them."""
        cdef Py_ssize_t i
        self.names = <Piece *>calloc(self.dimensions + 1, sizeof(Piece))
        self.metrics = list(self.core.metrics)
        self.n = len(self.metrics)
        self.columns = <Column *>calloc(self.n + 1, sizeof(Column))
        if self.names == NULL or self.columns == NULL:
            raise MemoryError
        self.room = self.head.size + META_ROOM + 4 * PAD
        for i in range(self.dimensions):
            self.names[i] = self._piece(quoted(self.core.names[i]) + b":")
            self.room += self.names[i].size + NUMBER_ROOM + 4
        for i in range(self.n):
            self._set_column(&self.columns[i], self.metrics[i])
            self.fields_room += self.columns[i].key.size + self.columns[i].head.size + NUMBER_ROOM + PAD
            if self.columns[i].kind == HISTOGRAM:
                self.fields_room += HEAD_ROOM
                for q in range(self.style.quantiles):
                    self.fields_room += self.style.names[q].size + NUMBER_ROOM + 1
        return 0

    cdef int _set_column(self, Column *column, metric) except -1:
        column.key = self._piece(quoted(metric.name) + b":")
        if isinstance(metric, CounterMetric):
            column.kind = REAL if (<CounterMetric>metric).real else COUNTER
        elif isinstance(metric, GaugeMetric):
            column.kind = GAUGE
        elif isinstance(metric, HistogramMetric):
            column.kind, column.shape = HISTOGRAM, (<HistogramMetric>metric).shape.shape
        else:
            column.kind, column.layout = HLL, (<HllMetric>metric).layout
            if self.style.encoded_hll:
                column.head = self._piece(b'{"precision":%d,"hash":%b,"registers":"' % (
                    metric.precision, quoted(metric.hash)))
        return 0

    cdef int _set_slots(self, limit) except -1:
        """The slots in the order in which they are written."""
        cdef Cells cells = self.core.cells
        cdef Py_ssize_t i, most = cells.count if limit is None else max(0, min(<Py_ssize_t>limit, cells.count))
        cdef uint32_t slot
        self.overflow = self.core.overflow_slot >= 0
        if self.core.sampler is not None:
            ranked = self.core.ranked(most)
            self.slots = <uint32_t *>malloc((len(ranked) + 1) * sizeof(uint32_t))
            if self.slots == NULL:
                raise MemoryError
            for i in range(len(ranked)):
                self.slots[i] = ranked[i]
            self.count = len(ranked)
            return 0
        self.slots = cells.listed()
        if self.slots == NULL:
            raise MemoryError
        for i in range(cells.residents()):
            slot = self.slots[i]
            if self.count < most and cells.marks[slot] & TOUCHED:
                self.slots[self.count] = slot
                self.count += 1
        return 0

    def read(self, bytes separator not None):
        """See the twin."""
        cdef Text text
        cdef int failed
        cdef const char *between = separator
        cdef Py_ssize_t between_size = len(separator)
        cdef Cells cells = self.core.cells
        cdef Sampler sampler = self.core.sampler if self.core.mode == self.told else None
        text.used, text.room = 0, CHUNK + self.room + self.fields_room
        text.data = <char *>malloc(text.room)
        if text.data == NULL:
            raise MemoryError
        try:
            self.core.guard.enter()
            try:
                self._look()
                with nogil:
                    failed = self._fill(&text, cells, sampler, between, between_size)
                if not failed and self.overflow and self.next == self.count and text.used < CHUNK:
                    self.overflow = False
                    failed = self._put_overflow(&text, cells, between, between_size)
            finally:
                self.core.guard.leave()
            if failed:
                raise MemoryError
            return PyBytes_FromStringAndSize(text.data, text.used)
        finally:
            free(text.data)

    cdef int _look(self) except -1:
        """Where the columns are: they move as cells are added, and one that was dropped does not grow any more."""
        cdef int i
        for i in range(self.n):
            metric = self.metrics[i]
            if metric.dropped:
                self.columns[i].values = NULL
            elif self.columns[i].kind == COUNTER:
                self.columns[i].values = (<CounterMetric>metric).values
            elif self.columns[i].kind == REAL:
                self.columns[i].values = (<CounterMetric>metric).reals
            elif self.columns[i].kind == GAUGE:
                self.columns[i].values = (<GaugeMetric>metric).values
            elif self.columns[i].kind == HISTOGRAM:
                self.columns[i].values = (<HistogramMetric>metric).values
            else:
                self.columns[i].values = (<HllMetric>metric).values
                self.columns[i].layout = (<HllMetric>metric).layout
        return 0

    cdef int _fill(self, Text *text, Cells cells, Sampler sampler, const char *between, Py_ssize_t size) noexcept nogil:
        """The next cells of those that are there still; -1 without memory."""
        cdef uint32_t slot
        while self.next < self.count and text.used < CHUNK:
            slot = self.slots[self.next]
            self.next += 1
            if slot >= cells.count or not cells.marks[slot] & TOUCHED:
                continue
            if make_room(text, self.room + self.fields_room + size + ESCAPED * <Py_ssize_t>cells.key_size(slot)):
                return -1
            if text.used:
                put(text, between, size)
            if self._put_cell(text, cells, sampler, slot, False):
                return -1
        return 0

    cdef int _put_overflow(self, Text *text, Cells cells, const char *between, Py_ssize_t size) except? -1:
        """The overflow cell, whose counters are what others do not have; -1 without memory."""
        cdef int i
        cdef int64_t slot = self.core.overflow_slot
        if slot < 0:
            return 0
        for i in range(self.n):
            if self.columns[i].kind == COUNTER:
                self.columns[i].other = self.metrics[i].value(slot)
            elif self.columns[i].kind == REAL:
                self.columns[i].real_other = self.metrics[i].value(slot)
        if make_room(text, self.room + self.fields_room + size + ESCAPED * <Py_ssize_t>cells.key_size(<uint32_t>slot)):
            return -1
        if text.used:
            put(text, between, size)
        return self._put_cell(text, cells, None, <uint32_t>slot, True)

    cdef int _put_cell(self, Text *text, Cells cells, Sampler sampler, uint32_t slot, bint overflow) noexcept nogil:
        cdef const uint8_t *key = cells.key_at(slot)
        cdef Py_ssize_t size = cells.key_size(slot), read, i
        cdef field_t field
        put_piece(text, &self.head)
        for i in range(self.dimensions):
            read = read_field(key, size, &field)
            put_piece(text, &self.names[i])
            put_tag(text, &field)
            put_byte(text, b",")
            key += read
            size -= read
        if overflow:
            put(text, b'"overflow":true,', 16)
        close(text, b'},"fields":{', 12)
        if put_fields(text, self.columns, self.n, slot, overflow, &self.style, self.room + self.fields_room):
            return -1
        close(text, b"}", 1)
        if self.mode.size:
            self._put_meta(text, cells, sampler, slot, overflow)
        put_byte(text, b"}")
        return 0

    cdef void _put_meta(self, Text *text, Cells cells, Sampler sampler, uint32_t slot, bint overflow) noexcept nogil:
        """How a cell got in. The mode is told of all cells, the rest of those that a metric ranks."""
        put_piece(text, &self.mode)
        if self.ranks and not overflow:
            put(text, b',"rank":', 8)
            put_count(text, self.next)
            if cells.marks[slot] & LATE:
                put(text, b',"late":true', 12)
            else:
                put(text, b',"late":false', 13)
            put_piece(text, &self.begun)
            put_whole(text, sampler.inherited(slot) if sampler is not None else 0)
        put_byte(text, b"}")
