# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Rows of buckets held as columns: the fast build of istat/kernels/python/columns.py.

Same names, same order of floating-point operations, same bits. Fused multiply-add is off for that reason.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef double MAX_DOUBLE = 1.7976931348623157e308
cdef int64_t MAX_INT64 = 0x7FFFFFFFFFFFFFFF


cdef inline double bounded(double value) noexcept nogil:
    if value > MAX_DOUBLE:
        return MAX_DOUBLE
    if value < -MAX_DOUBLE:
        return -MAX_DOUBLE
    return value


cdef inline double rounded_off(double a, double b, double total) noexcept nogil:
    """What rounding took from a + b, exactly, when it gave total (Knuth's TwoSum)."""
    cdef double part = total - a
    return (a - (total - part)) + (b - part)


cdef inline double with_lost(double total, double lost) noexcept nogil:
    """The sum with what rounding took from it, unless that overflowed."""
    return bounded(total + lost) if -MAX_DOUBLE <= lost <= MAX_DOUBLE else total


cdef inline int64_t floor_to(int64_t value, int64_t start, int64_t interval) noexcept nogil:
    """Give the start of value's group: groups of interval from start, downwards too."""
    cdef int64_t rest = (value - start) % interval
    return value - rest - interval if rest < 0 else value - rest


cdef Py_ssize_t merge_two(int64_t *time, Py_ssize_t *a, Py_ssize_t *a_end, Py_ssize_t *b_end,
                          Py_ssize_t *out) noexcept nogil:
    """Merge the neighbours [a, a_end) and [a_end, b_end) of row numbers, by time, a first at ties."""
    cdef Py_ssize_t *b = a_end
    cdef Py_ssize_t done = 0
    while a < a_end and b < b_end:
        if time[b[0]] < time[a[0]]:
            out[done] = b[0]
            b += 1
        else:
            out[done] = a[0]
            a += 1
        done += 1
    while a < a_end:
        out[done] = a[0]
        a += 1
        done += 1
    while b < b_end:
        out[done] = b[0]
        b += 1
        done += 1
    return done


