# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lines and rows to buckets: what senders' samples do to heads and journal. Knows no sockets, files or clock.

A wire name found among the routes leads straight to the counters it feeds. What the loop cannot handle (new names,
metadata) is left over for Python as (code, line); so are bad lines, and those whose sample a counter refused. The
specification is the Python twin.
"""
from libc.math cimport fabs, isfinite
from libc.string cimport memchr, memcmp

from istat.kernels.native.columns cimport Columns
from istat.kernels.native.ingest.head cimport head_add, head_places
from istat.kernels.native.ingest.ladders cimport Ladder
from istat.kernels.native.ingest.lines cimport (
    BAD_FIELDS, BAD_NUMBER, EMPTY, FROM_FUTURE, FROM_PAST, LINE_CODES, META, NOT_FINITE, REJECTED, RESERVED, SAMPLE,
    TOO_COARSE, UNKNOWN, Sample, is_digit, is_space, parse_line)
from istat.kernels.native.ingest.records cimport (
    MOST_COUNT, MOST_INTERVAL, MOST_MARK, MOST_SALT, MOST_SENDER, STORE_BYTES, put_interval, put_mark, put_position,
    put_sample, take)
from istat.kernels.native.ingest.registry cimport is_deleted, is_event, ladder_of, note_heard
from istat.kernels.native.ingest.routes cimport MANY, NOWHERE, ids_of
from istat.kernels.native.names cimport ref_at, ref_size, ref_text

cdef extern from *:
    """
    #include <string.h>
    static void *istat_last_lf(const char *text, size_t size) {
        while (size) if (text[--size] == 10) return (void *) (text + size);
        return 0;
    }
    /* 10**0 .. 10**18 are exact doubles; a mantissa up to 2**53 divided by one is correctly rounded (Clinger 1990). */
    static const double istat_pow10[19] = {1e0,1e1,1e2,1e3,1e4,1e5,1e6,1e7,1e8,1e9,1e10,1e11,1e12,1e13,1e14,
        1e15,1e16,1e17,1e18};
    """
    const double istat_pow10[19]
    void *istat_last_lf(const char *text, size_t size) noexcept nogil

# Refusals and totals, in the order of `tally`.
TALLY = ("samples", "lines", "bad_fields", "bad_number", "not_finite", "reserved", "metadata", "unknown",
         "from_future", "from_past", "rejected", "journalled", "too_coarse")

cdef enum:
    BAD_KEPT = 32              # bad lines kept with their text between two calls of take_leftovers; the rest is counted
    BAD_ROOM = 200             # [bytes] of a bad line kept

# What `new_among` draws lines by (Knuth's MMIX).
cdef uint64_t DRAW_TIMES = 6364136223846793005
cdef uint64_t DRAW_PLUS = 1442695040888963407


cdef int tally_of(int code) noexcept nogil:
    """Where a line that was left over is counted."""
    if code == BAD_FIELDS:
        return T_BAD_FIELDS
    if code == BAD_NUMBER:
        return T_BAD_NUMBER
    if code == NOT_FINITE:
        return T_NOT_FINITE
    if code == RESERVED:
        return T_RESERVED
    return T_META if code == META else T_UNKNOWN


cdef int refusal_of(int kind) noexcept nogil:
    """What a line is left over as whose sample was counted as this."""
    if kind == T_FUTURE:
        return FROM_FUTURE
    if kind == T_PAST:
        return FROM_PAST
    return REJECTED if kind == T_REJECTED else TOO_COARSE


cdef inline const char *fast_number(const char *at, double *out) noexcept nogil:
    """A plain decimal of at most 15 digits: the byte after it, or NULL for the slow path.

    The text ends with white space or LF at the latest.
    """
    cdef bint negative = at[0] == 45
    cdef uint64_t mantissa = 0
    cdef const char *first
    cdef const char *point = NULL
    cdef Py_ssize_t digits
    cdef double value
    if negative:
        at += 1
    first = at
    while is_digit(at[0]):
        mantissa = mantissa * 10 + <uint64_t> (at[0] - 48)
        at += 1
    digits = at - first
    value = 1.0
    if at[0] == 46:
        at += 1
        point = at
        while is_digit(at[0]):
            mantissa = mantissa * 10 + <uint64_t> (at[0] - 48)
            at += 1
        digits += at - point
    if digits == 0 or digits > 15 or not (is_space(at[0]) or at[0] == 10):
        return NULL
    value = <double> <int64_t> mantissa
    if point != NULL:
        value /= istat_pow10[at - point]
    out[0] = -value + 0.0 if negative else value
    return at


cdef inline int level_for(const Ladder *ladder, int64_t newest_gauge, bint event, int64_t interval, int64_t time,
                          int64_t count, double sum, double min, double max) noexcept nogil:
    """The level of a ladder that takes a sample; where it is refused, the kind in the tally, negative. Inlined: every
    sample passes here."""
    cdef int level = 0
    cdef double mean
    if time > (ladder.newest_event if event else newest_gauge):
        return -T_FUTURE
    while ladder.interval[level] < interval:
        level += 1
        if level == ladder.levels:
            return -T_COARSE
    while time < ladder.oldest[level]:
        level += 1
        if level == ladder.levels:
            return -T_PAST
    if not event and (count != 1 or min != sum or max != sum):
        if count == 0:
            return -T_REJECTED
        mean = sum / <double> count
        if (min > max + fabs(max) * 0.0001 or mean + fabs(mean) * 0.0001 < min
                or mean > max + fabs(max) * 0.0001):
            return -T_REJECTED
    return level


cdef class Feed(Registry):
    """The registry of a store that lines are fed to."""

    def __cinit__(self, intervals, uint64_t key=0, uint64_t policy=0):
        self.leftovers = []
        self.marks = []

    def tally(self):
        """Totals since the start by kind."""
        return {name: self.tally_[i] for i, name in enumerate(TALLY)}

    def journal_size(self):
        """Bytes of journal records not taken yet."""
        return self.journal.size

    def take_journal(self):
        """The records since the last call, as one frame's payload; times in it start from 0 again."""
        self.journal_time = 0
        self.journal_interval = 0
        return take(&self.journal)

    # -- samples ---------------------------------------------------------------------------------------------------

    def foresee(self, fields, int64_t interval, targets):
        """What a sample would be refused as ("" where it would be taken) by counters that may not exist: of each
        whether it counts events, and the number of its policy (None: the default). Nothing is done or counted.

        `fields`: time (None: now), count, sum, min and max; of `interval` seconds, 0: a sample.
        """
        cdef int64_t count
        cdef double sum
        cdef double min
        cdef double max
        cdef int64_t when
        cdef int slot
        cdef int level
        time, count, sum, min, max = fields
        when = self.now if time is None else time
        found = []
        for event, policy in targets:
            slot = 0 if policy is None else self.slots[policy]
            level = level_for(&self.ladders[slot], self.newest_gauge, event, interval, when, count, sum, min, max)
            found.append("" if level >= 0 else TALLY[-level])
        return found

    cdef int apply_one(self, uint32_t id, int64_t time, int64_t count, double sum, double m2,
                       double min, double max) noexcept nogil:
        """One sample to one counter: 1 applied, 0 refused, -1 no memory, STALE."""
        cdef int level
        cdef bint event = is_event(self, id)
        cdef Ladder *ladder = ladder_of(self, id)
        if is_deleted(self, id):
            return STALE
        level = level_for(ladder, self.newest_gauge, event, self.row_interval, time, count, sum, min, max)
        if level < 0:
            self.tally_[-level] += 1
            self.refusal = refusal_of(-level)
            return 0
        if event:
            count = 1
            m2 = 0.0
            min = sum
            max = sum
        if level and head_places(ladder.head[level], self.counters.n) < 0:
            return -1
        # Once between two cuts is enough.
        if ladder.head[level].place[id] == 0:
            note_heard(self, id)
        if head_add(ladder.head[level], id, event, <uint32_t> (time // ladder.interval[level]), count, sum, m2,
                    min, max) < 0:
            return -1
        self.tally_[T_SAMPLES] += 1
        return 1

    cdef int apply(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                   double min, double max) noexcept nogil:
        """One sample to all counters of a route: how many took it, or -1: no memory, or STALE: nothing was done."""
        cdef uint32_t target = self.routes.target[route] - 1
        cdef const uint32_t *ids
        cdef uint32_t n = 0
        cdef uint32_t i
        cdef int taken = 0
        cdef int one
        if target < MANY:
            return self.apply_one(target, time, count, sum, m2, min, max)
        if target == NOWHERE:
            return STALE
        ids = ids_of(self.routes, &target, &n)
        for i in range(n):
            if is_deleted(self, ids[i]):
                return STALE
        for i in range(n):
            one = self.apply_one(ids[i], time, count, sum, m2, min, max)
            if one < 0:
                return -1
            taken += one
        return taken

    cdef int take_sample(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                         double min, double max) noexcept nogil:
        """Apply and, if any counter took it, journal."""
        cdef int taken = self.apply(route, time, count, sum, m2, min, max)
        if taken <= 0:
            return taken
        if put_sample(&self.journal, &self.journal_time, route, time, count, sum, m2, min, max) < 0:
            return -1
        self.tally_[T_JOURNALLED] += 1
        return 0

    # -- rows ------------------------------------------------------------------------------------------------------

    def feed_rows(self, names, Columns rows not None, int64_t interval=0, wanted=None):
        """Take rows, each of the wire name at the same place of `names`; `wanted` are the places of those to take
        (None: all). They are of `interval` seconds, and go to the finest level that is no finer, 0: they are samples.

        [(code, place)] of what was left: names that are not known, and the first bad ones, as many as of lines.
        All else that was refused is in the tally. ValueError when the sizes differ, or the interval cannot be.
        """
        cdef Py_ssize_t place
        cdef int code
        cdef int bad = 0
        cdef bytes name
        if len(names) != rows.n or not 0 <= interval < MOST_INTERVAL:
            raise ValueError(f"{len(names)} names of {rows.n} rows of {interval} s")
        left = []
        self.row_interval = interval
        try:
            for place in range(rows.n) if wanted is None else wanted:
                if not 0 <= place < rows.n:
                    raise IndexError(f"there is no row {place}")
                name = names[place]
                code = self.take_row(name, len(name), rows.time[place], rows.count[place], rows.sum[place],
                                     rows.m2[place], rows.min[place], rows.max[place])
                if code == SAMPLE:
                    continue
                if code < 0:
                    raise MemoryError("no memory for another row")
                if code == UNKNOWN or bad < BAD_KEPT:
                    bad += code != UNKNOWN
                    left.append((code, place))
                self.tally_[tally_of(code)] += 1
        finally:
            self.end_rows()
        return left

    cdef int take_row(self, const char *name, Py_ssize_t size, int64_t time, int64_t count, double sum, double m2,
                      double min, double max) noexcept nogil:
        """One row: a LineCode, or -1: no memory."""
        cdef uint32_t before = self.last_route
        cdef int64_t route
        cdef int taken
        if not (isfinite(sum) and isfinite(m2) and isfinite(min) and isfinite(max)):
            return NOT_FINITE
        if not 0 <= count < MOST_COUNT:
            return BAD_NUMBER
        route = self.find_route(name, size)
        if route < 0:
            return UNKNOWN
        if m2 < 0.0 or min == max:
            m2 = 0.0
        taken = self.put_row(<uint32_t> route, time, count, sum, m2, min, max)
        if taken == STALE:              # it may have been the guess: a route of that name from before
            self.routes.unlearn(<uint32_t> route)
            route = self.routes.find_text(name, size)
            if route < 0:
                return UNKNOWN
            self.routes.follow[before] = <uint32_t> route
            self.last_route = <uint32_t> route
            taken = self.put_row(<uint32_t> route, time, count, sum, m2, min, max)
            if taken == STALE:
                self.routes.unlearn(<uint32_t> route)
                return UNKNOWN
        return -1 if taken < 0 else SAMPLE

    cdef int put_row(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                     double min, double max) noexcept nogil:
        """As take_sample, of a row: apply and, if any counter took it, journal, after its interval."""
        cdef int taken = self.apply(route, time, count, sum, m2, min, max)
        if taken <= 0:
            return taken
        if self.journal_interval != self.row_interval:
            if put_interval(&self.journal, self.row_interval) < 0:
                return -1
            self.journal_interval = self.row_interval
        if put_sample(&self.journal, &self.journal_time, route, time, count, sum, m2, min, max) < 0:
            return -1
        self.tally_[T_JOURNALLED] += 1
        return 0

    cdef int end_rows(self) except -1:
        """What comes next are samples again, in the journal too."""
        self.row_interval = 0
        if self.journal_interval:
            if put_interval(&self.journal, 0) < 0:
                raise MemoryError()
            self.journal_interval = 0
        return 0

    def put_mark(self, bytes sender not None, epoch, sequence):
        """Journal the mark of a batch, in the frame of its rows. ValueError when it cannot be one."""
        if not (0 < len(sender) <= MOST_SENDER and 0 <= epoch < MOST_MARK and 0 <= sequence < MOST_MARK):
            raise ValueError(f"a mark is a sender of 1 to {MOST_SENDER} bytes and two numbers below 2**63")
        put_mark(&self.journal, sender, len(sender), epoch, sequence)

    def put_position(self, bytes store not None, epoch, segment, offset, salt):
        """Journal up to where another store's journal is in this one, in the frame that takes it there. ValueError when
        it cannot be one."""
        if len(store) != STORE_BYTES or not (0 <= min(epoch, segment, offset, salt) and salt < MOST_SALT
                                             and max(epoch, segment, offset) < MOST_MARK):
            raise ValueError(f"a position is a store's {STORE_BYTES} bytes, three numbers below 2**63 and a salt below "
                             f"2**32")
        put_position(&self.journal, store, epoch, segment, offset, salt)

    def take_position(self):
        """The last position (store, epoch, segment, offset, salt) that was replayed since the last call, if any."""
        position = self.position
        self.position = None
        return position

    def take_marks(self):
        """The marks (sender, epoch, sequence) that were replayed since the last call, in order."""
        marks = self.marks
        self.marks = []
        return marks

    # -- lines -----------------------------------------------------------------------------------------------------

    cdef int64_t find_route(self, const char *name, Py_ssize_t size) noexcept nogil:
        """The route of a wire name, or -1. Senders repeat their order, so the route that came next after the
        last one is compared first, without hashing."""
        cdef uint32_t guess
        cdef uint64_t ref
        cdef int64_t route
        if self.routes.n == 0:
            return -1
        guess = self.routes.follow[self.last_route]
        if guess < self.routes.n:
            ref = ref_at(self.routes.pages, guess)
            if ref_size(ref) == size and memcmp(ref_text(self.arena.chunks, ref), name, size) == 0:
                self.last_route = guess
                return guess
        route = self.routes.find_text(name, size)
        if route >= 0:
            self.routes.follow[self.last_route] = <uint32_t> route
            self.last_route = <uint32_t> route
        return route

    cdef const char *fast_line(self, const char *line, const char *stop) noexcept nogil:
        """Take a plain `name value` or `name time value` line: the byte after its LF, or NULL for the slow path.

        The byte before `stop` is a LF and ends every loop here.
        """
        cdef const char *at = line
        cdef const char *name
        cdef Py_ssize_t size
        cdef double value
        cdef double first
        cdef int64_t time = self.now
        cdef int64_t route
        cdef uint32_t guess
        cdef uint64_t ref
        name = at
        if self.routes.n == 0:
            return NULL
        guess = self.routes.follow[self.last_route]
        if guess >= self.routes.n:
            guess = 0
        ref = ref_at(self.routes.pages, guess)
        size = ref_size(ref)
        if (size < stop - name and (name[size] == 32 or name[size] == 9)
                and memcmp(ref_text(self.arena.chunks, ref), name, size) == 0):
            route = guess
            at = name + size
        else:
            while not is_space(at[0]) and at[0] != 10:
                at += 1
            size = at - name
            if at[0] == 10 or size == 0 or name[0] == 35:
                return NULL
            route = self.routes.find_text(name, size)
            if route < 0:
                return NULL
            self.routes.follow[self.last_route] = <uint32_t> route
        while is_space(at[0]):
            at += 1
        at = fast_number(at, &first)
        if at == NULL:
            return NULL
        while is_space(at[0]):
            at += 1
        value = first
        if at[0] != 10:
            time = <int64_t> first      # its fraction is cut: 15 digits never round up to the next second
            at = fast_number(at, &value)
            if at == NULL:
                return NULL
            while is_space(at[0]):
                at += 1
            if at[0] != 10:
                return NULL
        if self.take_sample(<uint32_t> route, time, 1, value, 0.0, value, value) < 0:
            return NULL
        self.last_route = <uint32_t> route
        self.tally_[T_LINES] += 1
        return at + 1

    cdef int slow_line(self, const char *line, Py_ssize_t size) noexcept nogil:
        """Any line without its LF: a LineCode, or -1: no memory."""
        cdef Sample sample
        cdef int64_t route
        cdef double m2 = 0.0
        cdef uint32_t before = self.last_route
        cdef int taken
        cdef int code = parse_line(line, size, self.refuse_nan, &sample)
        if code != SAMPLE:
            return code
        if sample.fields == 2:
            sample.time = self.now
        elif sample.fields == 7 and sample.count > 1:
            m2 = sample.sumsq - sample.sum * sample.sum / <double> sample.count
            if m2 < 0.0 or sample.min == sample.max:
                m2 = 0.0
            if not isfinite(m2):
                return NOT_FINITE
        route = self.find_route(sample.name, sample.name_size)
        if route < 0:
            return UNKNOWN
        self.row_interval = self.line_interval if sample.fields == 7 else 0
        taken = self.put_row(<uint32_t> route, sample.time, sample.count, sample.sum, m2, sample.min, sample.max)
        if taken == STALE:              # it may have been the guess: a route of that name from before
            self.routes.unlearn(<uint32_t> route)
            route = self.routes.find_text(sample.name, sample.name_size)
            if route < 0:
                return UNKNOWN
            self.routes.follow[before] = <uint32_t> route
            self.last_route = <uint32_t> route
            taken = self.put_row(<uint32_t> route, sample.time, sample.count, sample.sum, m2, sample.min, sample.max)
            if taken == STALE:
                self.routes.unlearn(<uint32_t> route)
                return UNKNOWN
        if taken < 0:
            return -1
        self.tally_[T_LINES] += 1
        return SAMPLE

    cdef int take_lines(self, const char *at, const char *stop) except -1:
        """Whole lines, up to `stop`."""
        cdef const char *next
        cdef const char *line_end
        cdef int code
        with nogil:
            while at < stop:
                next = NULL if self.line_interval else self.fast_line(at, stop)
                if next != NULL and self.refusal == 0:
                    at = next
                    continue
                if next != NULL:
                    code = SAMPLE
                    line_end = next - 1
                else:
                    line_end = <const char *> memchr(at, 10, stop - at)
                    code = self.slow_line(at, line_end - at)
                if code == SAMPLE and self.refusal:
                    code = self.refusal
                self.refusal = 0
                if code != SAMPLE and code != EMPTY:
                    with gil:
                        self.leave_over(code, at, line_end - at)
                at = line_end + 1
        return 0

    def feed(self, const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end, int64_t interval=0):
        """Take the whole lines of data[start:end]; returns how many bytes they are (up to the last LF).

        Lines of seven words are rows of `interval` seconds (see feed_rows), 0: they are samples, as all others.
        ValueError when that cannot be.
        """
        cdef const char *at
        cdef const char *stop
        cdef const char *last
        if not 0 <= start <= end <= data.shape[0]:
            raise ValueError(f"{start}..{end} is not inside {data.shape[0]} bytes")
        if not 0 <= interval < MOST_INTERVAL:
            raise ValueError(f"lines of {interval} s")
        if start == end:
            return 0
        at = <const char *> &data[0] + start
        last = <const char *> istat_last_lf(at, end - start)
        if last == NULL:
            return 0
        stop = last + 1
        self.refusal = 0
        self.line_interval = interval
        try:
            self.take_lines(at, stop)
        finally:
            self.end_rows()
        return stop - (<const char *> &data[0] + start)

    cdef int leave_over(self, int code, const char *line, Py_ssize_t size) except -1:
        if code < 0:
            raise MemoryError("no memory for another row")
        if code == UNKNOWN or code == META:
            self.leftovers.append((code, line[:size]))
        elif self.bad_kept < BAD_KEPT:
            self.bad_kept += 1
            self.leftovers.append((code, line[:min(size, BAD_ROOM)]))
        else:
            self.untold[code] += 1
        if code <= UNKNOWN:             # the others were counted once for each counter that refused
            self.tally_[tally_of(code)] += 1
        return 0

    def new_among(self, const unsigned char[::1] data not None, int looks, uint64_t seed):
        """How many of so many lines, from anywhere in data, begin with a name that has no route. Which lines is up to
        the seed (64 bits); long ones, or those behind them, come more often. Nothing is counted or taken."""
        cdef Py_ssize_t size = data.shape[0]
        cdef const char *text
        cdef const char *at
        cdef const char *name
        cdef int found = 0
        cdef int i
        if size == 0:
            return 0
        text = <const char *> &data[0]
        for i in range(looks):
            seed = seed * DRAW_TIMES + DRAW_PLUS
            at = text + (seed >> 33) % <uint64_t> size
            while at > text and (at - 1)[0] != 10:
                at -= 1
            name = at
            while at < text + size and at[0] != 10 and not is_space(at[0]):
                at += 1
            if at > name and self.routes.find_text(name, at - name) < 0:
                found += 1
        return found

    def take_leftovers(self):
        """[(code, line)] that Python has to handle, in order, since the last call; at most 32 of them bad or refused
        lines, which are cut at 200 bytes."""
        if not self.leftovers:
            return ()
        left = self.leftovers
        self.leftovers = []
        self.bad_kept = 0
        return left

    def take_untold(self):
        """Code -> how many more bad or refused lines there were since the last call, which were not left over."""
        cdef int code
        found = {code: self.untold[code] for code in range(LINE_CODES) if self.untold[code]}
        for code in range(LINE_CODES):
            self.untold[code] = 0
        return found
