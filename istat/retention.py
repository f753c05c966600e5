"""Retention: how long buckets of which interval are kept. Text such as "10s:10d,5m:1y9d,1h:6y12d".

Knows the grammar and the arithmetic of levels; knows no files and no clock. Durations are whole seconds.

    policy   = level *( "," level )
    level    = interval ":" keep [ ":" [ name ] [ ":" weight ] ]
    interval = keep = 1*( 1*DIGIT unit )      ; units add up: "1h30m"
    unit     = "s" / "m" / "h" / "d" / "w" / "y"    ; a year has 365 days

A weight (more than 0, less than 1) makes a seasonal level of the season `keep`; those come after the others.

Rules give counters ladders by their names: "db.** = 10s:30d,1h:2y", the first one that fits wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import lcm

from istat.errors import BadRetention
from istat.names import munge

DEFAULT_RETENTION = "10s:10d,5m:1y9d,1h:6y12d"
MINUTE, HOUR, DAY = 60, 3600, 86400  # [s]
YEAR = 365 * DAY  # [s]; istatd's year, so that its rules mean the same here
UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY, "y": YEAR}
WRITTEN = ("y", "d", "h", "m", "s")     # the units that we write, longest first: weeks are read only
# Buckets of one counter in one StatFile: a day of 10 s buckets, long enough to compress well.
WINDOW_BUCKETS = 8640
# A window is at most this share of what is kept: files expire whole, so this bounds what lingers.
WINDOW_SHARE = 4
MAX_LEVELS = 16
# Each ladder has buckets of its own in memory and files of its own on the disk.
MAX_RULES = 60
# What else lies in the folder of a store.
RESERVED_NAMES = frozenset({"journal", "names", "damaged"})
# 64-bit times in nanoseconds end about here; no one keeps more. [s]
MAX_KEEP = 200 * YEAR

_DURATION = re.compile(r"(?:[0-9]{1,12}[smhdwy])+")
_WEIGHT = re.compile(r"[0-9]{0,3}\.?[0-9]{1,18}")
_PART = re.compile(r"([0-9]+)([smhdwy])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes the name of a folder


def parse_duration(text: str) -> int:
    """Seconds that "1h30m" stands for. BadRetention when it is no duration."""
    if not _DURATION.fullmatch(text):
        raise BadRetention(f"{text!r} is no duration: write numbers with s, m, h, d, w or y, as in 1h30m")
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: int) -> str:
    """Shortest text in the grammar without weeks: 90 is "1m30s", 0 is "0s". ValueError when negative."""
    if seconds < 0:
        raise ValueError("a duration is not negative")
    parts = []
    for unit in WRITTEN:
        number, seconds = divmod(seconds, UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


@dataclass(frozen=True)
class Level:
    """One retention level: buckets of `interval` seconds, kept for `keep` seconds, in a folder `name`."""

    interval: int
    keep: int
    name: str

    @property
    def samples(self) -> int:
        """Whole buckets that fit into what is kept."""
        return self.keep // self.interval

    @property
    def text(self) -> str:
        """The level as the grammar writes it."""
        keep = format_duration(self.keep)
        if _DURATION.fullmatch(self.name) and parse_duration(self.name) == self.interval:
            return f"{self.name}:{keep}"
        return f"{format_duration(self.interval)}:{keep}:{self.name}"


@dataclass(frozen=True)
class Season:
    """A level that trails a season: each bucket is `weight` of the same bucket one `season` [s] earlier and the rest of
    what came, so that it becomes a typical week (or day)."""

    interval: int
    season: int
    name: str
    weight: float

    @property
    def text(self) -> str:
        """The level as the grammar writes it."""
        return f"{format_duration(self.interval)}:{format_duration(self.season)}:{self.name}:{self.weight!r}"


@dataclass(frozen=True)
class Ladder:
    """Levels, finest first; each interval is a multiple of the one before. BadRetention when not."""

    levels: tuple[Level, ...]
    seasons: tuple[Season, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "seasons", tuple(self.seasons))
        if not 1 <= len(self.levels) <= MAX_LEVELS:
            raise BadRetention(f"a retention rule has 1 to {MAX_LEVELS} levels, not {len(self.levels)}")
        if len(self.levels) + len(self.seasons) > MAX_LEVELS:
            raise BadRetention(f"a retention rule has at most {MAX_LEVELS} levels, seasonal ones included")
        names = [*(level.name for level in self.levels), *(season.name for season in self.seasons)]
        if len(set(names)) < len(names):
            raise BadRetention(f"two retention levels have the same name: {', '.join(names)}")
        for level in self.levels:
            _check_level(level)
        for finer, coarser in zip(self.levels, self.levels[1:]):
            if coarser.interval <= finer.interval or coarser.interval % finer.interval:
                raise BadRetention(
                    f"the interval of {coarser.text} must be a multiple of that of {finer.text}, and longer"
                )

        for season in self.seasons:
            _check_season(season, self.finest)

    @classmethod
    def parse(cls, text: str = DEFAULT_RETENTION) -> Ladder:
        """The ladder that a text describes. BadRetention says what is wrong with it."""
        return _parse_ladder(text)

    @property
    def text(self) -> str:
        """The ladder as the grammar writes it; parse() of it gives an equal ladder."""
        return ",".join([*(level.text for level in self.levels), *(season.text for season in self.seasons)])

    @property
    def stored(self) -> tuple[Level, ...]:
        """All levels that have files: the seasonal ones last, kept as long as the season after needs them."""
        keeps = [one.season + 3 * self.window(0) + DAY for one in self.seasons]
        return (*self.levels, *(Level(one.interval, keep, one.name) for one, keep in zip(self.seasons, keeps)))

    @property
    def finest(self) -> Level:
        """The level that samples arrive in."""
        return self.levels[0]

    @property
    def coarsest(self) -> Level:
        """The level with the longest interval. Its interval is a multiple of all others."""
        return self.levels[-1]

    def window(self, index: int) -> int:
        """Seconds that one StatFile of level `index` covers, a multiple of every interval of the ladder.

        About WINDOW_BUCKETS buckets, at most a WINDOW_SHARE-th of what is kept, so that whole files can
        expire; at least the coarsest interval.
        """
        step = lcm(self.coarsest.interval, *(season.interval for season in self.seasons))
        level = self.levels[index] if index < len(self.levels) else self.stored[index]
        wanted = min(WINDOW_BUCKETS * level.interval, level.keep // WINDOW_SHARE)
        return max(wanted // step * step, step)


@dataclass(frozen=True)
class Rule:
    """Counters whose whole name fits `pattern` get `ladder`. BadRetention when the pattern is none.

    `*` (and `**`) is any run of characters, `?` any run of characters but dots: the patterns of istatd.
    """

    pattern: str
    ladder: Ladder

    def __post_init__(self) -> None:
        if not self.pattern or len(self.pattern) > 1000 or munge(self.pattern.encode()).decode() != self.pattern:
            raise BadRetention(f"{self.pattern!r} fits no counter: names are in lower case and have no blanks, / or :")

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule that "db.** = 10s:30d,1h:2y" describes. BadRetention says what is wrong with it."""
        pattern, equals, ladder = text.partition("=")
        if not equals:
            raise BadRetention(f"a retention rule is PATTERN = LEVELS, such as db.** = 10s:30d,1h:2y, not {text!r}")
        return cls(pattern.strip().lower(), Ladder.parse(ladder.strip()))

    @property
    def text(self) -> str:
        """The rule as parse() takes it."""
        return f"{self.pattern} = {self.ladder.text}"


