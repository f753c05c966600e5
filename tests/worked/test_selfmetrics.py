"""What the server tells of itself under istatd's names (part 13.2 of its behaviour), where they mean the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from istat_server.selfmetrics import METRICS
from tests.worked.site import NOW, Site

THEIRS = {
    "counter.dequeue": True, "counter.from_future": True, "counter.from_past": True, "counter.rejected": True,
    "counter.created": True, "counter.closed": True, "statserver.connects": True, "statserver.drops": True,
    "statserver.connected": False, "statserver.commands.reserved": True, "statserver.commands.bad": True,
    "app.memory.vmsize": False, "app.memory.vmrss": False, "http.current": False, "http.requests": True,
    "http.errors.server": True, "http.errors.http": True, "admin.connections": True, "admin.commands": True,
    "exceptions": True, "settings.get": True, "settings.match": True, "settings.set": True, "settings.save": True}


@pytest.mark.parametrize(("name", "event"), THEIRS.items())
def test_a_metric_has_istatds_name_and_kind(name: str, event: bool) -> None:
    assert [metric.event for metric in METRICS if metric.name == name] == [event]


@pytest.mark.parametrize(("name", "instead"), [
    ("counter.enqueue", "counter.dequeue"), ("counter.queuelen", "counter.dequeue"),
    ("counter.flushed", "store.written.files"), ("counter.eagerconns", "http.connected"),
    ("replica.connections", ""), ("replica.events", ""), ("mm.opens", ""),
    ("mm.closes", ""), ("mm.maps", ""), ("mm.unmaps", ""), ("pagecache.hits", "store.cache.hits"),
    ("pagecache.misses", "store.cache.misses")])
def test_what_would_mean_nothing_here_is_not_told(name: str, instead: str) -> None:
    ours = {metric.name for metric in METRICS}
    assert not [one for one in ours if one.startswith(name)]
    assert not instead or instead in ours


def test_they_are_counters_of_the_store_with_what_happened(make: Callable[..., Site]) -> None:
    site = make()
    site.server.feed_metrics()
    site.feed(f"g {NOW} 1", f"g {NOW + 61} 1", "g 1 1", f"g {NOW} 5 5 6 7 1", "@x", "q 1 2 3", "q abc", "gone 1")
    site.store.delete([site.store.find(b"gone").id])
    site.clock.set(NOW + 10)
    site.ask("/g")
    site.ask("/nothing.here")
    site.store.tick()
    made = site.store.count() + 1       # the deleted one too, and the self-metrics of the first time
    site.server.feed_metrics()
    told = {name: site.buckets(f"istatd.{name}", NOW + 10, NOW + 20, "sum")[0][1] for name in (
        "counter.from_future", "counter.from_past", "counter.rejected", "statserver.commands.reserved",
        "statserver.commands.bad", "counter.closed", "http.requests", "http.errors.http")}
    assert told == {"counter.from_future": 0.1, "counter.from_past": 0.1, "counter.rejected": 0.1,
                    "statserver.commands.reserved": 0.1, "statserver.commands.bad": 0.2, "counter.closed": 0.1,
                    "http.requests": 0.2, "http.errors.http": 0.1}
    assert site.buckets("istatd.counter.created", NOW, NOW + 20, "sum", "count") == [(NOW, 0, 1),
                                                                                    (NOW + 10, made / 10, 1)]
    for zero in ("http.current", "statserver.connected"):
        assert site.buckets(f"istatd.{zero}", NOW, NOW + 20, "sum", "count") == [(NOW, 0, 1), (NOW + 10, 0, 1)]
    assert site.buckets("istatd.app.memory.vmrss", NOW + 10, NOW + 20, "min")[0][1] > 1 << 20
    assert site.listed("istatd.http.errors.*")["istatd.http.errors.http"] == 1
