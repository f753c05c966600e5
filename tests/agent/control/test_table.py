"""What `istat-agent plugins` and `reload` print for people."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from istat_agent.collecting.states import Changes, State
from istat_agent.control import table
from istat_agent.control.answers import outcome
from istat_agent.control.skeleton import Written

NOW = 1_700_000_000
AGENT = {"pid": 17, "version": "2.0", "user": "_istat-agent", "since": NOW - 3700, "status": "sending to here:8111"}


def told(*states: State, problems: list[str] | None = None) -> list[str]:
    answer: dict[str, Any] = {"agent": AGENT, "now": NOW, "plugins": [asdict(one) for one in states],
                              "problems": problems or []}
    return table.plugins(answer)


def test_all_is_well() -> None:
    assert told(
        State("spool", "built-in disk", True, "off"),
        State("queue", "/etc/istatd/plugins.d/queue.py", False, "runs", isolated=True, last_run=NOW - 7, interval=10,
              cpu_ms=12.345, samples=123456, names=3),
        State("cpu", "built-in cpu", True, "runs", last_run=NOW - 130, cpu_ms=0.2, samples=10, names=10),
    ) == [
        "istat-agent 2.0, process 17, user _istat-agent, up 1 h 1 min; sending to here:8111",
        "",
        "PLUGIN  STATE                 LAST RUN     COST  SAMPLES  NAMES  ERRORS  FROM",
        "cpu     runs            2 min 10 s ago   0.2 ms       10     10       0  built-in cpu",
        "queue   runs, isolated         7 s ago  12.3 ms  123,456      3       0  /etc/istatd/plugins.d/queue.py",
        "spool   off                          -        -        -      -       -  built-in disk",
    ]


def test_what_is_wrong_is_a_sentence_with_what_to_do() -> None:
    lines = told(
        State("a", "a.py", False, "fails", why="KeyError: 'x' (a.py:3)", last_run=NOW, errors=4, samples=1),
        State("b", "b.py", False, "stuck", why="still has not finished; left out", last_run=NOW - 60, late=5),
        State("c", "c.py", False, "waits", why="it takes 80 % of a core", last_run=NOW - 60),
        State("d", "/d/d.py", False, "refused", why="not loaded: everybody may write /d (chmod o-w /d)"),
        State("exec:it's", "built-in exec", True, "fails", why="exit status 3", last_run=NOW),
        State("f", "f.py", False, "runs", why="it goes on as it was", last_run=NOW, refused=1200),
        State("g", "g.py", False, "off", why="settings say so"),
        State("exec", "built-in exec", True, "runs", why="there is nothing to do for it"),
        State("i", "i.py", False, "runs", why="not loaded: others may write; what was loaded goes on", last_run=NOW),
        State("h", "h.py", False, "runs", isolated=True, last_run=NOW, verdict="the agent stood still while it ran"),
        problems=["/d/d.py: not loaded: everybody may write /d (chmod o-w /d)", "tags: 'a b' has a blank",
                  "i.py: not loaded: others may write; what was loaded goes on"],
    )
    assert lines[lines.index("") + 1].startswith("PLUGIN")
    assert lines[lines.index("", 2) + 1:] == [
        "a fails: KeyError: 'x' (a.py:3). See it fail: istat-agent try a.",
        "b is stuck: still has not finished; left out. Give its calls timeouts that are shorter than its own; when it "
        "misses a turn it is moved to a child, as by isolated = true in [plugins.b], which is ended in time.",
        "c waits: it takes 80 % of a core. It is tried again by itself; see what it does now: istat-agent try c.",
        "d does not run: not loaded: everybody may write /d (chmod o-w /d). Once that is mended it is taken up by "
        "itself.",
        "exec:it's fails: exit status 3. See it fail: istat-agent try 'exec:it'\"'\"'s'.",
        "f: it goes on as it was",
        "f: 1,200 of its values were not taken: above max-samples or max-names of [plugins.f], or later than its "
        "timeout. Have it report less, or raise them there and say istat-agent reload.",
        "h runs in a child because the agent stood still while it ran: until its file changes, or the machine "
        "restarts.",
        "i: not loaded: others may write; what was loaded goes on",
        "tags: 'a b' has a blank",
    ]
    row = next(line for line in lines if line.startswith("exec "))
    assert row.removeprefix("exec").strip().startswith("nothing to do")
    row = next(line for line in lines if line.startswith("b "))
    assert row.split()[-2:] == ["5", "b.py"]


def test_clocks_that_were_set_back_are_no_nonsense() -> None:
    assert "0 s ago" in told(State("a", "a.py", False, "runs", last_run=NOW + 100))[3]


def test_what_a_reload_came_to() -> None:
    assert table.reloaded(outcome(Changes(), [], [], [])) == ["no plugin has changed"]
    assert table.reloaded(outcome(Changes(("a", "b"), ("c",), ("d",)), ["interval"], ["stat-port"], ["e: broken"])) == [
        "added: a, b", "changed: c", "removed: d", "settings taken over: interval",
        "these settings change with a restart only: stat-port", "e: broken"]


def test_tags_of_plugins_are_told_of_the_agent() -> None:
    agent = {**AGENT, "tags": ["zone.eu1", "class.web"]}
    assert table.plugins({"agent": agent, "now": NOW, "plugins": []})[0].endswith(
        "sending to here:8111; tags of plugins: zone.eu1, class.web")


def test_a_new_plugin_is_installed_as_root_only_where_that_is_wanted(tmp_path: Path) -> None:
    written = Written(tmp_path / "mails.py", tmp_path / "test_mails.py")
    assert f"  install -m 644 {shlex.quote(os.path.relpath(written.plugin))} {tmp_path}/" in "\n".join(
        table.begun(written, str(tmp_path), False))
    assert "  sudo install -m 644" in "\n".join(table.begun(written, str(tmp_path / "none"), False))
