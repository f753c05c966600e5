"""`istat fincore`: what it prints of files whose residency is made up, and what it refuses."""
from __future__ import annotations

import base64
import csv
import io
import json
import os

import pytest

from istat.cli import command
from istat.cli.pagecache.fincore import COMMAND, comparing
from istat.pagecache import ranges, scanning
from istat.pagecache.layouts import rrd
from istat.pagecache.residency import Residency
from istat.pagecache.syscalls import PAGE
from tests.istat.pictures.reading import pixels


def run(*words):
    return command.main(["fincore", *map(str, words)], None, {"fincore": lambda: COMMAND})


def cached(words="", pages=26, dirty="", state="ok"):
    made = ranges.parse(words)
    return Residency(pages * PAGE, pages, ranges.count(made), ranges.count(ranges.parse(dirty)), 0, 0, 0, made, state,
                     "cachestat", ranges.parse(dirty))


UNKNOWN = Residency(26 * PAGE, 26, None, None, None, None, None, None, "unknown(permission)", None)


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """A folder, and a function that makes a file in it with this residency."""
    known = {}

    def measured(fd, about, pages=False, *rest):
        found = known[about.st_ino]
        return found if pages else found._replace(ranges=None, dirty_ranges=None)

    def make(name, found):
        path = tmp_path / name
        path.write_bytes(b"x")
        known[path.stat().st_ino] = found
        return path

    monkeypatch.setattr(scanning, "measured", measured)
    make.folder = tmp_path
    return make


def test_a_row_for_each_file_and_the_totals_below(fleet, capsys):
    fleet("a", cached("0,3,14", dirty="3"))
    fleet("b", cached("0-12", pages=13))
    assert run(fleet.folder) == 0
    heading, first, second, last = (line.split() for line in capsys.readouterr().out.splitlines())
    assert " ".join(heading) == "FILE SIZE TOTAL RES RESB PCT DIRTY WB EVICTED RECENT BACKEND STATE"
    assert " ".join(first) == f"{fleet.folder / 'a'} 104KiB 26 3 12KiB 11.5 1 0 0 0 cachestat ok"
    assert second[3:6] == ["13", "52KiB", "100.0"]
    assert " ".join(last) == "total of 2 files 156KiB 39 16 64KiB 41.0 1 0 0 0 - -"


def test_pages_are_listed_in_text_csv_and_json(fleet, capsys):
    path = fleet("a", cached("0,3,14-16"))
    assert run("-p", "-b", "-o", "file,res,resb,ranges", path, "-n") == 0
    assert capsys.readouterr().out.split() == [str(path), "5", str(5 * PAGE), "0,3,14-16"]
    assert run("--csv", "-o", "RES,RANGES", path) == 0
    assert capsys.readouterr().out == 'resident,ranges\n5,"0,3,14-16"\n'
    assert run("--jsonl", "-p", path) == 0
    assert json.loads(capsys.readouterr().out)["ranges"] == [[0, 0], [3, 3], [14, 16]]


def test_json_is_one_document(fleet, capsys, clock):
    path = fleet("a", cached("0,3"))
    other = fleet("b", cached("0"))
    words = ["fincore", "-p", "--json", str(fleet.folder)]
    assert command.main(words, clock, {"fincore": lambda: COMMAND}) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["time"], found["page_size"], found["backend"]) == (1, clock.now(), PAGE, "auto")
    assert [one["path"] for one in found["files"]] == [str(path), str(other)]
    assert found["files"][0] == {
        "path": str(path), "size": 26 * PAGE, "pages": 26, "resident": 2, "resident_bytes": 2 * PAGE,
        "share": pytest.approx(2 / 26), "dirty": 0, "writeback": 0, "evicted": 0, "recently_evicted": 0,
        "ranges": [[0, 0], [3, 3]], "backend": "cachestat", "state": "ok"}
    assert found["histogram"] == [[1, 1], [2, 1]]
    assert (found["totals"]["files"], found["totals"]["resident"]) == (2, 3)
    for words in (["--total"], ["--cached", "--include", "nothing"]):
        assert run("--json", fleet.folder, *words) == 0
        assert json.loads(capsys.readouterr().out).get("files", []) == []


def test_what_is_unknown_has_no_number_and_ends_with_3(fleet, capsys):
    path = fleet("a", UNKNOWN)
    fleet("b", cached("0"))
    assert run(fleet.folder) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == [str(path), "104KiB", "26", *"-" * 8, "unknown(permission)"]
    assert "of 1 file it is unknown" in err
    assert run("--json", path) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["files"][0]["resident"], found["files"][0]["share"]) == (None, None)
    assert (found["totals"]["unknown"], found["totals"]["share"], found["histogram"]) == (1, None, [])
    assert run("--cached", "-n", path) == 3
    assert capsys.readouterr().out != ""


