"""What any store keeps: the contract that `ingest`, `query`, `http` and the server are written against.

Knows no files, no sockets and no engine. `istat_server/testing/contract.py` is the suite that every implementation
passes; docs/specs/0005-doors.md says why it is as it is. Times are Unix seconds, names are bytes on the way in.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from istat.patterns.globs import glob
from istat.patterns.graphite import graphite
from istat.patterns.regex import regex
from istat.retention import Ladder

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns
    from istat.kernels.python.search import Pattern

T = TypeVar("T")

# A counter's number. Opaque: whoever asks compares and returns it, and neither counts nor orders it.
Id = int
TOKEN_ROOM = 2000           # characters of a token: it may hold a name
# What `Accepted.left` calls a line `#key value`; every other kind is one of `mistakes.KINDS`.
METADATA = "metadata"


class Kind(enum.Enum):
    """How a counter's samples are to be read; fixed when the counter is first seen."""

    GAUGE = "gauge"
    EVENT = "event"


class Capability(enum.Enum):
    """What a store may be able to do, or not. Whoever offers something that needs it asks first."""

    RENAME = "rename"               # counters can get other names
    UNDELETE = "undelete"           # deletes can be listed, and undone for a while
    SEASONS = "seasons"             # seasonal levels
    RULES = "rules"                 # counters can have other levels than the default
    CLOCK_GUARD = "clock guard"     # nothing expires by a clock that is doubted until somebody confirms it
    BATCH_MARKS = "batch marks"     # a batch that is sent again is not counted again
    ANCESTORS = "ancestors"         # samples can feed the ancestors of their counters too


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter. `name` is the stored (munged) name, ASCII, as `find` wants it: with one more `*` before it where it
    begins with one (istat.names.written)."""

    id: Id
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a counter: `first` and `last` are the starts of the first and the last bucket that there are, as
    fine as they are kept; None without any. `metadata` is what somebody keeps of it."""

    counter: Counter
    ladder: Ladder
    first: int | None
    last: int | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A counter that was deleted: when, Unix seconds (or a little more: no two deletes have one number), and why that
    cannot be undone; an empty `problem`: it can."""

    counter: Counter
    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Child:
    """One component below a prefix: its full name, its counter if it has data, whether names go on below.

    Empty parts of a name are told with the part that follows, and where none follows with the last one: `a..b` is `.b`
    below `a`, `.x.y` is `y` below `.x`, and `x.` stands beside `x`. So no branch holds itself, and each can be asked
    for by its name."""

    label: str
    name: str
    counter: Counter | None
    branches: bool


# -- names


class Syntax(enum.Enum):
    """How a pattern is written."""

    GLOB = "glob"           # ours: `*` is any run of characters, `?` any run without dots; the whole name fits
    REGEX = "regex"         # a regular expression (istat/patterns/regex.py) that is found somewhere in the name
    ISTATD = "istatd"       # part 7.5 of istatd's behaviour, which is what our globs are today
    GRAPHITE = "graphite"   # `*`, `?` (one character), `[a-z]`, `{a,b}`: none of them fits a dot; the whole name fits


_COMPILERS = {Syntax.GLOB: glob, Syntax.REGEX: regex, Syntax.ISTATD: glob, Syntax.GRAPHITE: graphite}


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern for stored names. Checked when it is used: BadQuery when it cannot be read, or is too much."""

    syntax: Syntax
    text: bytes

    def compiled(self) -> Pattern:
        """Ready for use: `fits(name)`, and what all names that fit begin with and contain."""
        return _COMPILERS[self.syntax](self.text)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. `token` asks for the next one and is empty after the last.

    Tokens are the store's own text, of at most TOKEN_ROOM characters. One of another question, or that no store gave,
    is BadQuery, or goes on at some place of the list; it does no harm.
    """

    items: list[T]
    token: str = ""


# -- buckets


@dataclass(frozen=True, slots=True)
class Question:
    """Buckets of counters that have the same levels: those of a level (an index into `Ladder.stored`) that overlap
    start <= time < end. `exact`: of this level and no other, whatever it misses."""

    ids: Sequence[Id]
    start: int
    end: int
    level: int
    exact: bool = False


class Answer(NamedTuple):
    """Final buckets in order of time, gaps absent, and the level that they are of. The rows are the caller's."""

    level: int
    rows: Columns


