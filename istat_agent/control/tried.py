"""What `istat-agent try` prints for people: lines of text, of what a trial came to. Knows no sockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from istat.cli.figures import number_text, seconds_text

MOST_SHOWN = 500  # lines of one job; --json has all that there are
INDENT = "  "


def lines(answer: Mapping[str, Any]) -> list[str]:
    """All of it."""
    found: list[str] = []
    for job in answer["jobs"]:
        found += [*_job(job), ""]
    if answer["said"]:
        printed = (INDENT + line for line in answer["said"].split("\n"))
        found += ["It printed, which an agent does not send:", *printed, ""]
    found += answer["problems"]
    if answer["fine"] and not answer["jobs"]:
        found.append(f"{answer['what']} has nothing to read here.")
    if answer["jobs"]:
        found.append(f"Run by {answer['by']} as the user {answer['user']}; nothing was sent. In all it took "
                     f"{seconds_text(answer['seconds'])}, with the start of a child and a pause between two runs.")
    return found


def _job(job: Mapping[str, Any]) -> Iterable[str]:
    whose = "" if job["job"].partition(":")[0] == job["collector"] else f" of {job['collector']}"
    yield (f"{job['job']}{whose}, from {job['origin']}: every {job['interval']} s; a run is given up "
           f"after {job['timeout']:g} s.")
    for number, one in enumerate(job["runs"], 1):
        yield f"Run {number}: {_cost(one)}"
        yield from (INDENT + text for text in _faults(one))
    yield from _shown("It would send:", job["lines"], job["left_out"])
    yield from _shown("Counters that are fed:", job["names"], 0)
    yield from _shown("A server would refuse:", job["refused"], 0)
    if not job["lines"] and not job["refused"] and not any(one["error"] for one in job["runs"]):
        yield "It reported nothing: emit.gauge(name, value) reports values, and so do a script's lines `name value`."


def _cost(one: Mapping[str, Any]) -> str:
    took = f"{1000 * one['seconds']:.1f} ms, {one['cpu_ms']:.1f} ms of CPU"
    return f"{took}, {_number(one['samples'], 'sample')} of {_number(one['names'], 'name')}"


def _number(count: int, of: str) -> str:
    return f"{number_text(count)} {of}{'' if count == 1 else 's'}"


def _faults(one: Mapping[str, Any]) -> Iterable[str]:
    if one["error"]:
        yield f"failed: {one['error']}"
    yield from one["problems"]


def _shown(title: str, rows: Sequence[str], more: int) -> Iterable[str]:
    if not rows:
        return
    yield title
    yield from (INDENT + row for row in rows[:MOST_SHOWN])
    more += max(0, len(rows) - MOST_SHOWN)
    if more:
        yield f"{INDENT}... and {number_text(more)} more"