def test_a_file_that_fails_is_named_and_the_others_are_counted(fleet, capsys):
    fleet("b", cached("0"))
    assert run(fleet.folder / "b", fleet.folder / "none") == 1
    out, err = capsys.readouterr()
    assert "error(No such file or directory)" in out and "  ok\n" in out
    assert f"istat: {fleet.folder / 'none'}: No such file or directory" in err
    assert run("-q", fleet.folder / "none") == 1
    assert "none" not in capsys.readouterr().err


def test_files_are_chosen_and_sorted(fleet, capsys):
    for name, found in (("a", cached("0")), ("b", cached("0-4")), ("c", cached()), ("d", UNKNOWN),
                        ("e", cached("1-2", dirty="1-2"))):
        fleet(name, found)

    def names(*words):
        run("--csv", "-n", "-o", "FILE", *words, fleet.folder)
        return [os.path.basename(line) for line in capsys.readouterr().out.split()]

    assert names("--top", "2") == ["b", "e"]
    assert names("--sort", "dirty") == ["e", "a", "b", "c", "d"]
    assert names("--sort", "FILE", "--top", "1") == ["a"]
    assert names("--cached", "--exclude", "d") == ["a", "b", "e"]
    assert names("--min-pages", "3", "--exclude", "d") == ["b"]


def test_the_histogram_and_the_totals_are_tables(fleet, capsys):
    for name in "abcd":
        fleet(name, cached("0,3,14" if name != "d" else "0"))
    assert run("--hist", "-n", fleet.folder) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["1", "1", "25.0", "25.0"], ["3", "3", "75.0", "100.0"]]
    assert run("--hist", "--csv", fleet.folder) == 0
    assert capsys.readouterr().out == "pages,files,share,cumulative_share\n1,1,0.25,0.25\n3,3,0.75,1.0\n"
    assert run("--total", "--jsonl", fleet.folder) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], found["resident"], found["unknown"]) == (4, 10, 0)


def test_hot_pages_with_the_parts_that_are_on_them(fleet, capsys):
    for name, found in (("a", cached("0,3")), ("b", cached("0,3-4"))):
        fleet(name, found)
    assert run("--by-page", "-n", fleet.folder) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["0", "2", "2", "100.0"], ["1-2", "0", "2", "0.0"], ["3", "2", "2", "100.0"], ["4", "1", "2", "50.0"],
        ["5-25", "0", "2", "0.0"]]
    assert run("--by-page", "--layout", "mrtg", "--jsonl", fleet.folder) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {"pages": [[0, 0]], "files": 2, "of": 2, "share": 1.0,
                       "parts": "header, state, row pointers, rra[0] AVERAGE/1"}
    assert [row["parts"] for row in rows if row["pages"] == [[3, 3]]] == ["rra[0] AVERAGE/1, rra[1] AVERAGE/6"]


def test_the_layout_is_read_from_each_files_header(fleet, capsys):
    path = fleet("a", cached("0,14", pages=16))
    made = rrd.layout(2, [("AVERAGE", 1, 800), ("MAX", 24, 3000)])
    path.write_bytes(head(2, [(b"AVERAGE", 800, 1), (b"MAX", 3000, 24)]).ljust(made.size, b"\0"))
    fleet("b", cached("0"))
    assert run("-p", "--layout", "rrd", "--jsonl", fleet.folder) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["parts"] == "header, state, row pointers, rra[0] AVERAGE/1, rra[1] MAX/24"
    assert rows[1]["parts"] is None


def head(sources, archives):
    """The header of an RRD file of version 3."""
    made = b"RRD\0" + b"0003\0".ljust(20, b"\0")
    made += b"".join(number.to_bytes(8, "little") for number in (sources, len(archives), 300))
    made = made.ljust(rrd.STAT_HEAD, b"\0") + bytes(rrd.DS_DEF * sources)
    for function, rows, steps in archives:
        one = function.ljust(24, b"\0") + rows.to_bytes(8, "little") + steps.to_bytes(8, "little")
        made += one.ljust(rrd.RRA_DEF, b"\0")
    return made + bytes(16 + rrd.PDP_PREP * sources + rrd.CDP_PREP * sources * len(archives)
                        + rrd.RRA_PTR * len(archives))


def test_a_column_brings_what_it_needs(fleet, capsys):
    path = fleet("a", cached("0,3"))
    assert run("-n", "-o", "ranges, parts", "--layout", "mrtg", path) == 0
    assert capsys.readouterr().out.split(maxsplit=1) == [
        "0,3", "header, state, row pointers, rra[0] AVERAGE/1, rra[1] AVERAGE/6\n"]