@dataclass(frozen=True)
class Rules:
    """Which ladder a counter has: that of the first rule that its name fits, else the default.

    BadRetention when there are too many rules, or two of one pattern.
    """

    default: Ladder
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if len(self.rules) > MAX_RULES:
            raise BadRetention(f"there can be {MAX_RULES} retention rules, not {len(self.rules)}")
        patterns = [rule.pattern for rule in self.rules]
        for pattern in patterns:
            if patterns.count(pattern) > 1:
                raise BadRetention(f"two retention rules are for {pattern}; the second one would never be used")

    @cached_property
    def _compiled(self) -> list[re.Pattern[bytes]]:
        return [_compiled(rule.pattern) for rule in self.rules]

    def choose(self, name: bytes) -> str:
        """The pattern of the rule for a counter's stored name; "" is the default."""
        for rule, pattern in zip(self.rules, self._compiled):
            if pattern.fullmatch(name):
                return rule.pattern
        return ""

    def ladder(self, pattern: str) -> Ladder:
        """The ladder of a rule; of the default for "". KeyError when there is no such rule."""
        return {"": self.default, **{rule.pattern: rule.ladder for rule in self.rules}}[pattern]


def _compiled(pattern: str) -> re.Pattern[bytes]:
    """As a regular expression. Runs of wildcards are one, so that it takes no longer than it must."""
    tokens = re.sub(r"[*?]*\*[*?]*", "*", re.sub(r"\?+", "?", pattern))
    parts = {"*": ".*", "?": "[^.]*"}
    return re.compile("".join(parts.get(token) or re.escape(token) for token in tokens).encode(), re.DOTALL)


