"""The latest value of each series: samples go in as lines, Prometheus' text comes out.

Gauges have their last sample, and go when it is old; events are sums since they were first seen, which only grow. There
are so many series at most: samples of others are dropped, and counted. Knows no sockets; times are Unix seconds.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Values
from typing import Any

from istat.exporter.mapping import Key, Mapping, head, tag_names, type_line
from istat.exporter.places import GONE, Places
from istat.kernels import lines
from istat.names import WIRE_NAME_ROOM, munge

# A sample may be so much ahead of the clock, as in the store [s].
AHEAD = 60
# Events of which nothing has come for so long go [s].
EVENTS_KEPT = 86_400
# Times of sums are those of the answer, in steps of this [s].
STEP = 5
# Series that are looked at, or written, before others have their turn: some milliseconds.
AT_ONCE = 1000
# Lines that are taken before others have their turn: some milliseconds where all names are new.
LINES_AT_ONCE = 100
# Wire names that are remembered for each series there may be: several spellings lead to one.
ROUTES_PER_SERIES = 4
# And so many bytes of such names: as many as one may have.
ROUTE_BYTES_PER_SERIES = WIRE_NAME_ROOM
DROPPED = "istatd_agent_dropped_metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Where names are not translated: Prometheus 3 asks for it, and older ones cannot read such names.
CONTENT_TYPE_UTF8 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"


Family = dict[str, int]             # the series of a name: what stands before a value -> its place
Route = tuple[int, ...]             # the places that a wire name feeds


class Exporter:
    """All series."""

    def __init__(self, mapping: Mapping, host: str, fresh: float, most: int, utf8: bool = False) -> None:
        """host: this machine's name, in the series of what was dropped. fresh: how old a gauge's sample may be [s].
        most: series. utf8: names are not translated."""
        self._mapping = mapping
        of_dropped = Key(DROPPED, (("host", munge(host.encode()).decode("ascii")),))
        self._head_of_dropped = head(of_dropped, True)
        self._uncounted = (self._head_of_dropped, head(of_dropped, False))
        self._fresh, self._most = fresh, most
        self.content_type = CONTENT_TYPE_UTF8 if utf8 else CONTENT_TYPE
        self._events: dict[str, Family] = {}
        self._gauges: dict[str, Family] = {}
        self._places = Places()
        self._routes: dict[bytes, Route] = {}
        self._route_bytes = 0
        self._forgotten: dict[bytes, Route] = {}    # those that are let go by and by
        self.count = 0              # series there are
        self.dropped = 0            # samples for which there was no series, or that would have made a sum smaller

    def feed(self, text: bytes, now: int, between: Callable[[], None] = lambda: None) -> None:
        """Take the samples of whole lines that came at `now`; what is no sample is passed over. `between` is called
        between portions."""
        parse, sample = lines.parse, lines.CODES["SAMPLE"]
        for at, line in enumerate(text.split(b"\n"), 1):
            if at % LINES_AT_ONCE == 0:
                between()
            found = parse(line)
            if found[0] == sample:
                _, name, fields, time, total, _, _, _, count = found  # type: ignore[misc]
                if name[:1] == b"*":
                    self._add(name, time or now, total, now)
                elif count:
                    self._set(name, time or now, total if fields < 7 else total / count, now)

    def _set(self, name: bytes, time: int, value: float, now: int) -> None:
        if not now - self._fresh < time <= now + AHEAD:
            return
        values, times = self._places.values, self._places.times
        for place in self._route(name, now):
            if time >= times[place]:
                times[place], values[place] = time, value

    def _add(self, name: bytes, time: int, value: float, now: int) -> None:
        if not now - EVENTS_KEPT < time <= now + AHEAD:
            return
        if value < 0:
            self._drop(now)
            return
        values, times = self._places.values, self._places.times
        for place in self._route(name, now):
            values[place] += value
            times[place] = max(times[place], time)

    def _route(self, name: bytes, now: int) -> Route:
        """The series that a wire name feeds."""
        found = self._routes.get(name)
        if found is None or any(self._places.times[place] == GONE for place in found):
            found = self._learn(name, now)
        return found

    def _learn(self, name: bytes, now: int) -> Route:
        event = name[:1] == b"*"
        families = self._events if event else self._gauges
        found = []
        keys = self._mapping.keys(name)
        for key in keys:
            text = head(key, event)
            place = families.get(key.name, {}).get(text)
            if place is None:
                if self.count >= self._most:
                    continue
                place = families.setdefault(key.name, {})[text] = self._places.new()
                self.count += text not in self._uncounted
            found.append(place)
        if len(found) < len(keys):
            self._drop(now)
            return tuple(found)     # another time there may be room
        if (len(self._routes) >= ROUTES_PER_SERIES * self._most
                or self._route_bytes >= ROUTE_BYTES_PER_SERIES * self._most):
            self._forget_routes()
        self._route_bytes += 0 if name in self._routes else len(name)
        self._routes[name] = route = tuple(found)
        return route

    def _forget_routes(self) -> None:
        """Learn all anew; or the last one, where those of before are not gone yet: many at once take their time."""
        if self._forgotten:
            name, _ = self._routes.popitem()
            self._route_bytes -= len(name)
        else:
            self._forgotten, self._routes, self._route_bytes = self._routes, {}, 0
            self._places.reuse()

    def _drop(self, now: int) -> None:
        """Count a sample that is lost, in a series beside all others."""
        self.dropped += 1
        family = self._events.setdefault(DROPPED, {})
        place = family.get(self._head_of_dropped)
        if place is None:
            place = family[self._head_of_dropped] = self._places.new()
        self._places.values[place], self._places.times[place] = float(self.dropped), now

    def expire(self, now: int, between: Callable[[], None] = lambda: None) -> None:
        """Let go of what is too old; `between` is called between portions."""
        before = self.count
        for families, kept in ((self._events, EVENTS_KEPT), (self._gauges, self._fresh)):
            for at, name in enumerate([*families], 1):
                family = families[name]
                self._expire_family(family, now - kept, between)
                if not family:
                    del families[name]
                if at % AT_ONCE == 0:
                    between()
        self._let_go(between)
        if (self.count < before and len(self._routes) > 2 * self.count) or self._places.gone > self.count:
            self._forget_routes()
            self._let_go(between)

    def _let_go(self, between: Callable[[], None]) -> None:
        """The routes that were forgotten."""
        while self._forgotten:
            for _ in range(min(AT_ONCE, len(self._forgotten))):
                self._forgotten.popitem()
            between()

    def _expire_family(self, family: Family, before: float, between: Callable[[], None]) -> None:
        for at, text in enumerate([*family], 1):
            if self._places.times[family[text]] <= before:
                self._places.end(family.pop(text))
                self.count -= text not in self._uncounted
            if at % AT_ONCE == 0:
                between()

    def text(self, now: int) -> Iterator[str]:
        """All of it as Prometheus reads it, in portions between which others may have their turn."""
        part: list[str] = []
        for line in self._lines(now):
            part.append(line)
            if len(part) >= AT_ONCE:
                yield "".join(part)
                part = []
        yield "".join(part)

    def _lines(self, now: int) -> Iterator[str]:
        """Each line; "" for what has none now."""
        for name in [*self._events, *(name for name in self._gauges if name not in self._events)]:
            kind = "counter" if name not in self._gauges else "untyped" if name in self._events else "gauge"
            rows = self._rows(name, now)
            first = next(rows, "")
            yield type_line(name, kind) + first if first else ""
            yield from rows

    def _rows(self, name: str, now: int) -> Iterator[str]:
        """The series of one name. Some may expire meanwhile."""
        stamp = now // STEP * STEP * 1000
        values, times = self._places.values, self._places.times
        events, gauges = self._events.get(name, {}), self._gauges.get(name, {})
        for text in [*events]:
            if text in events:
                yield f"{text} {number(values[events[text]])} {stamp}\n"
        for text in [*gauges]:
            place = gauges.get(text)
            if place is not None and times[place] > now - self._fresh:
                yield f"{text} {number(values[place])} {times[place] * 1000}\n"


def number(value: float) -> str:
    """A value, with all its digits."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def exporter_of(settings: Values[str, Any], host: str) -> Exporter:
    """The exporter that a daemon's settings ask for. SettingsError for a file of tag names that cannot be used."""
    translate = settings["translate-metric-names"]
    mapping = Mapping(tag_names(settings), translate)
    return Exporter(mapping, host, settings["metrics-cleanup-period"], settings["max-metrics-count"], not translate)
