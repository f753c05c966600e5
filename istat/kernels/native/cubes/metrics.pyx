# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Columns of counters and of gauges, with the methods that programs call. The specification is the Python twin."""
from libc.math cimport INFINITY, NAN, isfinite
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from istat.errors import CubeError

from istat.kernels.native.cubes.cells cimport CoreBase, aim_t
from istat.kernels.native.cubes.inner.columns cimport Column, Items, real, real_items, real_of, whole_items, whole_of
from istat.kernels.native.cubes.inner.metric cimport as_bits, as_real, real_order, slot_of, sum_of_reals, sum_of_wholes
from istat.kernels.native.cubes.inner.rows cimport KeyBatch
from istat.kernels.native.cubes.inner.table cimport NO_MEMORY, grow
from istat.kernels.native.cubes.keys cimport KEY_ROOM, whole

RULES = ("last", "sum", "max", "min")       # by which gauges merge
cdef double LARGEST = 1.7976931348623157e308        # of float64: real counters saturate here
cdef int64_t INT_MIN = -0x7FFFFFFFFFFFFFFF - 1
cdef int64_t INT_MAX = 0x7FFFFFFFFFFFFFFF


cdef class CounterMetric(Metric):
    """A sum of int64, or of float64 (`real`). It stops at the limits of its type instead of wrapping."""

    kind = "counter"

    def __init__(self, str name not None, CoreBase core not None, bint real=False):
        Metric.__init__(self, name, core)
        self.real = real

    def __dealloc__(self):
        free(self.values)

    cdef inline int64_t sum(self, int64_t a, int64_t b) noexcept nogil:
        """a + b, at the limits of the type where they are passed; the cube tells so then."""
        cdef int64_t total = <int64_t> (<uint64_t> a + <uint64_t> b)
        if (a ^ total) & (b ^ total) >= 0:
            return total
        self.core.saturated = True
        return INT_MAX if a >= 0 else INT_MIN

    cdef inline double real_sum(self, double a, double b) noexcept nogil:
        cdef double total = a + b
        if -LARGEST <= total <= LARGEST:
            return total
        self.core.saturated = True
        return LARGEST if total > 0 else -LARGEST

    cdef uint64_t amount(self, object n) except? 0xFFFFFFFFFFFFFFFEu:
        """A checked amount, the bits of a real one."""
        cdef double number
        cdef int64_t value
        if self.real:
            number = real(n, self.name)
            if not isfinite(number):
                raise ValueError(f"{self.name} takes finite numbers only")
            return as_bits(number)
        value = whole(n)
        if value < 0 and self.ranks:
            raise ValueError(f"{self.name} ranks the cells of its cube and only rises: {n} cannot be added")
        return <uint64_t> value

    cdef Items checked_items(self, Column column, Py_ssize_t rows):
        cdef Items items
        cdef Py_ssize_t i
        if self.real:
            items = real_items(column, rows, self.name)
            for i in range(items.n):
                if not isfinite(real_of(items, i)):
                    raise ValueError(f"{self.name} takes finite numbers only")
            return items
        items = whole_items(column, rows)
        for i in range(items.n if self.ranks else 0):
            if whole_of(items, i) < 0:
                raise ValueError(f"{self.name} ranks the cells of its cube and only rises: {whole_of(items, i)} cannot be added")
        return items

    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil:
        cdef int64_t slot
        if self.ranks:
            slot = self.core.rank_up(aim, <int64_t> value, 0)
        else:
            slot = slot_of(self.core, aim)
            if slot < 0:
                pass
            elif self.real:
                self.reals[slot] = self.real_sum(self.reals[slot], as_real(value))
            else:
                self.values[slot] = self.sum(self.values[slot], <int64_t> value)
        if slot == NO_MEMORY:
            pass
        elif self.real:
            self.real_total = self.real_sum(self.real_total, as_real(value))
        else:
            self.whole_total = self.sum(self.whole_total, <int64_t> value)
        return slot

    cdef void set_slot(self, int64_t slot, uint64_t value) noexcept nogil:
        """Of a cell, or of none when it was refused: then the totals alone change."""
        cdef int64_t before = 0
        cdef double real_before = 0
        if self.real:
            if slot >= 0:
                real_before = self.reals[slot]
                self.reals[slot] = as_real(value)
            self.real_total = self.real_sum(self.real_sum(self.real_total, as_real(value)), -real_before)
            return
        if slot >= 0:
            before = self.values[slot]
            self.values[slot] = <int64_t> value
        self.whole_total = self.sum(self.whole_total, <int64_t> value)
        if before == INT_MIN:               # minus that is no int64
            self.whole_total = self.sum(self.whole_total, 1)
            before += 1
        self.whole_total = self.sum(self.whole_total, -before)

    def incrby(self, target, n=1):
        """Add to a cell. TypeError for what is no number of the counter's type, OverflowError beyond int64, ValueError
        for one that is not finite, and below 0 where the counter ranks the cube's cells."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef uint64_t value = self.amount(n)
        self.begin(target, &aim, key)
        return self.done(self.apply(&aim, value))

    def incrby_many(self, KeyBatch rows not None, n=1):
        """As `incrby` for each row; how many had a cell."""
        return self.apply_many(rows, self.many(rows, n))

    def set(self, target, n):
        """Give a cell's counter another value; the totals change by the difference. CubeError where the counter ranks
        the cube's cells, else errors as of `incrby`."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef int64_t slot
        cdef uint64_t value = self.amount(n)
        self.check_settable()
        self.begin(target, &aim, key)
        slot = slot_of(self.core, &aim)
        if slot != NO_MEMORY:
            self.set_slot(slot, value)
        return self.done(slot)

    def set_many(self, KeyBatch rows not None, n):
        """As `set` for each row; how many had a cell."""
        cdef Items values = self.many(rows, n)
        cdef Py_ssize_t i
        cdef int64_t slot = 0
        cdef int64_t found = 0
        cdef aim_t aim
        self.check_settable()
        self.core.guard.enter()
        self.still_listed()
        with nogil:
            rows.begin()
            for i in range(rows.n):
                rows.aim_at(i, &aim)
                slot = slot_of(self.core, &aim)
                if slot == NO_MEMORY:
                    break
                self.set_slot(slot, values.items[i * values.step])
                rows.slots[i] = slot
                found += slot >= 0
        self.done(slot)
        return found

    def check_settable(self):
        """CubeError for the counter that ranks cells."""
        if self.ranks:
            raise CubeError(f"{self.name} ranks the cells of its cube: it can be raised by incrby, but not set")

    cdef int raise_by(self, uint32_t slot, int64_t amount, uint64_t item, uint8_t *before, uint8_t *now) noexcept nogil:
        self.values[slot] = self.sum(self.values[slot], amount)
        return 0

    cdef int64_t order(self, uint32_t slot) noexcept nogil:
        return real_order(self.reals[slot]) if self.real else self.values[slot]

    def rank(self, uint32_t slot):
        """What cells are ordered by when they are ordered by this metric."""
        self.check(slot)
        return self.reals[slot] if self.real else self.values[slot]

    @property
    def total(self):
        """Of all updates, the refused ones as well."""
        return self.real_total if self.real else self.whole_total

    @total.setter
    def total(self, value):
        if self.real:
            self.real_total = value
        else:
            self.whole_total = value

    @property
    def other(self):
        """What the totals have more than the cells: updates that were refused, and cells that were evicted."""
        self.check_listed()
        self.core.guard.look()
        if not (self.core.refused or self.core.evicted):
            return 0.0 if self.real else 0
        return self.total - (sum_of_reals(self.reals, self.core.cells) if self.real else sum_of_wholes(self.values, self.core.cells))

    def value(self, uint32_t slot):
        """The count of a slot; of the overflow cell, what the other cells do not have."""
        self.check(slot)
        if slot == self.core.cells.overflow:
            return self.other
        return self.reals[slot] if self.real else self.values[slot]

    def merged(self, slots):
        """What these slots, none of them the overflow cell's, have together."""
        slots = tuple(slots)
        for slot in slots:
            self.check(slot)
        if self.real:
            return min(max(sum([self.reals[<uint32_t> slot] for slot in slots], 0.0), -LARGEST), LARGEST)
        return min(max(sum([self.values[<uint32_t> slot] for slot in slots]), INT_MIN), INT_MAX)

    def put(self, uint32_t slot, value):
        """Set the value of a slot, and no totals: for readers of files."""
        self.check(slot)
        if self.real:
            self.reals[slot] = value
        else:
            self.values[slot] = value

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room <= self.room:
            return 0
        if grow(<void **> &self.values, room * sizeof(int64_t)) < 0:
            return NO_MEMORY
        self.reals = <double *> self.values
        self.clear_slots(self.room, room)
        self.room = room
        return 0

    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil:
        if end > first:
            memset(self.values + first, 0, (end - first) * sizeof(int64_t))     # the bits of 0.0 are zero as well

    cdef void clear_totals(self) noexcept nogil:
        self.whole_total = 0
        self.real_total = 0

    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil:
        if self.real:
            self.reals[slot] = self.real_sum(self.reals[slot], (<CounterMetric> other).reals[of])
        else:
            self.values[slot] = self.sum(self.values[slot], (<CounterMetric> other).values[of])
        return 0

    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil:
        self.values[to] = self.values[of]
        self.clear_slots(of, of + 1)

    cdef int add_totals(self, Metric other) noexcept nogil:
        self.whole_total = self.sum(self.whole_total, (<CounterMetric> other).whole_total)
        self.real_total = self.real_sum(self.real_total, (<CounterMetric> other).real_total)
        return 0

    cdef uint64_t bytes(self, uint32_t count) noexcept nogil:
        return self.room * sizeof(int64_t)

    def __repr__(self):
        return f"CounterMetric({self.name!r}{', dtype=float' if self.real else ''})"


