"""`istat cube`: what is told of frames in files, and of files that are none."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from istat.cli import command
from istat.cube import Instance
from istat.errors import CubeError, FormatError, SchemaMismatch
from tests.cube.export.instances import BEGUN, ENDED, made

ISTAT = (sys.executable, "-c", "from istat.cli.console import main; raise SystemExit(main())")
ROOT = Path(__file__).parents[4]


@pytest.fixture
def frame(tmp_path):
    """A file with a frame."""
    path = tmp_path / "web1.cube"
    path.write_bytes(made(host="web1")[0].serialize())
    return path


def run(*words) -> int:
    return command.main([str(word) for word in words], None, {})


def told(capsys, *words, status=0):
    """What a command prints, as JSON."""
    assert run(*words, "--json") == status
    return json.loads(capsys.readouterr().out)


def test_show_tells_cells_and_totals(frame, capsys):
    assert run("cube", "show", frame) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("edge-proxy: 2025-11-22 00:00:00 to 2025-11-22 00:00:10 UTC (10 s), counted in that time")
    assert lines[2] == "http{host=web1}: 2 of at most 1,000,000 cells; all cells are kept"
    assert lines[3].split()[:5] == ["method", "path", "status", "requests", "open"]
    assert [line.split()[:4] for line in lines[4:]] == [["GET", "/", "200", "3"], ["GET", "/b", "200", "2"],
                                                        ["total", "5", "5", "300"]]


def test_show_for_scripts(frame, capsys):
    shown = told(capsys, "cube", "show", frame, "--limit", 1, "--sort", "open")
    assert (shown["name"], shown["from"], shown["to"], shown["delta"]) == ("edge-proxy", BEGUN / 1e9, ENDED / 1e9, True)
    cube, = shown["cubes"]
    assert [cell["key"] for cell in cube["cells"]] == [["GET", "/b", 200]] and cube["totals"]["requests"] == 5
    grouped = told(capsys, "cube", "show", frame, "--by", "method,status")
    assert [(row["key"], row["cells"]) for row in grouped["cubes"][0]["groups"]] == [(["GET", 200], 2)]


def test_what_a_frame_does_not_have_is_told_in_a_sentence(frame, capsys):
    for words, text in ((("--cube", "dns"), "there is no cube 'dns'; there are: http"),
                        (("--sort", "size"), "no metric 'size'"), (("--by", "host"), "no dimension 'host'"),
                        (("--limit", "-1"), "--limit")):
        assert run("cube", "show", frame, *words) == 2
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1


def test_a_time_that_is_not_known_is_called_so(tmp_path, capsys):
    instance = made()[0]
    instance.t0 = instance.t1 = 0
    (tmp_path / "x.cube").write_bytes(instance.serialize())
    assert run("cube", "show", tmp_path / "x.cube") == 0
    assert capsys.readouterr().out.startswith("edge-proxy: of a time that is not known\n")


def test_signs_that_a_terminal_would_act_upon_are_shown_as_text(tmp_path, capsys):
    instance = Instance("x")
    instance.cube_create("c", ("d",)).register_counter("n").incrby(("\x1b[31mred\nline\r",), 1)
    (tmp_path / "x.cube").write_bytes(instance.serialize())
    assert run("cube", "show", tmp_path / "x.cube") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"\x1b[31mred\nline\r" in out


def test_merge_adds_up(frame, tmp_path, capsys):
    other = made(host="web2")[0]
    (tmp_path / "web2.cube").write_bytes(other.serialize(compress=True))
    target = tmp_path / "all.cube"
    assert run("cube", "merge", frame, tmp_path / "web2.cube", frame, "-o", target) == 0
    assert capsys.readouterr().out.startswith(f"{target}: 3 files, 2 cubes, 4 cells, ")
    merged = Instance.deserialize(target.read_bytes())
    assert [cube.totals["requests"] for cube in merged.cubes] == [10, 5]
    assert (merged.t0, merged.t1, merged.delta) == (BEGUN, ENDED, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.cube", "web1.cube", "web2.cube"]
    sizes = told(capsys, "cube", "merge", frame, "-o", target, "--compress")
    assert sizes == {"files": 1, "cubes": 1, "cells": 2, "bytes": target.stat().st_size}


def test_what_cannot_be_merged_is_told_and_nothing_is_written(frame, tmp_path, capsys):
    instance = Instance("x")
    instance.cube_create("http", ("other",), {"host": "web1"}).register_counter("requests").incrby((1,))
    (tmp_path / "other.cube").write_bytes(instance.serialize())
    assert run("cube", "merge", frame, tmp_path / "other.cube", "-o", tmp_path / "out") == SchemaMismatch.exit_code
    error = capsys.readouterr().err
    assert str(tmp_path / "other.cube") in error and "dimensions" in error and not (tmp_path / "out").exists()
    assert run("cube", "merge", frame, "-o", tmp_path / "none" / "out") == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_check_names_each_file(frame, tmp_path, capsys):
    assert run("cube", "check", frame) == 0
    assert capsys.readouterr().out == f"{frame}: sound; 1 cube, 2 cells, {frame.stat().st_size} B\n"
    bad = tmp_path / "bad.cube"
    bad.write_bytes(frame.read_bytes()[:-1])
    assert run("cube", "check", bad) == FormatError.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"istat: {bad}: at byte ") and error.count("\n") == 1
    (tmp_path / "empty.cube").write_bytes(b"")
    assert run("cube", "check", frame, bad, tmp_path / "empty.cube") == FormatError.exit_code
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and said.err == "istat: 2 of 3 files are no sound frames\n"
    files = told(capsys, "cube", "check", frame, bad, status=FormatError.exit_code)["files"]
    assert [file["problem"] is None for file in files] == [True, False] and files[0]["cells"] == 2


def test_check_goes_on_after_a_file_that_cannot_be_read(frame, tmp_path, capsys):
    gone = tmp_path / "gone.cube"
    assert run("cube", "check", gone, frame) == FormatError.exit_code
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{gone}: No such file or directory",
                                     f"{frame}: sound; 1 cube, 2 cells, {frame.stat().st_size} B"]
    assert said.err == f"istat: {gone}: No such file or directory\n"
    assert run("cube", "check", tmp_path, tmp_path / "gone.cube", frame) == FormatError.exit_code
    assert capsys.readouterr().out.startswith(f"{tmp_path}: is a folder: name its files, or see `istat cube top`\n")


@pytest.mark.parametrize("command_words", [("show",), ("check",), ("top", "--once")])
def test_hostile_files_give_a_sentence(frame, tmp_path, capsys, command_words):
    data, draw = frame.read_bytes(), random.Random(5)
    bad = tmp_path / "bad.cube"
    for _ in range(25):
        at = draw.randrange(len(data))
        damaged = bytearray(data)
        damaged[at] ^= 1 << draw.randrange(8)
        bad.write_bytes(damaged[:draw.choice((None, at))])
        assert run("cube", *command_words, bad) == FormatError.exit_code
        error = capsys.readouterr().err
        assert error.startswith(f"istat: {bad}: at byte ") and error.count("\n") == 1


def test_files_that_are_not_there(tmp_path, capsys):
    for words in (("show", tmp_path / "none"), ("check", tmp_path), ("top", tmp_path / "none", "--once"),
                  ("merge", tmp_path / "none", "-o", tmp_path / "x")):
        assert run("cube", *words) == 1
        assert capsys.readouterr().err.startswith(f"istat: {words[1]}: ")
    assert run("cube", "top", tmp_path, "--once") == CubeError.exit_code
    assert capsys.readouterr().err == f"istat: there is no frame of cubes in {tmp_path}\n"


def framed(path, end, requests, id=None, delta=True):
    """A file with a frame that ends at a time [s]."""
    instance = Instance("shop", delta=delta)
    if id is not None:
        instance.identify(id)
    instance.cube_create("http", ("path",)).register_counter("requests").incrby(("/",), requests)
    instance.t0, instance.t1 = (end - 10) * 10**9, end * 10**9
    path.write_bytes(instance.serialize())
    os.utime(path, (end, end + 0.1))


def counted(capsys, *words):
    return told(capsys, "cube", "top", "--once", *words)["cubes"][0]["totals"]["requests"]


def test_top_of_a_folder_merges_what_ends_last(tmp_path, capsys):
    for name, end, requests in (("a1", 1010, 1), ("b1", 1010, 2), ("a2", 1020, 4), ("b2", 1020, 8)):
        framed(tmp_path / f"{name}.cube", end, requests)
    (tmp_path / "half.cube").write_bytes((tmp_path / "a1.cube").read_bytes()[:50])
    (tmp_path / "note.txt").write_text("no frame")
    assert counted(capsys, tmp_path) == 12
    assert counted(capsys, tmp_path, "--last", "10s") == 15
    assert counted(capsys, tmp_path / "a1.cube") == 1
    assert run("cube", "top", tmp_path, "--once", "--last", "soon") == 2


def test_top_of_a_folder_names_what_cannot_be_read_and_shows_the_others(tmp_path, capsys):
    framed(tmp_path / "a.cube", 1010, 3)
    (tmp_path / "half.cube").write_bytes((tmp_path / "a.cube").read_bytes()[:50])
    (tmp_path / "mem.cube").symlink_to("/proc/self/mem")       # which nobody can read from its beginning
    assert run("cube", "top", tmp_path, "--once") == 0
    out, error = capsys.readouterr()
    assert out.split()[-2:] == ["total", "3"]
    assert sorted(line.split(": ")[1:3] for line in error.splitlines()) == [
        [str(tmp_path / "half.cube"), "at byte 8"], [str(tmp_path / "mem.cube"), "Input/output error"]]
    (tmp_path / "a.cube").unlink()
    (tmp_path / "half.cube").unlink()
    assert run("cube", "top", tmp_path, "--once") == FormatError.exit_code
    assert capsys.readouterr().err == f"istat: {tmp_path / 'mem.cube'}: Input/output error\n"


def test_top_takes_the_last_cumulative_frame_of_each_writer(tmp_path, capsys):
    for name, end, requests, id in (("a1", 1010, 1, b"a" * 16), ("a2", 1020, 4, b"a" * 16), ("b2", 1020, 8, b"b" * 16)):
        framed(tmp_path / f"{name}.cube", end, requests, id, delta=False)
    assert counted(capsys, tmp_path, "--last", "1m") == 12


def heeds_ctrl_c() -> None:
    """Of a child: what runs behind a shell's & has SIGINT ignored, and gives that to its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_top_follows_a_file_and_ends_by_ctrl_c(tmp_path):
    path = tmp_path / "http.cube"
    framed(path, 1010, 1)
    with subprocess.Popen([*ISTAT, "cube", "top", path, "--json"], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=heeds_ctrl_c) as process:
        first = json.loads(process.stdout.readline())
        framed(tmp_path / "next", 1020, 5)
        os.replace(tmp_path / "next", path)
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
    assert [one["cubes"][0]["totals"]["requests"] for one in (first, second)] == [1, 5]
    assert (process.returncode, out, error) == (0, "", "")


