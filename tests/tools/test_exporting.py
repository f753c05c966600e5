"""`istat export`: what comes out goes in again, bucket for bucket, in every format; from a folder and from a server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from falcon.testing import TestClient
from istatd_writer import f32
from test_importing import NOW, RETENTION, imported, istatd_store, opened, run

from istat.client import QueryClient
from istat.clock import FakeClock
from istat.errors import ServerUnreachable, StoreError, StoreLocked, UsageError
from istat.kernels import columns
from istat.retention import Ladder
from istat_server.foreign.writers import CsvWriter, Exported, RingWriter, lines
from istat_server.http.limits import HttpLimits
from istat_server.query import walk
from istat_server.tools import exporting
from tests.http.application import app_of


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A store with gauges and events, fine and settled rows."""
    istatd_store(tmp_path / "old")
    imported(capsys, tmp_path / "old", "--store", tmp_path / "store", "--retention", RETENTION)
    return tmp_path / "store"


def everything(folder: Path, shortened: bool = False) -> dict[tuple[str, str, int], list[Any]]:
    made = opened(folder)
    found = {}
    for id in range(made.count()):
        counter = made.counter(id)
        for level in range(len(made.ladder.levels)):
            rows = made.select([id], level, 0, NOW + 1)[0].rows()
            found[counter.name, counter.kind.value, level] = [
                (row[0], row[1], pytest.approx(row[2], rel=1e-9, abs=1e-9),
                 *((f32(row[4]), f32(row[5])) if shortened else row[4:])) for row in rows]
    made.close()
    return found


def plain(folder: Path, shortened: bool = False) -> dict[tuple[str, str, int], list[Any]]:
    return {key: [(*row[:2], row[2].expected, *row[3:]) for row in rows]
            for key, rows in everything(folder, shortened).items()}


def test_csv_goes_in_again(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--store", store, "--output", tmp_path / "a.csv", "--json") == 0
    totals = json.loads(capsys.readouterr().out)
    with open(tmp_path / "a.csv") as file:
        found = list(csv.DictReader(file))
    assert len(found) == totals["buckets"] > 1000 and totals["counters"] == 6
    imported(capsys, tmp_path / "a.csv", "--store", tmp_path / "again", "--retention", RETENTION)
    ours, again = plain(store), everything(tmp_path / "again")
    assert set(ours) == set(again)
    for key, rows in again.items():
        if key[1] == "gauge":
            assert rows == ours[key], key
        else:       # where a bucket lies half in the finer level, min and max of its rates are approximate
            assert [row[:3] for row in rows] == [row[:3] for row in ours[key]], key
            same = sum(row[3:] == pytest.approx(other[3:], rel=1e-6) for row, other in zip(rows, ours[key]))
            assert same >= len(rows) - key[2], key


def test_a_csv_file_has_the_names_and_numbers_that_there_are() -> None:
    row = columns.Columns.from_rows([(NOW, 2, 0.3, 0.005, 0.1, 0.2), (NOW + 10, 1, 1e300, 0.0, 1e300, 1e300)])
    none = columns.Columns()
    file = io.StringIO()
    writer = CsvWriter(file)
    for name in ('a,b"c', "plain"):
        writer.write(Exported(name, True, Ladder.parse(RETENTION), (row, none, none)))
    found = list(csv.reader(file.getvalue().splitlines()))
    assert [line[0] for line in found] == ["name", 'a,b"c', 'a,b"c', "plain", "plain"]
    assert found[1][:5] == ['a,b"c', "event", str(NOW), "10", "2"]
    assert [float(number) for number in found[1][5:]] == [0.3, 0.1, 0.2, 0.005 + 0.3 * 0.3 / 2]
    assert [float(number) for number in found[4][5:]] == [1e300, 1e300, 1e300, 1.7976931348623157e308]
    assert writer.totals == {"counters": 2, "buckets": 4}


def test_an_output_that_is_full_is_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--store", store, "--output", "/dev/full") == 1
    assert capsys.readouterr().err == "istat: /dev/full: No space left on device\n"
    assert run("export", "--store", store, "--output", "/dev/null") == 0


def test_ring_files_go_in_again(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "host.*", "--store", store, "--format", "istatd", "--output", tmp_path / "rings") == 0
    assert "buckets" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "rings/host/h0/cpu").iterdir()} == {"10s", "5m", "1h"}
    imported(capsys, tmp_path / "rings", "--store", tmp_path / "again", "--retention", RETENTION)
    assert everything(tmp_path / "again", True) == plain(store, True)