cdef class GaugeMetric(Metric):
    """The last value set; what merging makes of two, the rule tells: last, sum, max or min."""

    kind = "gauge"

    def __init__(self, str name not None, CoreBase core not None, str rule="last"):
        Metric.__init__(self, name, core)
        if rule not in RULES:
            raise ValueError(f"a gauge merges by one of {', '.join(RULES)}, not by {rule!r}")
        self.rule = rule
        self.how = RULES.index(rule)

    def __dealloc__(self):
        free(self.values)

    def set(self, target, value):
        """Set a cell's gauge. TypeError for what is no number, ValueError for NaN."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef uint64_t bits = as_bits(real(value, self.name))
        self.begin(target, &aim, key)
        return self.done(self.apply(&aim, bits))

    def set_many(self, KeyBatch rows not None, values):
        """As `set` for each row; how many had a cell."""
        return self.apply_many(rows, self.many(rows, values))

    cdef Items checked_items(self, Column column, Py_ssize_t rows):
        return real_items(column, rows, self.name)

    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil:
        cdef int64_t slot = slot_of(self.core, aim)
        if slot >= 0:
            self.values[slot].value = as_real(value)
            self.values[slot].tick = self.core.guard.tick
            self.values[slot].origin = self.core.guard.origin
        return slot

    cdef int64_t order(self, uint32_t slot) noexcept nogil:
        cdef double value = self.values[slot].value
        return real_order(value if value == value else -INFINITY)

    def rank(self, uint32_t slot):
        """What cells are ordered by when they are ordered by this metric."""
        self.check(slot)
        return self.values[slot].value if self.is_set(slot) else -INFINITY

    def is_set(self, uint32_t slot):
        """Whether the slot has a value."""
        self.check(slot)
        return self.values[slot].value == self.values[slot].value

    def value(self, uint32_t slot):
        """The gauge of a slot; None when it is not set."""
        self.check(slot)
        return self.values[slot].value if self.is_set(slot) else None

    def stamp(self, uint32_t slot):
        """Tick and origin of who set the gauge of a slot; (0, 0) when it is not set."""
        self.check(slot)
        return (<object> self.values[slot].tick, <object> self.values[slot].origin) if self.is_set(slot) else (0, 0)

    def merged(self, slots):
        """What these slots have together."""
        cdef gauge_t together
        cdef uint32_t slot
        together.value = NAN
        for slot in slots:
            self.check(slot)
            self.join(&together, &self.values[slot])
        return together.value if together.value == together.value else None

    def put(self, uint32_t slot, value, int64_t tick=0, uint64_t origin=0):
        """Set the value of a slot, and its stamp: for readers of files."""
        self.check(slot)
        self.values[slot].value = NAN if value is None else value
        self.values[slot].tick = tick
        self.values[slot].origin = origin

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room <= self.room:
            return 0
        if grow(<void **> &self.values, room * sizeof(gauge_t)) < 0:
            return NO_MEMORY
        self.clear_slots(self.room, room)
        self.room = room
        return 0

    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil:
        cdef uint32_t slot
        for slot in range(first, end):
            self.values[slot].value = NAN
            self.values[slot].tick = 0
            self.values[slot].origin = 0

    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil:
        self.join(&self.values[slot], &(<GaugeMetric> other).values[of])
        return 0

    cdef void join(self, gauge_t *mine, const gauge_t *theirs) noexcept nogil:
        """What the rule makes of two."""
        cdef double sum = mine.value + theirs.value
        cdef bint later = theirs.tick > mine.tick or (theirs.tick == mine.tick and theirs.origin > mine.origin)
        cdef bint same = theirs.tick == mine.tick and theirs.origin == mine.origin
        if theirs.value != theirs.value:
            return
        if mine.value != mine.value:
            mine[0] = theirs[0]
            return
        if self.how == RULE_LAST:           # the value comes last: one instance may have set two at one tick
            if later or (same and theirs.value > mine.value):
                mine[0] = theirs[0]
            return
        if self.how == RULE_SUM:            # infinite: of both infinities, in whatever order
            mine.value = sum if sum == sum else INFINITY
        elif (theirs.value > mine.value) if self.how == RULE_MAX else (theirs.value < mine.value):
            mine.value = theirs.value
        if later:
            mine.tick = theirs.tick
            mine.origin = theirs.origin

    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil:
        self.values[to] = self.values[of]
        self.clear_slots(of, of + 1)

    cdef uint64_t bytes(self, uint32_t count) noexcept nogil:
        return self.room * sizeof(gauge_t)

    def __repr__(self):
        return f"GaugeMetric({self.name!r}, merge={self.rule!r})"
