# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Policies with their ladders: the heads of each level, and what times its samples may have.

The lowest floor of an engine. Knows no names, counters or records. The specification is the Python twin.
"""
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.ingest.head cimport Head


cdef class Ladders:
    """Heads by policy and level. `intervals` and `policy` are those of the default ladder, whose slot is 0."""

    def __cinit__(self, intervals, uint64_t key=0, uint64_t policy=0):
        self.heads = []
        self.slots = {}
        self.add_policy(policy, intervals)

    def add_policy(self, uint64_t number, intervals):
        """A ladder that counters may be given. ValueError when there are too many levels or ladders, or the
        number is taken."""
        cdef Ladder *ladder
        if not 1 <= len(intervals) <= MOST_LEVELS:
            raise ValueError(f"an engine has 1 to {MOST_LEVELS} levels, not {len(intervals)}")
        if number in self.slots or self.ladders_n == MOST_POLICIES:
            raise ValueError(f"there is no room for a policy {number}")
        heads = [Head(interval) for interval in intervals]
        ladder = &self.ladders[self.ladders_n]
        ladder.policy = number
        ladder.levels = len(intervals)
        for i in range(ladder.levels):
            ladder.head[i] = &(<Head> heads[i]).state
            ladder.interval[i] = intervals[i]
        self.heads += heads
        self.slots[number] = self.ladders_n
        self.ladders_n += 1

    def alias_policy(self, uint64_t number, uint64_t heir):
        """Counters recorded with policy `number` are of policy `heir`, which exists. ValueError when `number` is
        taken."""
        if number in self.slots:
            raise ValueError(f"there is a policy {number}")
        self.slots[number] = self.slots[heir]

    def set_now(self, int64_t now):
        """The time of samples without one, from now on; what it was. What times are accepted stays as it is."""
        before = self.now
        self.now = now
        return before

    def set_limits(self, int64_t now, int64_t newest_gauge, int64_t newest_event, oldest, policy=None):
        """The time of samples without one, and the times accepted: `oldest` per level, finest first [s].

        `newest_event` and `oldest` are of one policy (None: the default).
        """
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef Ladder *ladder = &self.ladders[slot]
        self.now = now
        self.today = <uint16_t> min(max(now // 86400, 0), 0xFFFF)
        self.newest_gauge = newest_gauge
        ladder.newest_event = newest_event
        for i in range(ladder.levels):
            ladder.oldest[i] = max(<int64_t> oldest[i], 0)

    def freeze(self):
        """By the number of a policy: [Frozen head or None] per level; the heads are empty afterwards."""
        heads = iter(self.heads)
        return {self.ladders[i].policy: [next(heads).freeze() for _ in range(self.ladders[i].levels)]
                for i in range(self.ladders_n)}

    def collect(self, ids, int level, int64_t start, int64_t end, policy=None):
        """[Columns] per id: partial rows in a policy's memory with start <= time < end, in order of arrival."""
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef Head head
        if not 0 <= level < self.ladders[slot].levels:
            raise IndexError(f"policy {policy} has no level {level}")
        for i in range(slot):
            level += self.ladders[i].levels
        head = self.heads[level]
        found = []
        for id in ids:
            rows = Columns()
            head.collect(id, start, end, rows)
            found.append(rows)
        return found

    def memory(self):
        """Bytes held by rows."""
        return sum(head.memory() for head in self.heads)
