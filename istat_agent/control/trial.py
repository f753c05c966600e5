"""What `istat-agent try` does: a child with limits runs the plugin twice (rehearsal.py), and what it reported is told
as it would be sent. Blocks: the agent calls it in a thread.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from istat import owners
from istat.errors import IstatError
from istat.names import CARETS_ROOM, WIRE_NAME_ROOM, expand
from istat.plugin import Reading
from istat.running.limits import Limits
from istat.running.process import TOO_LATE, Outcome, run
from istat.settings.setting import TABLES, Values
from istat.settings.types import Size
from istat_agent import names
from istat_agent.agent import suffix
from istat_agent.collecting.finding import CHECKOUT
from istat_agent.collecting.plan import host_name
from istat_agent.control.rehearsal import MOST_SECONDS, PAUSE, VARIABLE
from istat_agent.isolation.parent import environment

LOAD_SECONDS = 10.0  # that loading may take: an agent waits no longer either
# For all of it: two readings, of which each ends in time, and what a busy machine needs besides.
WHOLE_SECONDS = LOAD_SECONDS + 2 * MOST_SECONDS + PAUSE + 5.0
MODULE = "istat_agent.control.rehearsal"


def trial(what: str, values: Values, by: str, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Try a plugin: a name, or the full path of a file. `by`: who runs it, in words; `tags`: what plugins have for
    this machine. What `try --json` prints."""
    asked = {
        "what": what,
        "folders": [os.path.abspath(folder) for folder in values["plugin-dir"]],
        "tables": {name: table for name, table in values.tables.get(TABLES, {}).items() if isinstance(table, dict)},
        "host": host_name(values),
        "interval": values["interval"],
    }
    try:
        told = json.dumps(asked)
    except TypeError:  # a date, which TOML has and JSON has not
        told = json.dumps(asked, default=str)
    began = time.monotonic()
    outcome = run([sys.executable, "-P", "-m", MODULE], WHOLE_SECONDS, {**_environment(), VARIABLE: told},
                  limits=_limits(what, asked["tables"]))
    answer: dict[str, Any] = {"what": what, "by": by, "user": owners.name_of(os.geteuid()),
                              "host": host_name(values), "jobs": [], "problems": [], "unknown": False, "unseen": False}
    told_back = _parsed(outcome)
    _take(answer, told_back, suffix(values, tags))
    answer["seconds"] = round(time.monotonic() - began, 3)
    answer["said"] = outcome.errors.decode("utf-8", "replace").strip()
    if not any("done" in one for one in told_back):
        answer["problems"].append(_ended(outcome, answer))
    answer["fine"] = not (answer["unknown"] or answer["problems"] or any(_wrong(job) for job in answer["jobs"]))
    return answer


def _limits(what: str, tables: Mapping[str, Any]) -> Limits:
    """Those of its child, with the memory that its table says, where it is called as its file is."""
    stem = os.path.splitext(os.path.basename(what))[0]
    table = tables.get(stem, {})
    try:
        return Limits(memory=Size().from_toml(table["memory"])) if "memory" in table else Limits()
    except ValueError:  # told when it is begun
        return Limits()


def _environment() -> dict[str, str]:
    """Of the child: as that of an isolated collector."""
    found = environment()
    if os.path.exists(os.path.join(CHECKOUT, "setup.py")):
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (CHECKOUT, found.get("PYTHONPATH"))))
    return found


def _parsed(outcome: Outcome) -> list[dict[str, Any]]:
    """What the child told."""
    found = []
    for line in outcome.output.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise IstatError(f"the child told what cannot be read: {line[:80]!r}") from error
        if isinstance(told, dict):
            found.append(told)
    return found


def _take(answer: dict[str, Any], told: Sequence[dict[str, Any]], every_name: str) -> None:
    jobs: dict[str, dict[str, Any]] = {}
    for one in told:
        if "problem" in one:
            answer["problems"].append(one["problem"])
            answer["unseen"] = answer["unseen"] or one.get("unseen", False)
        elif "unknown" in one:
            answer["unknown"] = True
        elif "collector" in one:
            jobs[one["job"]] = {**one, "runs": [], "lines": [], "names": [], "refused": [], "left_out": 0}
        elif "run" in one:
            _take_run(jobs[one["job"]], one, every_name)
    answer["jobs"] = list(jobs.values())


def _take_run(job: dict[str, Any], told: Mapping[str, Any], every_name: str) -> None:
    """A reading: its lines are those of the last one."""
    job["runs"].append({key: told[key] for key in ("seconds", "cpu_ms", "samples", "names", "error", "problems")})
    if not told["readings"] and not told["samples"]:
        return
    readings = [Reading(*one) for one in told["readings"]]
    lines = names.lines(readings, every_name, told["time"])
    job["left_out"] = told["samples"] - len(readings)
    job["lines"], job["names"], job["refused"] = [], [], []
    known: dict[str, None] = {}
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\n")
        why = _refusal(line.partition(b" ")[0])
        if why:
            job["refused"].append(f"{text}: {why}")
            continue
        job["lines"].append(text)
        expansion = expand(line.partition(b" ")[0])
        known.update(dict.fromkeys(("*" if expansion.event else "") + name.decode() for name in expansion.names))
    job["names"] = list(known)


def _refusal(name: bytes) -> str:
    """Why a server would not take a sample of this name; "" when it would."""
    if len(name) > WIRE_NAME_ROOM:
        return f"its name has {len(name):,} bytes, and a server takes {WIRE_NAME_ROOM:,}: choose a shorter one"
    if name.count(b"^") > CARETS_ROOM:
        return f"its name has more than {CARETS_ROOM} carets, host and tags included"
    if not expand(name).names:
        return "its name means no counter"
    return ""


def _ended(outcome: Outcome, answer: Mapping[str, Any]) -> str:
    """Why the child ended before it was done."""
    failure = outcome.failure or "by itself, with exit status 0 (os._exit?)"
    if failure.startswith(TOO_LATE):
        where = "being read" if answer["jobs"] else "being loaded"
        return f"it was ended while it was {where}: {failure}; does it wait for something, without a timeout?"
    return f"its child ended before it was done: {failure}"


def _wrong(job: Mapping[str, Any]) -> bool:
    """Whether something was wrong with a job. That a first reading has no rates is not."""
    if job["refused"] or not job["runs"]:
        return True
    return any(one["error"] or one["problems"] for one in job["runs"])
