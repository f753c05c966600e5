"""What an agent declares of its metrics."""

from __future__ import annotations

import pytest

from istat.plugin import MAX_METRICS, Emit, Metric
from istat_agent import declaring
from istat_agent.declaring import Declaring

CPU, DISK = Metric("cpu.user", "%", "time"), Metric("disk.<device>.reads", "", "reads", event=True)


def changes(made: Declaring) -> list[int]:
    found: list[int] = []
    made.changed = lambda: found.append(1)
    return found


def test_collectors_declare_and_a_new_plan_changes_that() -> None:
    made = Declaring([CPU, Metric("<name>", "", "whatever a script prints")])
    changed = changes(made)
    assert made.lines() == [b'#metric cpu.user {"unit":"%","kind":"gauge","help":"time"}\n']
    made.plan([CPU])
    assert changed == []
    made.plan([CPU, DISK])
    assert changed == [1] and len(made.lines()) == 2


def test_what_a_reading_tells_comes_on_top_once() -> None:
    made = Declaring([CPU])
    changed = changes(made)
    for _ in range(3):
        made.found([Metric("files.open", "files", ""), DISK])
    assert changed == [1] and len(made.lines()) == 3
    made.found([Metric("files.open", "", "changed")])
    assert changed == [1, 1] and made.lines()[1] == b'#metric files.open {"kind":"gauge","help":"changed"}\n'


def test_readings_tell_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaring, "MOST_FOUND", 10)
    made = Declaring()
    made.found(Metric(f"m{number}", "", "") for number in range(50))
    made.found([Metric("m3", "s", "")])
    assert len(made.lines()) == 10 and b'#metric m3 {"unit":"s","kind":"gauge"}\n' in made.lines()
    emit = Emit()
    for number in range(2 * MAX_METRICS):
        emit.metric(Metric(f"m{number}", "", ""))
    assert len(emit.metrics) == MAX_METRICS
    emit = Emit()
    emit.closed = True
    emit.metric(CPU)
    assert emit.metrics == []