class Function(enum.Enum):
    """What is wanted of the buckets of several counters together; the fields of a bucket that this takes."""

    SUM = ("sum",)
    MIN = ("min",)
    MAX = ("max",)
    AVG = ("count", "sum")
    COUNT = ("count",)

    @property
    def fields(self) -> tuple[str, ...]:
        """Which fields of `combine`'s rows are told; others may be 0."""
        told: tuple[str, ...] = self.value
        return told


# -- samples


class Left(NamedTuple):
    """A line (or the wire name of a batch's row) that a sender should hear of, with METADATA or a kind of mistake. With
    an empty text: so many more of the kind, whose text was not kept."""

    kind: str
    text: bytes
    times: int = 1


class Accepted(NamedTuple):
    """How much was taken notice of: bytes of whole lines, or rows of a batch; and what is left to be told.

    All refusals are in `totals`, once for each counter that refused; in `left` they are once for each line. Those of
    batches may be fewer.
    """

    used: int
    left: Sequence[Left] = ()


class Fields(NamedTuple):
    """Columns of a batch, one value a row: finite numbers, and counts from 0 to below 2**62. Of events the sums are
    their totals, and the others do not matter."""

    counts: Sequence[int]
    sums: Sequence[float]
    m2: Sequence[float]
    mins: Sequence[float]
    maxs: Sequence[float]


