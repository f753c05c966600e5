"""Names are read at a start in portions, between which others have their turns."""
from __future__ import annotations

from typing import Any

from istat_server.store.names import namefiles
from istat_server.store.options import Options
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, open_store, put, rows


class Turns(InlinePool):
    """Counts the turns that others have had."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, function: Any, args: tuple[Any, ...] = ()) -> Any:
        """See Pool."""
        self.count += 1
        return super().apply(function, args)


def test_many_names_leave_turns_to_others(tmp_path, clock, monkeypatch):
    folder = tmp_path / "store"
    store = open_store(folder, clock)
    put(store, *(f"web.{number} 5" for number in range(100)))
    store.close()
    counts = {}
    for portion in (10_000, 4):
        monkeypatch.setattr(namefiles, "REPLAYED_AT_ONCE", portion)
        turns = Turns()
        store = StatStore.open(folder, LADDER, clock, pool=turns, options=Options(key=1))
        counts[portion] = turns.count
        assert store.count() == 100 and rows(store, "web.99", 0)
        store.close()
    assert counts[4] - counts[10_000] == 200 // 4 - 1       # a counter and a route each