def _check_level(level: Level) -> None:
    if level.interval <= 0:
        raise BadRetention(f"the interval of a retention level cannot be 0: {level.name}")
    if level.keep > MAX_KEEP:
        raise BadRetention(f"{level.text} is kept too long: at most {format_duration(MAX_KEEP)}")
    if level.samples == 0:
        raise BadRetention(f"{level.text} is kept for less than one interval")
    if not _NAME.fullmatch(level.name):
        raise BadRetention(f"{level.name!r} cannot name a retention level: letters, digits, - and _ only")
    if level.name in RESERVED_NAMES:
        raise BadRetention(f"{level.name!r} cannot name a retention level: a store has another folder of that name")


@lru_cache(1000)
def _parse_ladder(text: str) -> Ladder:
    levels = [_parse_level(part.strip()) for part in text.split(",")]
    first = next((index for index, level in enumerate(levels) if isinstance(level, Season)), len(levels))
    plain = tuple(level for level in levels if isinstance(level, Level))
    if len(plain) != first:
        raise BadRetention(f"seasonal levels must come after the others: {text!r}")
    return Ladder(plain, tuple(level for level in levels if isinstance(level, Season)))


def _check_season(season: Season, finest: Level) -> None:
    _check_level(Level(season.interval, season.season, season.name))
    if season.interval % finest.interval or season.season % season.interval:
        raise BadRetention(f"in {season.text} the interval must be a multiple of that of {finest.text}, and the season "
                           f"a multiple of the interval")
    if not 0 < season.weight < 1:
        raise BadRetention(f"the weight of {season.text} must be more than 0 and less than 1")


def _parse_level(text: str) -> Level | Season:
    fields = text.split(":")
    if len(fields) < 2:
        raise BadRetention(f"a retention level is interval:keep, such as 10s:10d, not {text!r}")
    if len(fields) > 4:
        raise BadRetention(f"a retention level has at most a name and a weight after interval:keep: {text!r}")
    name = fields[2] if len(fields) >= 3 and fields[2] else fields[0]
    interval, keep = parse_duration(fields[0]), parse_duration(fields[1])
    if len(fields) < 4:
        return Level(interval, keep, name)
    if not _WEIGHT.fullmatch(fields[3]):
        raise BadRetention(f"the weight of a seasonal level is a number such as 0.9, not {fields[3]!r}")
    return Season(interval, keep, name, float(fields[3]))
