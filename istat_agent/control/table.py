"""What the commands print for people: lines of text, of what the agent has answered. Knows no sockets."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from istat.cli.figures import number_text, seconds_text
from istat_agent.collecting import states
from istat_agent.control.skeleton import Written

Plugin = Mapping[str, Any]

HEAD = ("PLUGIN", "STATE", "LAST RUN", "COST", "SAMPLES", "NAMES", "ERRORS", "FROM")
TO_THE_LEFT = (0, 1, 7)  # columns of words; numbers stand to the right
NOTHING = "-"
IDLE = "nothing to do"  # built-in ones that run where there is something for them, such as a script
# What helps beyond the agent's own sentence, by state.
CURES = {
    states.FAILS: "See it fail: istat-agent try {name}",
    states.STUCK: "Give its calls timeouts that are shorter than its own; when it misses a turn it is moved to a "
                  "child, as by isolated = true in [plugins.{collector}], which is ended in time",
    states.WAITS: "It is tried again by itself; see what it does now: istat-agent try {name}",
    states.REFUSED: "Once that is mended it is taken up by itself",
}


def plugins(answer: Mapping[str, Any]) -> list[str]:
    """The table, and below it what is wrong and what to do."""
    found: Sequence[Plugin] = sorted(answer["plugins"], key=lambda one: (one["state"] == states.OFF, one["name"]))
    lines = [_agent(answer), "", *columns([HEAD, *(_row(one, answer["now"]) for one in found)])]
    known = tuple(f"{one['origin']}: " for one in found if one["state"] == states.REFUSED)
    said = {f"{one['origin']}: {one['why']}" for one in found}
    others = (text for text in answer.get("problems", ()) if not text.startswith(known) and text not in said)
    told = [*(sentence for one in found for sentence in _wrong(one)), *others]
    return [*lines, "", *told] if told else lines


def _agent(answer: Mapping[str, Any]) -> str:
    agent = answer["agent"]
    since = seconds_text(max(0, round(answer["now"] - agent["since"])))
    tags = f"; tags of plugins: {', '.join(agent['tags'])}" if agent.get("tags") else ""
    return (f"istat-agent {agent['version']}, process {agent['pid']}, user {agent['user']}, up {since}; "
            f"{agent['status']}{tags}")


def _row(one: Plugin, now: float) -> tuple[str, ...]:
    ran = one["last_run"] is not None
    state = one["state"] + (", isolated" if one["isolated"] and one["state"] != states.OFF else "")
    if one["state"] == states.RUNS and one["own"] and not ran and one["why"]:
        state = IDLE
    return (
        one["name"],
        state,
        ago(now - one["last_run"]) if ran else NOTHING,
        f"{one['cpu_ms']:.1f} ms" if ran else NOTHING,
        number_text(one["samples"]) if ran else NOTHING,
        number_text(one["names"]) if ran else NOTHING,
        number_text(one["errors"] + one["late"]) if ran or one["errors"] or one["late"] else NOTHING,
        one["origin"],
    )


def ago(seconds: float) -> str:
    """`3 s ago`; whole seconds, and never in the future."""
    return f"{seconds_text(max(0, round(seconds)))} ago"


def _wrong(one: Plugin) -> Iterable[str]:
    """Sentences about a plugin that does not do well."""
    name, state = one["name"], one["state"]
    why = _sentence(one["why"])
    if state in CURES:
        cure = CURES[state].format(name=shlex.quote(name), collector=name.partition(":")[0])
        yield f"{name} {_is(state)}{why}{cure}."
    elif one["why"] and state != states.OFF and not (one["own"] and one["last_run"] is None):
        yield f"{name}: {one['why']}"
    if one.get("verdict"):
        yield (f"{name} runs in a child because {one['verdict']}: until its file changes, or the machine restarts.")
    if one["refused"]:
        yield (f"{name}: {number_text(one['refused'])} of its values were not taken: above max-samples or max-names of "
               f"[plugins.{name.partition(':')[0]}], or later than its timeout. Have it report less, or raise them "
               "there and say istat-agent reload.")


def _is(state: str) -> str:
    return {states.STUCK: "is stuck: ", states.REFUSED: "does not run: "}.get(state, f"{state}: ")


def _sentence(text: str) -> str:
    """A text as a sentence with another behind it."""
    return f"{text.rstrip('.')}. " if text else ""


def reloaded(answer: Mapping[str, Any]) -> list[str]:
    """What was exchanged."""
    parts = [(word, answer[word]) for word in ("added", "changed", "removed")]
    lines = [f"{word}: {', '.join(names)}" for word, names in parts if names] or ["no plugin has changed"]
    if answer["settings"]:
        lines.append(f"settings taken over: {', '.join(answer['settings'])}")
    if answer["waiting"]:
        lines.append(f"these settings change with a restart only: {', '.join(answer['waiting'])}")
    return [*lines, *answer["problems"]]


def begun(written: Written, drop_ins: str, dropped: bool) -> list[str]:
    """What `new` has written, and what to do next: as root only where this user may not write to the drop-in folder."""
    plugin, test = (os.path.relpath(path) for path in (written.plugin, written.test))
    rows = [(plugin, "the plugin: it works as it is; let it measure what you want"),
            (test, f"its test: python3 -m pytest {shlex.quote(test)}")]
    tried = plugin if os.sep in plugin else f".{os.sep}{plugin}"
    mode = "755" if not plugin.endswith(".py") else "644"
    as_root = "" if os.access(drop_ins, os.W_OK) else "sudo "
    there = "it is in a drop-in folder: a running agent has it within 10 s" if dropped else (
        f"{as_root}install -m {mode} {shlex.quote(plugin)} {drop_ins}/    # a running agent has it within 10 s")
    return [*columns(rows, ()), "", "Next:", f"  istat-agent try {shlex.quote(tried)}", f"  {there}",
            "  istat-agent plugins"]


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] | None = None) -> list[str]:
    """Rows as lines, in columns that are as wide as they have to be; the last one is not padded. `right`: which stand
    to the right; those of numbers unless given."""
    right = [at for at in range(len(HEAD)) if at not in TO_THE_LEFT] if right is None else right
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) if at in right else cell.ljust(width)
                      for at, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