class Mark(NamedTuple):
    """Which batch it is: its sender (1 to 255 bytes), which life of this, and a number that grows."""

    sender: bytes
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pre-aggregated rows: of each its wire name (as in a line), its time, and its fields.

    `interval` is how long each covers [s]; 0 for plain samples. `mark`: a batch that is not newer than the last one of
    its sender and epoch is answered as taken, and is not counted again.
    """

    names: Sequence[bytes]
    times: Sequence[int]
    fields: Fields
    interval: int = 0
    mark: Mark | None = None


class Marked(NamedTuple):
    """What became of lines with a mark: how many were refused, what is left to be told, and when they are written: once
    the store's `written` is no less than `ticket`."""

    refused: int
    left: Sequence[Left]
    ticket: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the start: samples taken (each counter's counts), lines read, and what the store refused, by the kinds of
    `mistakes.KINDS`."""

    samples: int
    lines: int
    refused: Mapping[str, int]


class Store(Protocol):
    """A store as the server sees it. Limits are at least 1. Ids are those that it gave, else IndexError or KeyError."""

    capabilities: frozenset[Capability]

    # -- counters

    @property
    def ladder(self) -> Ladder:
        """The retention levels, finest first, of counters that no rule is for."""

    def ladder_of(self, id: Id) -> Ladder:
        """The retention levels of one counter."""

    def find(self, name: bytes) -> Counter | None:
        """The counter of this name in any spelling (a leading `*` is dropped, the rest munged)."""

    def counter(self, id: Id) -> Counter:
        """The counter of an id."""

    def count(self) -> int:
        """How many counters there are."""

    def describe(self, ids: Sequence[Id]) -> list[Description]:
        """What is known of these counters. Blocks the greenlet, not the hub."""

    def match(self, pattern: NamePattern, limit: int, token: str = "") -> Page[Counter]:
        """At most `limit` counters that fit, in an order that stays while counters come and go."""

    def search(self, words: Sequence[bytes], limit: int, token: str = "") -> Page[Counter]:
        """At most `limit` counters whose name holds all the words, shorter names first, then by name."""

    def children(self, prefix: bytes, limit: int, token: str = "") -> Page[Child]:
        """At most `limit` of the components that follow a dotted prefix, by label; the empty prefix gives the first
        ones."""

    # -- buckets

    def read(self, question: Question) -> list[Answer]:
        """Per id its final buckets: of the level asked for or, unless that is to be exact, of the next coarser one that
        misses nothing which a still coarser one has. Seasonal levels are always exact.

        The range is widened to whole buckets of the level that is answered. Event rows are rates per second: count 1
        at the finest level, interval / finest interval above. What was acknowledged is included. Blocks the
        greenlet, not the hub.
        """

    def combine(self, question: Question, groups: Sequence[Sequence[Id]], function: Function) -> list[Answer]:
        """One series for each group of the question's counters: their buckets merged, as if all samples were one
        counter's (events that did not come are zeros). All counters of a group are read at one level. Blocks the
        greenlet, not the hub."""

    # -- samples

    @property
    def refusing(self) -> str:
        """Why samples are not taken now, or ""."""

    @property
    def read_only(self) -> str:
        """Why nothing may be changed here for as long as this is no other server's place, or "". Such a store is
        `refusing`, too."""

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        """Take the whole lines of view[start:end]: new names are learnt, bad lines counted. May block the greenlet
        while too much waits to be written."""

    def accept_batch(self, batch: Batch) -> Accepted:
        """Take the rows of a batch one by one, as lines are: to the finest level whose interval is not below the
        batch's and that still keeps the time. Batches of one sender and epoch are taken in the order of the calls.

        Blocks the greenlet until a batch with a mark is written. ValueError when it cannot be a batch, as when its
        columns have not one length, or it has too many rows. StoreError when it is not taken, or not written, now: it
        may be sent again."""

    def prepare(self, text: bytes, clock: int, interval: int) -> Iterator[None]:
        """Have new names of a batch's lines learnt that are so many that others should have their turn in between;
        those of refused samples are not. Then comes `accept_marked`, which can do without. (BATCH_MARKS)"""

    def accept_marked(self, view: memoryview, start: int, end: int, clock: int, interval: int, mark: Mark) -> Marked:
        """Take the whole lines of view[start:end], at most 64 KiB, of a batch; one that the store knows is answered as
        taken. As `accept`, but: lines without a time are of `clock` [Unix s]; lines of seven words cover `interval` [s]
        and go to the finest level that is no finer (0: they are samples); the mark is written with them, in one piece.

        Nobody else has a turn before rows and mark are taken. It does not wait for these to be written; it may block
        the greenlet while too much else waits for that. ValueError when the mark or the interval cannot be.
        (BATCH_MARKS)"""

    def knows(self, mark: tuple[bytes, int, int]) -> bool:
        """Whether this batch was taken, or a later one of its sender and epoch. (BATCH_MARKS)"""

    def last_sequence(self, sender: bytes, epoch: int) -> int:
        """The last sequence that was taken of a sender's epoch; 0 for none. (BATCH_MARKS)"""

    @property
    def ticket(self) -> int:
        """All that was taken by now is written, and survives the process, once `written` is no less than this."""

    @property
    def written(self) -> int:
        """Up to which ticket all is written. Grows by itself, and is cheap to ask."""

    def hurry(self) -> None:
        """Somebody waits for what was taken to be written: begin with it, unless so much waits for that already. To be
        called as often as one likes; without it, it is begun at the next tick."""

    def totals(self) -> Totals:
        """What was taken and refused."""

    # -- changes; each blocks the greenlet until it is written

    def delete(self, ids: Sequence[Id]) -> int:
        """Delete counters: nobody finds them any more; how many were there. A sample of such a name makes a new
        counter."""

    def undelete(self, ids: Sequence[Id]) -> list[Deleted]:
        """Let deleted counters be found again; gives those that cannot be. (UNDELETE)"""

    def deleted(self, pattern: NamePattern, limit: int, behind: tuple[int, Id] | None = None) -> list[Deleted]:
        """Deleted counters that fit, the last deleted first; without those gone for good. `behind`: of these only what
        comes after the one of this number and id, whether that is still there or not. (UNDELETE)"""

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """The last deleted counter of each of these (stored) names, where there is one. (UNDELETE)"""

    def rename(self, pairs: Sequence[tuple[Id, bytes]]) -> None:
        """Give counters other (stored) names, all or none. BadQuery (409) when one is taken or cannot be. A sample of
        the old name makes a new counter. (RENAME)"""

    def rename_problems(self, pairs: Sequence[tuple[Id, bytes]]) -> Iterator[str]:
        """A sentence for each thing that `rename` would refuse. (RENAME)"""

    def confirm_clock(self) -> str:
        """An operator's word that the clock is right: what is old by it may go. What was doubted, or "".
        (CLOCK_GUARD)"""

    # -- life

    def status(self) -> Mapping[str, object]:
        """Figures about the store, for `/api/v1/status`: whatever JSON can hold, and whatever it has. Keys that others
        know are told where they mean the same (docs/formats/http-api.md)."""

    def tick(self) -> None:
        """To be called about every 50 ms, from the hub: time for what goes by itself."""

    def flush(self) -> None:
        """Write all that is in memory, and wait for it."""

    def close(self) -> None:
        """Write all, and let go of everything."""
