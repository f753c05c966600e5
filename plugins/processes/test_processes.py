"""processes, on two fake /proc trees. In the first, process 90 ends between listing and reading."""

from collections.abc import Callable
from pathlib import Path

from istat.plugin import Config, Definition, Emit

from .collector import Processes

FIXTURES = Path(__file__).parent / "fixtures"


def test_states_and_forks(documented: Callable[[Definition, Emit], None], tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    proc.symlink_to(FIXTURES / "first")
    processes = Processes(proc=str(proc))
    first = Emit(1000, 10.0)
    processes.collect(first)
    assert first.gauges() == {
        "processes.total": 5,
        "processes.threads": 421,
        "processes.running": 0,
        "processes.sleeping": 2,
        "processes.blocked": 1,  # a command's name may look like the fields behind it: "(a) R (b c)"
        "processes.stopped": 0,
        "processes.zombie": 1,
        "processes.idle": 0,
    }
    proc.unlink()
    proc.symlink_to(FIXTURES / "second")
    second = Emit(1010, 20.0)
    processes.collect(second)
    documented(Processes, second)
    assert second.gauges()["processes.forks"] == 5
    assert second.gauges()["processes.idle"] == 1


def test_states_are_absent_above_the_limit() -> None:
    processes = Processes(proc=str(FIXTURES / "first"))
    processes.setup(Config({"max-scan": 4}))
    emit = Emit()
    processes.collect(emit)
    assert emit.gauges() == {"processes.total": 5, "processes.threads": 421}
