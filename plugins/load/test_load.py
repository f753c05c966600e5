"""load, on a fake /proc."""

from collections.abc import Callable
from pathlib import Path

from istat.plugin import Definition, Emit

from .collector import Load


def test_averages_and_uptime(documented: Callable[[Definition, Emit], None]) -> None:
    emit = Emit()
    Load(proc=str(Path(__file__).parent / "fixtures/proc")).collect(emit)
    documented(Load, emit)
    assert emit.gauges() == {
        "load.min1": 0.45,
        "load.min5": 1.2,
        "load.min15": 2.05,
        "load.uptime_seconds": 93784.12,
    }