def test_the_picture_has_a_cell_for_each_page(fleet, capsys):
    for name, found in (("a", cached("0,3,14")), ("b", cached("0-25", dirty="7")), ("c", UNKNOWN)):
        fleet(name, found)
    out = fleet.folder / "out.png"
    assert run("--heatmap", out, "--cell", "4", "--include", "[abc]", fleet.folder) == 3
    rows = pixels(out.read_bytes())
    assert (len(rows), len(rows[0])) == (12, 104)
    absent, there, dirty, unknown = rows[0][4], rows[0][0], rows[4][28], rows[8][0]
    assert len({absent, there, dirty, unknown}) == 4
    for x in range(26):
        assert rows[1][4 * x + 2] == (there if x in (0, 3, 14) else absent)
        assert rows[5][4 * x] == (dirty if x == 7 else there)
        assert rows[11][4 * x + 3] == unknown
    assert run("--heatmap", "-", "--include", "[ab]", fleet.folder) == 0
    assert "█··█··········█···········" in capsys.readouterr().out


def test_names_of_any_bytes_survive(fleet, capsys):
    name = os.fsdecode(b"new\nline \x1b[31m \xff")
    fleet(name, cached("0"))
    assert run("--json", fleet.folder) == 0
    found = json.loads(capsys.readouterr().out)["files"][0]
    assert base64.b64decode(found["path_base64"]) == os.fsencode(fleet.folder / name)
    assert found["path"].endswith("new\nline \x1b[31m \ufffd")
    assert run("-n", fleet.folder) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "\x1b" not in out and "new\\nline \\x1b[31m \\udcff" in out
    assert run("--csv", fleet.folder) == 0
    assert len(list(csv.reader(io.StringIO(capsys.readouterr().out)))) == 2


def test_names_come_from_a_list(fleet, capsys, tmp_path_factory):
    path, odd = fleet("a", cached("0")), fleet("odd\nname", cached("0"))
    listed = tmp_path_factory.mktemp("lists") / "list"
    listed.write_bytes(os.fsencode(path) + b"\n\n")
    assert run("--total", "--csv", "-n", "-o", "FILES", "--files-from", listed) == 0
    listed.write_bytes(os.fsencode(path) + b"\0" + os.fsencode(odd) + b"\0")
    assert run("--total", "--csv", "-n", "-o", "FILES", "-0", "--files-from", listed) == 0
    assert capsys.readouterr().out == "1\n2\n"
    listed.write_bytes(b"x" * 200_000)
    assert run("--total", "--files-from", listed) == 1
    assert "Then say -0" in capsys.readouterr().err


def test_what_came_and_went_since_a_snapshot(fleet, capsys, tmp_path_factory):
    snap = tmp_path_factory.mktemp("snaps") / "before.gz"
    path, gone, same = fleet("a", cached("0,3")), fleet("gone", cached("1-2")), fleet("same", cached("5"))
    assert run("--save", snap, "--json", fleet.folder) == 0
    assert json.loads(capsys.readouterr().out) == {"files": 3, "pages": 5}
    fleet("a", cached("0,7-8"))
    gone.unlink()
    for names in ([], [fleet.folder]):
        assert run("--diff", snap, "-p", "--json", *names) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["resident"], found["came"], found["went"]) == (4, 2, 3)
        assert found["churn"] == pytest.approx(5 / 7)
        assert found["files"] == [
            {"path": str(path), "resident": 3, "came": 2, "went": 1, "churn": 0.75, "came_ranges": [[7, 8]],
             "went_ranges": [[3, 3]], "state": "ok"},
            {"path": str(gone), "resident": 0, "came": 0, "went": 2, "churn": 1.0, "came_ranges": [],
             "went_ranges": [[1, 2]], "state": "gone"}]
    assert run("--diff", snap, "--total") == 0
    heading, total = capsys.readouterr().out.splitlines()
    assert total.split() == ["total", "4", "2", "3", "71.4", "-"]
    assert run("--diff", snap, "--total", "--json") == 0
    assert "files" not in json.loads(capsys.readouterr().out)
    assert run("--diff", snap, "-n", same) == 0
    assert capsys.readouterr().out == ""
    assert run("--diff", snap, "-n", snap) == 1
    assert "no file of these names" in capsys.readouterr().err


def test_watching_prints_what_changes(fleet, capsys, monkeypatch):
    states = iter(["0", "0,4", "4"])
    path = fleet("a", cached("0"))
    before = comparing.rows.scan

    def scan(*words, **options):
        fleet("a", cached(next(states)))
        return before(*words, **options)

    monkeypatch.setattr(comparing.rows, "scan", scan)
    assert run("--watch", "0.05", "--count", "2", "-p", "--jsonl", path) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["came"], first["went"], first["files"][0]["came_ranges"]) == (1, 0, [[4, 4]])
    assert (second["came"], second["went"], second["churn"]) == (0, 1, 0.5)


