"""What an operator does over HTTP: deletes and renames counters, dry runs unless confirmed, and says that the clock is
right. Formats: docs/formats/http-api.md.

Knows names and patterns and the store's interface; what a delete means is the store's business.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import falcon

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.errors import BadQuery
from istat.names import stored
from istat.patterns.automata import check_pattern
from istat_server.http import numbers
from istat_server.http.abilities import need
from istat_server.http.exchange.lists import NO_TOKEN, send_rows
from istat_server.http.exchange.turns import turn
from istat_server.http.limits import HttpLimits
from istat_server.http.reply import parameter, read_object, send_json, strings, whole_number
from istat_server.query.patterns import in_pages
from istat_server.store.interface import Capability, Counter, Deleted, NamePattern, Store, Syntax

log = logging.getLogger(__name__)

SHOWN = 100             # names that an answer lists
DEFAULT_LISTED = 1000
BELOW = b".*"           # the end of both patterns of a rename


class Changes:
    """The handlers, by the names that the table of routes uses."""

    def __init__(self, store: Store, clock: Clock, limits: HttpLimits) -> None:
        self._store, self._clock, self._limits = store, clock, limits
        self._log = LimitedLog(log, clock)

    def confirm_clock(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/clock/confirm."""
        need(self._store, Capability.CLOCK_GUARD)
        send_json(req, resp, {"time": int(self._clock.now()), "doubt": self._store.confirm_clock()})

    def promote(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/replica/promote."""
        promote = getattr(self._store, "promote", None)
        if promote is None:
            raise BadQuery("this server is no replica: it is a master already", 409)
        answer = promote()
        self._log.warning("promote", "%s has made this replica a master", req.remote_addr)
        send_json(req, resp, answer)

    def delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/delete."""
        question = read_object(req)
        if "names" not in question and "match" not in question:
            raise BadQuery("give names or match")
        found, missing = self._named(question.get("names", []))
        if "match" in question:
            found = list(dict.fromkeys([*found, *self._matching(question["match"])]))
        counters, shown = [counter.id for counter in found], [counter.name for counter in found[:SHOWN]]
        answer: dict[str, object] = {"count": len(counters), "names": shown, "missing": missing}
        if self._confirmed(question, len(counters), "match" in question):
            answer["deleted"] = self._store.delete(counters)
            answer["undo"] = Capability.UNDELETE in self._store.capabilities
            self._log.warning("delete", "%s deleted %s counters: %s", req.remote_addr, answer["deleted"],
                              question.get("match") or shown)
        send_json(req, resp, answer)

    def undelete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/undelete: the last delete of each name."""
        question = read_object(req)
        need(self._store, Capability.UNDELETE)
        if "match" in question:
            found = self._store.deleted(_glob(question["match"], "match"), self._limits.offset)
        else:
            found = self._store.deleted_called({stored(name.encode()) for name in self._some(question.get("names"))})
        newest = {entry.counter.name: entry.counter.id for entry in reversed(found)}
        refused = self._store.undelete(list(newest.values()))
        done = len(newest) - len(refused)
        if done:
            self._log.warning("undelete", "%s undid the delete of %d counters", req.remote_addr, done)
        send_json(req, resp, {"undeleted": done, "refused": [
            {"name": entry.counter.name, "reason": entry.problem} for entry in refused[:SHOWN]]})

    def rename(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/v1/rename: one counter, or all below a prefix."""
        question = read_object(req)
        need(self._store, Capability.RENAME)
        pairs = self._renames(_pattern(question.get("from"), "from"), _pattern(question.get("to"), "to"))
        problems = list(islice(self._store.rename_problems([(old.id, new) for old, new in pairs]), SHOWN))
        answer: dict[str, object] = {"count": len(pairs), "problems": problems, "names": [
            [old.name, new.decode("ascii", "replace")] for old, new in pairs[:SHOWN]]}
        if self._confirmed(question, len(pairs), False):
            self._store.rename([(old.id, new) for old, new in pairs])
            answer["renamed"] = len(pairs)
            self._log.warning("rename", "%s renamed %d counters: %s to %s", req.remote_addr, len(pairs),
                              question["from"], question["to"])
        send_json(req, resp, answer)

    def get_deleted(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/v1/deleted: what was deleted and is not gone yet."""
        need(self._store, Capability.UNDELETE)
        pattern = NamePattern(Syntax.GLOB, check_pattern(parameter(req, "match", "*").encode()))
        limit = whole_number(parameter(req, "limit"), "limit", DEFAULT_LISTED, 1, self._limits.listed)
        token = parameter(req, "token")
        found = self._store.deleted(pattern, limit + 1, *([_behind(token)] if token else []))
        rows = ((_row(entry), f"{entry.number}.{entry.counter.id}") for entry in found)
        send_rows(req, resp, "deleted", rows, limit, self._limits.page)

    def _confirmed(self, question: dict[str, Any], count: int, counted: bool) -> bool:
        """Whether this is no dry run. BadQuery (409) when other counters are meant than those expected."""
        if question.get("confirm") is not True:
            return False
        expected = question.get("expected")
        if expected is None and counted:
            raise BadQuery("say how many counters you expect to be deleted: expected")
        if expected is not None and numbers.plain(expected) is None:
            raise BadQuery("expected must be a whole number")
        if expected is not None and expected != count:
            raise BadQuery(f"{count} counters are meant by now, not {expected}; look again", 409)
        return True

    def _some(self, value: object, key: str = "names") -> list[str]:
        names = strings(value, key)
        if len(names) > self._limits.names:
            raise BadQuery(f"at most {self._limits.names} {key} at once", 413)
        return names

    def _named(self, value: object) -> tuple[list[Counter], list[str]]:
        """Counters by name, and the names that no counter has."""
        asked = {name: self._store.find(name.encode()) for name in self._some(value)}
        found = list(dict.fromkeys(counter for counter in asked.values() if counter))
        return found, [name for name, counter in asked.items() if counter is None]

    def _matching(self, value: object) -> list[Counter]:
        """Counters that fit a pattern, or one of several."""
        wanted = self._some(value, "match") if isinstance(value, list) else [value]
        patterns = [_glob(one, "match") for one in wanted]
        return [counter for pattern in patterns for counter in self._counters(pattern)]

    def _counters(self, pattern: NamePattern) -> Iterator[Counter]:
        """All that fit. BadQuery (413) when they are too many for one request."""
        for at, counter in enumerate(in_pages(self._store, pattern, self._limits.offset + 1, turn)):
            if at == self._limits.offset:
                raise BadQuery(f"more than {self._limits.offset} counters at once; take a narrower pattern", 413)
            yield counter

    def _renames(self, old: bytes, new: bytes) -> Sequence[tuple[Counter, bytes]]:
        """Who is to be called what. UnknownCounter is BadQuery 404 when there is none of that name."""
        if not old.endswith(BELOW):
            counter = self._store.find(old)
            if counter is None:
                raise BadQuery(f"there is no counter {stored(old).decode()}", 404)
            return [(counter, new)]
        if not new.endswith(BELOW) or any(sign in old[:-1] + new[:-1] for sign in b"*?"):
            raise BadQuery("a rename of several wants two prefixes: old.prefix.* and new.prefix.*")
        stem, place = len(old) - 1, new[:-1]
        below = self._counters(NamePattern(Syntax.GLOB, old))
        return [(counter, place + stored(counter.name.encode())[stem:]) for counter in below]


def _pattern(value: object, key: str) -> bytes:
    if not isinstance(value, str) or not value:
        raise BadQuery(f"{key} must be a name or a pattern")
    return check_pattern(value.encode())


def _behind(token: str) -> tuple[int, int]:
    """The number and the id in a token of `deleted`. BadQuery when it is none."""
    number, id = (numbers.digits(part) for part in token.partition(".")[::2])
    if number is None or id is None:
        raise BadQuery(NO_TOKEN)
    return number, id


def _glob(value: object, key: str) -> NamePattern:
    return NamePattern(Syntax.GLOB, _pattern(value, key))


def _row(entry: Deleted) -> dict[str, object]:
    return {"name": entry.counter.name, "kind": entry.counter.kind.value, "time": entry.number,
            "undo": not entry.problem, "reason": entry.problem}
