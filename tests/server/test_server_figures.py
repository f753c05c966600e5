"""What a server measures and tells of itself: ticks, lag, own metrics, status, refusals; and new settings."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from istat import __version__
from istat.cli.report import server_problems
from istat.clock import FakeClock
from istat.kernels import IMPLEMENTATION
from istat.settings.declaration import Values
from istat_server import server as assembly
from istat_server.sockets import Sockets
from tests.ingest.fakes import until
from tests.server.assembled import Changeable, Whole, values_of

PATIENCE = 5.0      # far longer than anything here takes [s]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def whole(folder: Path, clock: FakeClock) -> Iterator[Whole]:
    whole = Whole(folder, clock)
    yield whole
    whole.end()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks come as fast as the hub turns: the clock of these tests stands."""
    monkeypatch.setattr(assembly, "TICK_SECONDS", 0.0005)


def test_the_store_has_its_ticks_until_the_end_though_one_fails(whole: Whole, fast: None,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    later = Event()

    def at_tick() -> None:
        if whole.store.ticks <= 2:
            raise OSError("a bad moment")
        later.set()

    whole.server.open()
    whole.store.at_tick = at_tick
    assert whole.store.ticks == 0
    whole.server.start()
    assert later.wait(PATIENCE)
    whole.server.end_input()
    ticks = whole.store.ticks
    Event().wait(0.002)
    assert whole.store.ticks == ticks
    assert whole.faults.count == 2
    assert caplog.text.count("unexpected error in the store's tick") == 1


def test_the_end_waits_for_a_tick_under_way(whole: Whole, fast: None) -> None:
    began, go_on, stopped = Event(), Event(), Event()

    def at_tick() -> None:      # a store that waits for the disk lets the hub run
        began.set()
        assert go_on.wait(PATIENCE)
        whole.order.append("tick ends")

    whole.plugin.outputs[0].at_stop = lambda: stopped.set()
    whole.server.open()
    whole.store.at_tick = at_tick
    whole.server.start()
    assert began.wait(PATIENCE)
    ending = gevent.spawn(whole.end)
    assert stopped.wait(PATIENCE)
    assert not ending.dead
    go_on.set()
    ending.join(PATIENCE)
    assert whole.order[-2:] == ["tick ends", "store closes"]


def test_how_late_a_tick_comes_is_the_hubs_lag_for_two_intervals(whole: Whole, fast: None) -> None:
    def at_tick() -> None:
        if whole.store.ticks == 2:
            whole.clock.advance(0.25)       # it took long: the next one is late
        if whole.store.ticks == 3:
            late.set()

    late = Event()
    whole.server.open()
    whole.store.at_tick = at_tick
    whole.server.start()
    assert late.wait(PATIENCE)
    whole.server.end_input()
    lags = []
    for _ in range(3):
        lags.append(whole.server.metrics.values()["hub.lag"])
        whole.server.feed_metrics()
    assert lags == [pytest.approx(0.25 - assembly.TICK_SECONDS)] * 2 + [0.0]


def test_the_servers_own_figures_become_samples_now_and_then(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "INTERVAL", 0.001)
    whole.server.open()
    assert whole.store.count() == 0
    whole.server.start()
    until(lambda: whole.store.find(b"istatd.app.uptime") is not None)


def test_a_figure_of_the_server_is_a_sample_of_now(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock)
    whole.server.open()
    whole.server.start()
    clock.advance(12)
    whole.store.tick()      # tells it the time
    whole.feed(b"a 1\nb 1\na 2\na x\n")
    whole.server.feed_metrics()
    whole.end()
    now = 1325395010        # the beginning of the bucket
    assert values_of(folder, clock, b"istatd.app.uptime") == [(now, 1, 12.0)]
    for name, rate in ((b"counter.dequeue", 0.3), (b"counter.created", 0.2), (b"refused.bad_number", 0.1)):
        ((time, count, total),) = values_of(folder, clock, b"istatd." + name)
        assert (time, count, round(total, 6)) == (now, 1, rate), "events in 10 s"


def test_counters_that_were_there_before_are_not_created(folder: Path, clock: FakeClock) -> None:
    for name, ids, created in ((b"a", 1, 1), (b"b", 2, 1), (b"b", 2, 0)):
        whole = Whole(folder, clock)
        whole.server.open()
        whole.feed(name + b" 1\n")
        values = whole.server.metrics.values()
        assert (values["counter.created"], values["counters"]) == (created, ids)
        whole.end()


def test_the_rate_of_samples_is_that_of_others(whole: Whole) -> None:
    whole.server.open()
    assert "samples_per_second" not in whole.ask("/api/v1/status").json["ingest"], "it is not known yet"
    for _ in range(2):
        whole.server.feed_metrics()
        assert whole.ask("/api/v1/status").json["ingest"]["samples_per_second"] == 0, "its own are not counted"
    whole.feed(b"a 1\nb 1\n")
    whole.server.feed_metrics()
    assert whole.ask("/api/v1/status").json["ingest"]["samples_per_second"] > 0
    assert whole.ask("/api/v1/status").json["ingest"]["samples"] > 2


def test_the_status_says_where_samples_are_taken_and_what_is_wrong(whole: Whole) -> None:
    whole.server.open()
    status = whole.ask("/api/v1/status").json
    assert "listening" in status
    assert status["problems"] == list(server_problems(status, status["time"]))


def test_what_the_process_and_http_are_like(whole: Whole) -> None:
    whole.server.open()
    for path in ("/health", "/api/nothing"):
        whole.ask(path)
    whole.faults.note("a test", ValueError())
    values = whole.server.metrics.values()
    assert (values["http.requests"], values["http.errors.http"], values["http.current"]) == (2, 1, 0)
    assert values["exceptions"] == 1
    assert values["app.memory.vmsize"] > values["app.memory.vmrss"] > 1 << 20
    assert values["app.cpu"] > 0
    assert "istatd_http_requests_total 3" in whole.ask("/metrics").text, "this one is counted too"


# --- what it says of itself ---------------------------------------------------------------------------------


def test_http_says_that_it_is_starting_until_the_store_is_open(whole: Whole) -> None:
    starting = whole.ask("/api/v1/status")
    assert (starting.status_code, "is starting" in starting.json["error"]) == (503, True)
    whole.server.open()
    status = whole.ask("/api/v1/status").json
    assert (status["version"], status["kernels"], status["time"]) == (__version__, IMPLEMENTATION, 1325395000)
    assert (status["counters"], status["store"]["folder"]) == (0, str(whole.plugin.folder))
    assert whole.ask("/api/greeting").json == {"hello": "world"}


def test_the_uptime_is_from_the_start_on(whole: Whole) -> None:
    whole.server.open()
    whole.clock.advance(100)        # a long journal
    whole.server.start()
    whole.clock.advance(7)
    assert whole.ask("/api/v1/status").json["uptime"] == 7


def test_refusals_are_counted_by_kind_wherever_they_were_found(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock, "--max-counters", "1")
    whole.server.open()
    whole.feed(b"a 1\na x\na 1 2 3 4\n@a 1\na inf\na 1 1\na 2000000000 1\nb 1\n#\na 1325394990 9 1 2 3 1\n")
    whole.server.mistakes.add("long_line", 3)
    expected = {"bad_number": 1, "bad_fields": 1, "reserved": 1, "not_finite": 1, "from_past": 1, "from_future": 1,
                "name_refused": 1, "bad_metadata": 1, "rejected": 1, "long_line": 3}
    status = whole.ask("/api/v1/status").json
    assert {kind: count for kind, count in status["refused"].items() if count} == expected
    assert status["refused"]["store_refuses"] == 0, "kinds that did not happen are listed too"
    assert status["refused_help"].keys() == expected.keys()
    assert status["refused_help"]["name_refused"]["cure"].startswith("raise max-counters")
    values = whole.server.metrics.values()
    assert {kind: values[f"refused.{kind}"] for kind in expected} == expected
    assert (values["statserver.commands.bad"], values["statserver.commands.reserved"]) == (3, 1)
    assert (values["counter.from_past"], values["counter.from_future"], values["counter.rejected"]) == (1, 1, 1)
    whole.end()


def test_the_status_tells_who_was_refused_and_what_fails_at_agents(whole: Whole) -> None:
    whole.server.open()
    whole.feed(b"a 1\na 17 1325395000\n#agent web1\n#failing 1\n#failing.1 1325394000 exec:check_x: exit status 3\n")
    status = whole.ask("/api/v1/status").json
    assert [(row["kind"], row["count"], row["example"], row["meant"]) for row in status["refused_by"]] == [
        ("from_past", 1, "a 17 1325395000", "a 1325395000 17")]
    assert status["failing"] == [{"agent": "web1", "collector": "exec:check_x", "why": "exit status 3",
                                  "since": 1325394000}]
    assert status["system"]["collectors_failing"] == 1
    assert "\nistatd_statserver_failing 1" in whole.ask("/metrics").text


def test_what_the_machine_grants_stands_beside_what_is_wanted(folder: Path, clock: FakeClock) -> None:
    sockets = Sockets(udp_buffer=5000)
    whole = Whole(folder, clock, "--udp-buffer-size", "16", "--max-connections", "7", "--max-counters", "9",
                  "--num-files", "64", sockets=sockets)
    whole.server.open()
    whole.plugin.contexts[0].roster.connected("tcp", "192.0.2.7:1")
    system = whole.ask("/api/v1/status").json["system"]
    assert {key: system[key] for key in ("udp_buffer_bytes", "udp_buffer_wanted_bytes", "open_files_wanted",
                                         "max_connections", "max_counters", "senders_online")} == {
        "udp_buffer_bytes": 5000, "udp_buffer_wanted_bytes": 16384, "open_files_wanted": 64, "max_connections": 7,
        "max_counters": 9, "senders_online": 1}
    assert system["open_files"] > 0
    assert system["disk_bytes"] >= system["disk_free_bytes"] > 0
    whole.end()


def test_a_store_without_a_folder_has_no_disk(whole: Whole, tmp_path: Path) -> None:
    whole.server.open()
    whole.store.status = lambda: {"kind": "elsewhere"}      # type: ignore[method-assign]
    system = whole.ask("/api/v1/status").json["system"]
    assert not [key for key in system if key.startswith("disk")]


def test_what_changes_anything_wants_the_settings_token(folder: Path, clock: FakeClock) -> None:
    whole = Whole(folder, clock, "--admin-token", "s3cret")
    whole.server.open()
    for token, status in (("guessed", 401), ("s3cret", 200)):
        answer = whole.ask("/api/v1/clock/confirm", "POST", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
    whole.end()


def test_the_pages_files_may_be_others(folder: Path, clock: FakeClock, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("our own page")
    whole = Whole(folder, clock, "--files-dir", str(tmp_path / "page"))
    whole.server.open()
    assert whole.ask("/").text == "our own page"
    whole.end()


def test_new_settings_reach_the_parts_that_take_them_and_the_status(whole: Whole) -> None:
    whole.server.open()
    settings = Values({**whole.settings.found, "max-connections": 3})
    whole.server.reload(settings)
    changeable = whole.plugin.inputs[1]
    assert isinstance(changeable, Changeable) and changeable.taken is settings
    assert whole.ask("/api/v1/status").json["system"]["max_connections"] == 3