cdef class Columns:
    """A growing list of rows. Not safe for use by two threads at once."""

    def __dealloc__(self):
        free(self.time)         # one allocation holds all six columns

    # --- for kernels -----------------------------------------------------------------------------

    cdef int reserve(self, Py_ssize_t rows) noexcept nogil:
        cdef Py_ssize_t room
        cdef char *made
        if rows <= self.room:
            return 0
        room = self.room * 2
        if room < rows:
            room = rows
        if room < 16:
            room = 16
        if room > (<Py_ssize_t>1 << 40):
            return -1
        made = <char *>malloc(room * 48)
        if made == NULL:
            return -1
        if self.n:
            memcpy(made, self.time, self.n * 8)
            memcpy(made + room * 8, self.count, self.n * 8)
            memcpy(made + room * 16, self.sum, self.n * 8)
            memcpy(made + room * 24, self.m2, self.n * 8)
            memcpy(made + room * 32, self.min, self.n * 8)
            memcpy(made + room * 40, self.max, self.n * 8)
        self._take(made, room)
        return 0

    cdef void _take(self, char *made, Py_ssize_t room) noexcept nogil:
        free(self.time)
        self.room = room
        self.time = <int64_t *>made
        self.count = <int64_t *>(made + room * 8)
        self.sum = <double *>(made + room * 16)
        self.m2 = <double *>(made + room * 24)
        self.min = <double *>(made + room * 32)
        self.max = <double *>(made + room * 40)

    cdef int push(self, int64_t time, int64_t count, double sum, double m2,
                  double min, double max) noexcept nogil:
        if self.n >= self.room and self.reserve(self.n + 1):
            return -1
        self.set_row(self.n, time, count, sum, m2, min, max)
        self.n += 1
        return 0

    cdef void clear(self) noexcept nogil:
        self.n = 0

    cdef void set_row(self, Py_ssize_t index, int64_t time, int64_t count, double sum, double m2,
                      double min, double max) noexcept nogil:
        self.time[index] = time
        self.count[index] = count
        self.sum[index] = sum
        self.m2[index] = m2
        self.min[index] = min
        self.max[index] = max

    cdef void move_row(self, Py_ssize_t to, Py_ssize_t index) noexcept nogil:
        self.set_row(to, self.time[index], self.count[index], self.sum[index], self.m2[index],
                     self.min[index], self.max[index])

    cdef void merge_row(self, Py_ssize_t into, int64_t count, double sum, double m2,
                        double min, double max) noexcept nogil:
        cdef double low = self.min[into]
        cdef double high = self.max[into]
        cdef double size_a = <double>self.count[into]
        cdef double size_b = <double>count
        cdef double distance
        cdef double merged = 0.0
        if min < low:
            low = min
        if max > high:
            high = max
        if low != high:
            distance = sum / size_b - self.sum[into] / size_a
            merged = self.m2[into] + m2 + distance * distance * size_a * size_b / (size_a + size_b)
            if not merged <= MAX_DOUBLE:
                merged = MAX_DOUBLE
        if self.count[into] > MAX_INT64 - count:
            self.count[into] = MAX_INT64
        else:
            self.count[into] += count
        self.sum[into] = bounded(self.sum[into] + sum)
        self.m2[into] = merged
        self.min[into] = low
        self.max[into] = high

    cdef void _merge_all(self, Columns source, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Merge rows of source into the last one as merge_row does, with a compensated sum."""
        cdef Py_ssize_t i, into = self.n - 1
        cdef int64_t count = self.count[into]
        cdef double total = self.sum[into], m2 = self.m2[into], low = self.min[into], high = self.max[into]
        cdef double lost = 0.0, before, size_a, size_b, distance
        for i in range(first, end):
            low = source.min[i] if source.min[i] < low else low
            high = source.max[i] if source.max[i] > high else high
            size_a = <double>count
            size_b = <double>source.count[i]
            if low != high:
                distance = source.sum[i] / size_b - total / size_a
                m2 = m2 + source.m2[i] + distance * distance * size_a * size_b / (size_a + size_b)
                if not m2 <= MAX_DOUBLE:
                    m2 = MAX_DOUBLE
            else:
                m2 = 0.0
            count = MAX_INT64 if count > MAX_INT64 - source.count[i] else count + source.count[i]
            before = total
            total = bounded(total + source.sum[i])
            lost += rounded_off(before, source.sum[i], total)
        self.set_row(into, self.time[into], count, with_lost(total, lost), m2, low, high)

    cdef int _sort(self) noexcept nogil:
        """Stable sort by time: merges the ascending stretches that are already there."""
        cdef Py_ssize_t n = self.n
        cdef Py_ssize_t *order
        cdef Py_ssize_t *other
        cdef Py_ssize_t *swap
        cdef Py_ssize_t *ends
        cdef Py_ssize_t *memory
        cdef Py_ssize_t stretches = 0, left, merged, begin, i
        memory = <Py_ssize_t *>malloc(3 * n * sizeof(Py_ssize_t))
        if memory == NULL:
            return -1
        order = memory
        other = memory + n
        ends = memory + 2 * n
        for i in range(n):
            order[i] = i
            if i + 1 == n or self.time[i + 1] < self.time[i]:
                ends[stretches] = i + 1
                stretches += 1
        while stretches > 1:
            begin = 0
            merged = 0
            left = 0
            while left < stretches:
                if left + 1 < stretches:
                    merge_two(self.time, order + begin, order + ends[left], order + ends[left + 1], other + begin)
                    begin = ends[left + 1]
                else:
                    memcpy(other + begin, order + begin, (ends[left] - begin) * sizeof(Py_ssize_t))
                    begin = ends[left]
                ends[merged] = begin
                merged += 1
                left += 2
            stretches = merged
            swap = order
            order = other
            other = swap
        i = self._permute(order)
        free(memory)
        return <int>i

    cdef int _permute(self, Py_ssize_t *order) noexcept nogil:
        cdef Py_ssize_t room = self.room, i, at
        cdef char *made = <char *>malloc(room * 48)
        if made == NULL:
            return -1
        for i in range(self.n):
            at = order[i]
            (<int64_t *>made)[i] = self.time[at]
            (<int64_t *>(made + room * 8))[i] = self.count[at]
            (<double *>(made + room * 16))[i] = self.sum[at]
            (<double *>(made + room * 24))[i] = self.m2[at]
            (<double *>(made + room * 32))[i] = self.min[at]
            (<double *>(made + room * 40))[i] = self.max[at]
        self._take(made, room)
        return 0

    cdef void add_rates(self, Py_ssize_t into, Py_ssize_t i) noexcept nogil:
        self.set_row(into, self.time[into], max(self.count[into], self.count[i]),
                     bounded(self.sum[into] + self.sum[i]), bounded(self.m2[into] + self.m2[i]),
                     bounded(self.min[into] + self.min[i]), bounded(self.max[into] + self.max[i]))

    cdef int fold_rows(self, int how) noexcept nogil:
        cdef Py_ssize_t i, last
        cdef double total
        cdef bint sorted = True, unique = True
        for i in range(1, self.n):
            if self.time[i] <= self.time[i - 1]:
                unique = False
                if self.time[i] < self.time[i - 1]:
                    sorted = False
                    break
        if unique:
            return 0
        if not sorted and self._sort():
            return -1
        last = 0
        for i in range(1, self.n):
            if self.time[i] != self.time[last]:
                last += 1
                self.move_row(last, i)
            elif how == FOLD_RATES:
                self.add_rates(last, i)
            elif how == FOLD_TOTALS:
                total = bounded(self.sum[last] + self.sum[i])
                self.set_row(last, self.time[last], 1, total, 0.0, total, total)
            else:
                self.merge_row(last, self.count[i], self.sum[i], self.m2[i], self.min[i], self.max[i])
        self.n = last + 1
        return 0

    cdef int copy_span(self, Columns source, int64_t start, int64_t end) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(source.n):
            if start <= source.time[i] < end:
                if self.push(source.time[i], source.count[i], source.sum[i], source.m2[i],
                             source.min[i], source.max[i]):
                    return -1
        return 0

    cdef void to_rates(self, int64_t interval) noexcept nogil:
        cdef Py_ssize_t i
        cdef double rate
        for i in range(self.n):
            rate = self.sum[i] / <double>interval
            self.set_row(i, self.time[i], 1, rate, 0.0, rate, rate)

    cdef int reduce_from(self, Columns source, int64_t start, int64_t interval,
                         int64_t event_count) noexcept nogil:
        cdef Py_ssize_t i = 0, last
        cdef Py_ssize_t first = self.n
        cdef int64_t time
        while i < source.n:
            time = floor_to(source.time[i], start, interval)
            last = i + 1
            while last < source.n and time <= source.time[last] < time + interval:
                last += 1
            if self.push(time, source.count[i], source.sum[i], source.m2[i], source.min[i], source.max[i]):
                return -1
            self._merge_all(source, i + 1, last)
            i = last
        if event_count > 0:
            for i in range(first, self.n):
                if self.count[i] < event_count:
                    self.merge_row(i, event_count - self.count[i], 0.0, 0.0, 0.0, 0.0)
                self.count[i] = event_count
        return 0

    # --- for Python ------------------------------------------------------------------------------

    @staticmethod
    def from_rows(rows):
        """Build from ``(time, count, sum, m2, min, max)`` tuples."""
        cdef Columns made = Columns()
        for row in rows:
            made.append(*row)
        return made

    def __len__(self):
        return self.n

    def row(self, Py_ssize_t index):
        """Give one row; IndexError outside 0 <= index < len."""
        if not 0 <= index < self.n:
            raise IndexError("no such row")
        return (self.time[index], self.count[index], self.sum[index], self.m2[index],
                self.min[index], self.max[index])

    def rows(self):
        """Give all rows, in their order."""
        return [self.row(i) for i in range(self.n)]

    def append(self, int64_t time, int64_t count, double sum, double m2, double min, double max):
        """Add one row at the end; OverflowError if time or count is no int64."""
        if self.push(time, count, sum, m2, min, max):
            raise MemoryError

    def extend(self, Columns other not None):
        """Add all rows of other at the end."""
        cdef Py_ssize_t n = other.n
        if n == 0:
            return
        if self.reserve(self.n + n):
            raise MemoryError
        memcpy(self.time + self.n, other.time, n * 8)
        memcpy(self.count + self.n, other.count, n * 8)
        memcpy(self.sum + self.n, other.sum, n * 8)
        memcpy(self.m2 + self.n, other.m2, n * 8)
        memcpy(self.min + self.n, other.min, n * 8)
        memcpy(self.max + self.n, other.max, n * 8)
        self.n += n

    def fold(self, bint event):
        """Sort by time (stable) and merge rows of equal time from left to right, in place."""
        cdef int failed
        with nogil:
            failed = self.fold_rows(FOLD_TOTALS if event else FOLD_GAUGES)
        if failed:
            raise MemoryError

    def fold_rates(self):
        """Sort by time (stable) and add event rates of equal time (`merge_rates`), in place."""
        cdef int failed
        with nogil:
            failed = self.fold_rows(FOLD_RATES)
        if failed:
            raise MemoryError

    def slice(self, int64_t start, int64_t end):
        """Copy the rows with start <= time < end."""
        cdef Columns made = Columns()
        if made.copy_span(self, start, end):
            raise MemoryError
        return made

    def rates(self, int64_t interval):
        """Turn event totals of buckets of interval seconds into rates per second, in place."""
        if interval < 1:
            raise ValueError("interval must be positive")
        self.to_rates(interval)

    def reduce(self, int64_t start, int64_t interval, int64_t event_count=0):
        """Merge time-ordered rows into buckets of interval seconds that begin at start.

        Groups without rows are left out. Sums are compensated, so that sums of decimals stay next to the
        decimal however many rows there are. For events (event_count > 0: fine buckets in a group) the
        missing fine buckets are merged in as zeros and the count becomes event_count.
        """
        cdef Columns made = Columns()
        cdef int failed
        if interval < 1:
            raise ValueError("interval must be positive")
        with nogil:
            failed = made.reduce_from(self, start, interval, event_count)
        if failed:
            raise MemoryError
        return made

    def fill_zero(self, int64_t start, int64_t end, int64_t interval, int64_t count):
        """Copy the time-ordered rows of start <= time < end; every step without one becomes a zero.

        Zeros carry the given count. For events, where no bucket means that nothing happened.
        """
        cdef Columns made = Columns()
        cdef Py_ssize_t i = 0
        cdef int64_t step = start
        cdef int failed = 0
        if interval < 1:
            raise ValueError("interval must be positive")
        while i < self.n and self.time[i] < start:
            i += 1
        while step < end and not failed:
            if i >= self.n or self.time[i] >= end or self.time[i] >= step + interval:
                failed = made.push(step, count, 0.0, 0.0, 0.0, 0.0)
            while i < self.n and self.time[i] < step + interval and self.time[i] < end and not failed:
                failed = made.push(self.time[i], self.count[i], self.sum[i], self.m2[i], self.min[i], self.max[i])
                i += 1
            step += interval
        if failed:
            raise MemoryError
        return made

    def add_direct(self, Columns direct not None, int64_t interval, int64_t fine_interval):
        """Add event totals that arrived at a coarse level to that level's rate rows, in place.

        Both hold buckets of interval seconds. The total counts as spread evenly over the fine buckets:
        sum is exact, min, max and M2 are what that spreading gives.
        """
        cdef Columns totals = Columns()
        cdef int64_t parts
        cdef Py_ssize_t i, at = 0, old = self.n
        cdef double rate, share
        if fine_interval < 1 or interval < fine_interval:
            raise ValueError("interval must be a multiple of fine_interval")
        parts = interval // fine_interval
        totals.extend(direct)
        totals.fold(True)
        for i in range(totals.n):
            rate = totals.sum[i] / <double>fine_interval
            share = rate / <double>parts
            while at < old and self.time[at] < totals.time[i]:
                at += 1
            if at < old and self.time[at] == totals.time[i]:
                self.sum[at] = bounded(self.sum[at] + rate)
                self.min[at] = bounded(self.min[at] + share)
                self.max[at] = bounded(self.max[at] + share)
            elif self.push(totals.time[i], parts, rate, 0.0, share, share):
                raise MemoryError
        if self.n > old and self._sort():
            raise MemoryError