def test_rounds_of_a_watch_stand_below_each_other(fleet, capsys, monkeypatch):
    states = iter(["0", "0", "0-20", "0-20"])
    path = fleet("a" * 20, cached("0"))
    before = comparing.rows.scan

    def scan(*words, **options):
        fleet("a" * 20, cached(next(states)))
        return before(*words, **options)

    monkeypatch.setattr(comparing.rows, "scan", scan)
    monkeypatch.setattr(comparing, "WIDEST", len(str(path)))
    assert run("--watch", "0.05", "--count", "3", path) == 0
    heading, first, changed, total, last = capsys.readouterr().out.splitlines()
    assert changed.split()[1] == str(path)
    ends = {line.index(word) + len(word) for line, word in (
        (heading, " RES"), (first, " 1 "[:-1]), (changed, " 21"), (total, " 21"), (last, " 21"))}
    assert len(ends) == 1, "the column RES"


def test_a_folder_of_folders_is_no_silence(fleet, capsys):
    (fleet.folder / "below").mkdir()
    for words, told in (((), "with -r also those"), (("-r",), "no file was found")):
        assert run("--total", *words, fleet.folder) == 0
        assert told in capsys.readouterr().err
    assert run("-q", fleet.folder) == 0
    assert capsys.readouterr().err == ""


def test_a_histogram_as_json_has_the_chosen_files(fleet, capsys):
    fleet("a", cached("0"))
    fleet("b", cached("0-3"))
    for words, names in ((["--top", "1"], ["b"]), (["--sort", "FILE"], ["a", "b"]), (["--total"], None)):
        assert run("--hist", "--json", *words, fleet.folder) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["histogram"] == [[1, 1], [4, 1]]
        assert (found.get("files") and [os.path.basename(one["path"]) for one in found["files"]]) == names


def test_restoring_tells_whom_it_could_not(fleet, capsys, tmp_path_factory):
    snap = tmp_path_factory.mktemp("snaps") / "before"
    path = fleet("a", cached("0"))
    assert run("--save", snap, path) == 0
    path.unlink()
    assert run("--restore", snap, "--csv", "-n") == 1
    out, err = capsys.readouterr()
    assert out.endswith("0,0\n") and f"{path}: No such file or directory" in err


@pytest.mark.parametrize("words, told", [
    ([], "which files?"), (["-0", "x"], "-0 is for --files-from"),
    (["--hist", "--by-page", "x"], "--hist and --by-page"),
    (["--json", "--csv", "x"], "choose one"), (["--sort", "RANGES", "x"], "no such column to sort by"),
    (["-o", "NOPE", "x"], "-o NOPE"), (["--top", "0", "x"], "--top is a number from 1 on"),
    (["--heatmap", "x.gif", "x"], ".png or .svg"), (["--backend", "cachestat", "-p", "x"], "does not list them"),
    (["--range", "0:4K", "--by-page", "x"], "leave --range out"), (["--watch", "nan", "x"], "from 0.05 s to a"),
    *((["--watch", longer, "x"], "to a year") for longer in ("inf", "1e300", "1e10")),
    (["--layout", "rrd", "x"], "with --pages or --by-page"),
    (["-o", "FILE,PARTS", "x"], "-o PARTS: which parts there are, --layout tells"),
    (["--rows", "3", "x"], "--rows is of no use here: it is for --heatmap"),
    (["--cols", "3", "--hist", "x"], "it is for --heatmap"), (["--count", "3", "x"], "it is for --watch"),
    (["--top", "3", "--hist", "x"], "it is for --heatmap and a row for each file"),
    (["--sort", "RES", "--watch", "1", "x"], "--sort is of no use here"),
    (["--total", "--hist", "x"], "it is for --watch and --diff and a row for each file"),
    (["--total", "--save", "y", "x"], "--total is of no use here")])
def test_what_makes_no_sense_is_refused_with_2(words, told, capsys):
    assert run(*words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--range", "x", "y"], ["--jobs", "0", "y"], ["--range", "1.5:2", "y"],
                                   ["--range", "1" * 30, "y"], ["--range", "8388608T:1", "y"]])
def test_what_is_no_number_is_refused_with_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert "is no number" in capsys.readouterr().err


def test_a_range_ends_where_files_can_have_bytes(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("--range", "8388607T:1T", "y")
    assert ended.value.code == 2
    assert "ends behind the last byte that a file can have" in capsys.readouterr().err
    (tmp_path / "a").touch()
    assert run("--range", "8388607T:1023G", tmp_path / "a") == 0