def test_top_draws_on_a_terminal_and_puts_it_back(tmp_path):
    path = tmp_path / "http.cube"
    framed(path, 1010, 123456)
    main, side = pty.openpty()
    process = subprocess.Popen([*ISTAT, "cube", "top", path], cwd=ROOT, stdin=side,
                               stdout=side, stderr=side, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
                               preexec_fn=heeds_ctrl_c)
    os.close(side)
    last_resort = threading.Timer(60, process.kill)     # what ignores Ctrl-C fails the test and does not hold it up
    last_resort.start()
    shown = b""
    end = time.monotonic() + 30
    while b"123,456" not in shown and time.monotonic() < end:
        shown += os.read(main, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while piece := os.read(main, 65536):
            shown += piece
    except OSError:         # the other side is closed: all was read
        pass
    os.close(main)
    last_resort.cancel()
    assert process.wait(20) == 0
    assert b"123,456" in shown and b"Traceback" not in shown
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1 and shown.endswith(b"\x1b[?1049l")
    assert b"\x1b[?25h" in shown, "the cursor is there again"


def test_size_measures_a_cube(capsys):
    small = told(capsys, "cube", "size", "--cells", 100)
    large = told(capsys, "cube", "size", "--cells", 100_000, "--hll", 10, "--items", 20)
    assert small["cells"] == 100 and small["memory"] < 20_000 and small["sketch"] == 0
    assert large["memory"] > 100_000 * 4 * 20 and large["compressed"] < large["frame"]
    assert told(capsys, "cube", "size", "--mode", "topk", "--cells", 1000)["sketch"] >= 8 * 3 * 1951
    assert run("cube", "size", "--cells", 100, "--histogram", "1:1000:7") == 0
    assert capsys.readouterr().out.startswith("100 cells of about ")


@pytest.mark.parametrize("words", [("--cells", "0"), ("--histogram", "1:2"), ("--histogram", "5:1:3"), ("--hll", "99"),
                                   ("--mode", "top_cardinality"), ("--counters", "300")])
def test_cubes_that_cannot_be_have_no_size(words, capsys):
    assert run("cube", "size", *words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_folders_may_be_called_as_no_instance_can_be(frame, tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"\xff" * 100)
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.cube").write_bytes(frame.read_bytes())
    assert told(capsys, "cube", "top", folder, "--once")["name"].startswith("\\udcff")


@pytest.mark.parametrize("name", ["\x1b[31mred\x07.cube", os.fsdecode(b"not utf-8 \xff.cube")])
def test_names_of_files_reach_no_terminal_as_they_are(name, frame, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(frame.read_bytes())
    for words in (("check", path), ("merge", path, "-o", path), ("show", path)):
        assert run("cube", *words) == 0
    path.write_bytes(b"none")
    for words in (("check", path), ("check", frame, path), ("show", path), ("merge", path, "-o", path),
                  ("top", path, "--once")):
        assert run("cube", *words) == FormatError.exit_code
    out = "".join(capsys.readouterr())
    assert all(sign.isprintable() for line in out.split("\n") for sign in line)