def test_parquet_holds_what_csv_does(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    words = ["export", "--store", store, "--from", "90m"]
    assert run(*words, "--output", tmp_path / "a.csv") == 0
    assert run(*words, "--format", "parquet", "--output", tmp_path / "a.parquet") == 0
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    with open(tmp_path / "a.csv") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(table) > 100
    for line, row in zip(found, table):
        assert (line["name"], line["kind"], int(line["count"])) == (row["name"], row["kind"], row["count"])
        assert int(line["time"]) == row["time"].timestamp() and float(line["sum"]) == row["sum"]


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path, store: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    assert run("export", "--store", store, "--from", "90m", "--format", "parquet", "--output", null) == 0
    assert null.is_symlink()


def test_without_pyarrow_a_sentence_says_what_to_do(
        tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    words = ["export", "--store", store, "--format", "parquet", "--output", tmp_path / "a.parquet"]
    assert run(*words) == UsageError.exit_code
    assert "pip install pyarrow where istatd is installed" in capsys.readouterr().err


def test_a_pattern_and_a_range_on_the_standard_output(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "host.h0.*", "--store", store, "--from", str(NOW - 3600), "--to", "2012-01-01T08:00:00") == 0
    found = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["name"] for row in found} == {"host.h0.cpu"}
    assert all(NOW - 3600 <= int(row["time"]) < NOW for row in found) and len(found) > 50


def test_what_cannot_be_exported_is_said(tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--store", tmp_path) == StoreError.exit_code
    assert run("export", "--store", store, "--format", "istatd") == UsageError.exit_code
    assert run("export", "--store", store, "--from", "soon") == UsageError.exit_code
    assert run("export", "--store", store, "--from", "1h", "--to", "2h") == UsageError.exit_code
    held = opened(store)
    assert run("export", "--store", store) == StoreLocked.exit_code
    held.close()
    error = capsys.readouterr().err
    for words in ("holds no store", "wants --output", "is no time", "range is empty", "ask that one, with --server"):
        assert words in error


def test_names_that_are_no_path_are_counted_and_write_nothing(tmp_path: Path) -> None:
    ladder = Ladder.parse(RETENTION)
    writer = RingWriter(tmp_path / "rings")
    row = columns.Columns.from_rows([(NOW, 1, 1.0, 0.0, 1.0, 1.0)])
    for name in ("a..b", ".a", "a.10s", "../../x", "a/b", "x" * 256, "Aa"):
        writer.write(Exported(name, False, ladder, (row, columns.Columns(), columns.Columns())))
    assert writer.totals == {"no_path": 7} and not list(tmp_path.iterdir())


def test_of_a_coarser_bucket_only_what_finer_ones_lack_is_a_line() -> None:
    ladder = Ladder.parse("10s:1h,1m:1d")
    fine = columns.Columns.from_rows([(NOW, 1, 5.0, 0.0, 5.0, 5.0), (NOW + 60, 1, 1.0, 0.0, 1.0, 1.0)])
    coarse = columns.Columns.from_rows([(NOW, 3, 12.0, 2.0, 3.0, 5.0), (NOW + 60, 1, 1.0, 0.0, 1.0, 1.0)])
    found = list(lines(Exported("a", False, ladder, (fine, coarse))))
    assert [line[2:8] for line in found] == [(NOW, 10, 1, 5.0, 5.0, 5.0), (NOW + 60, 10, 1, 1.0, 1.0, 1.0),
                                             (NOW, 60, 2, 7.0, 3.0, 5.0)]


class Answer:
    """What requests makes of an answer."""

    def __init__(self, result: Any) -> None:
        self.status_code, self.json = result.status_code, lambda: result.json


class Server:
    """A server over a store's folder, and the questions that it got."""

    def __init__(self, folder: Path) -> None:
        self.store = opened(folder)
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.fails_at = -1      # the number of the question that is not answered
        self._app = TestClient(app_of(self.store, FakeClock(NOW), status=lambda: {"version": "1", "counters": 6},
                                      limits=HttpLimits(page=8000)))

    def request(self, session: requests.Session, method: str, url: str, timeout: float, **question: Any) -> Answer:
        """Stands for requests.Session.request."""
        path = url.removeprefix("http://x")
        token = str(session.headers.get("Authorization", ""))
        self.asked.append((path, question.get("json") or {}, token))
        if len(self.asked) - 1 == self.fails_at:
            raise requests.ConnectionError("Connection reset by peer")
        return Answer(self._app.simulate_request(method, path, json=question.get("json")))


@pytest.fixture
def server(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(store)
    monkeypatch.setattr(requests.Session, "request", lambda session, *words, **more: server.request(
        session, *words, **more))
    monkeypatch.setattr(exporting, "NOTE_SECONDS", 0.0)
    yield server
    server.store.close()


SPAN = ("--from", str(NOW - 6000), "--to", str(NOW))


def test_a_server_gives_what_its_store_does(
        tmp_path: Path, store: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTAT_TOKEN", "s3cret")
    assert run("export", "--server", "http://x", "--output", tmp_path / "a.csv", *SPAN) == 0
    assert {token for _path, _question, token in server.asked} == {"Bearer s3cret"}
    server.store.close()
    assert run("export", "--store", store, "--output", tmp_path / "b.csv", *SPAN) == 0
    ours, theirs = (list(csv.DictReader((tmp_path / name).read_text().splitlines())) for name in ("b.csv", "a.csv"))
    assert len(ours) > 500

    def told(rows: list[dict[str, str]]) -> list[tuple[Any, ...]]:
        return [(*list(row.values())[:5], *(pytest.approx(float(value)) for value in list(row.values())[5:]))
                for row in rows]

    assert told(ours) == told(theirs)


@pytest.mark.parametrize("form", ["csv", "istatd"])
@pytest.mark.parametrize("part", [100_000, 50])
def test_an_interrupted_export_is_gone_on_with(
        tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str,
        part: int) -> None:
    monkeypatch.setattr(walk, "PART_ROWS", part)
    monkeypatch.setattr(walk, "MOST_AT_ONCE", 1)
    words = ["export", "host.*", "--server", "http://x", "--format", form, "--output"]
    assert run(*words, tmp_path / "whole") == 0
    asked = len(server.asked)
    server.asked.clear()
    assert asked > 4
    server.fails_at = asked - 2
    assert run(*words, tmp_path / "begun") == ServerUnreachable.exit_code
    assert (tmp_path / "begun.resume").exists()
    assert f"the same command goes on with {tmp_path / 'begun'}" in capsys.readouterr().err
    before = len(server.asked)
    server.fails_at = -1
    assert run(*words, tmp_path / "begun") == 0
    assert len(server.asked) - before < asked, "it began anew"
    assert "going on behind" in capsys.readouterr().err
    assert tree(tmp_path / "begun") == tree(tmp_path / "whole")
    assert not (tmp_path / "begun.resume").exists()


def tree(path: Path) -> dict[str, bytes]:
    """All files of an output, without its name, which ring files hold."""
    return {str(one.relative_to(path)): one.read_bytes().replace(str(path).encode(), b"")
            for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file()}


def test_only_the_same_command_goes_on(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "--server", "http://x", "--output", tmp_path / "a.csv", "--from"]
    assert run(*words, "90m") == 0
    whole, asked = (tmp_path / "a.csv").read_bytes(), len(server.asked)
    server.fails_at = len(server.asked) + asked - 1
    assert run(*words, "90m") == ServerUnreachable.exit_code
    assert run(*words, "80m") == 0
    assert "going on" not in capsys.readouterr().err
    server.fails_at = len(server.asked) + asked - 1
    assert run(*words, "90m") == ServerUnreachable.exit_code
    (tmp_path / "a.csv").unlink()
    assert run(*words, "90m") == 0
    assert "going on" not in capsys.readouterr().err
    assert (tmp_path / "a.csv").read_bytes() == whole


def test_an_older_server_is_told_apart(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str],
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueryClient, "rows", lambda self, *_: self.ask("POST", "/api/v1/of-later", json={}))
    assert run("export", "--server", "http://x", "--output", tmp_path / "a.csv") == ServerUnreachable.exit_code
    assert "is older than this istat" in capsys.readouterr().err


def test_odd_names_go_out_and_in_by_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "odd.csv"
    names = ["**star,event", "*plain,event", "**gauge,gauge", "a..b,gauge", ".x.y,gauge", "x.,gauge", "...,event"]
    source.write_text("name,kind,time,value\n" + "".join(f"{name},{NOW - 600},30\n" for name in names))
    imported(capsys, source, "--store", tmp_path / "store", "--retention", RETENTION)
    assert {key[:2] for key in plain(tmp_path / "store")} == {
        ("**star", "event"), ("plain", "event"), ("**gauge", "gauge"), ("a..b", "gauge"), (".x.y", "gauge"),
        ("x.", "gauge"), ("...", "event")}
    assert run("export", "--store", tmp_path / "store", "--output", tmp_path / "out.csv") == 0
    capsys.readouterr()
    imported(capsys, tmp_path / "out.csv", "--store", tmp_path / "again", "--retention", RETENTION)
    assert plain(tmp_path / "again") == plain(tmp_path / "store")
    assert run("export", "--store", tmp_path / "store", "--format", "istatd", "--output", tmp_path / "rings") == 0
    assert {path.name for path in (tmp_path / "rings").iterdir()} == {"*star", "*gauge", "plain"}


def test_sums_at_their_bound_go_out_and_in_by_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "huge.csv"
    source.write_text("name,time,value\n" + "".join(f"huge,{NOW - 600},{value}\n" for value in ("1e308", "1.7e308")))
    imported(capsys, source, "--store", tmp_path / "store", "--retention", RETENTION)
    assert run("export", "--store", tmp_path / "store", "--output", tmp_path / "out.csv") == 0
    assert "inf" not in (tmp_path / "out.csv").read_text()
    capsys.readouterr()
    imported(capsys, tmp_path / "out.csv", "--store", tmp_path / "again", "--retention", RETENTION)
    key = ("huge", "gauge", 0)
    assert [(row[1], row[3:]) for row in plain(tmp_path / "again")[key]] == [(2, (1e308, 1.7e308))]
