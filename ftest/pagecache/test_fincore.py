"""`istat fincore` on a disk of its own: checks 1, 2 and 5 to 9 of the page-cache tools."""
from __future__ import annotations

import base64
import ctypes
import errno
import json
import mmap
import os
import resource
import struct
import subprocess
import sys
import time

import pytest

from ftest.pagecache import pages
from ftest.pagecache.schemas import check, schema
from ftest.pagecache.telling import Told, fincore
from ftest.pagecache.users import NOBODY, as_user
from istat.pagecache import readahead
from istat.pagecache.syscalls import CACHESTAT_NUMBER, PAGE
from tests.istat.pictures.reading import pixels

pytestmark = pytest.mark.seconds(40)
# The program, whether or not the tree is installed with all its commands.
PROGRAM = (sys.executable, "-c", "import sys; from istat.cli import command\n"
           "from istat.cli.pagecache.fincore import COMMAND\n"
           "sys.exit(command.main(sys.argv[1:], None, {'fincore': lambda: COMMAND}))", "fincore")
FLEET = 100_000
MOST_MEMORY = 100 << 20     # [bytes] for the fleet


def test_check_1_evicted_then_three_pages_with_random_advice(folder):
    path = pages.make(folder / "a")
    assert fincore("-n", "-o", "RES", path).out.split() == ["0"]
    pages.read_pages(path, [0, 3, 14])
    assert fincore("-n", "-o", "ranges,res,total", path).rows == [["0,3,14", "3", "26"]]
    assert fincore("--hist", "-n", path).rows[0][:2] == ["3", "1"]


def test_check_2_what_a_touch_of_a_mapping_brings(folder):
    path = pages.make(folder / "a")

    def touched(**advice):
        pages.evict(path)
        pages.map_page(path, 13, **advice)
        return fincore("--json", path).json["files"][0]["resident"]

    ahead = readahead.readahead_kb(path) * 1024 // PAGE
    without = touched()
    assert without >= min(26, ahead)
    if ahead >= 64:         # half of the window lies before the page: with 128 KiB it just ends within the file
        assert without == 26
    assert touched(advice=mmap.MADV_RANDOM) == 1
    assert touched(descriptor=os.POSIX_FADV_RANDOM) == without


@pytest.mark.parametrize("words", [(), ("-p",), ("--backend", "mincore"), ("--hist",), ("--total",), ("--by-page",)])
def test_check_5_another_user_learns_nothing_and_no_number_is_false(folder, words):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3])
    folder.chmod(0o755)
    path.chmod(0o644)
    told = as_user(lambda: tuple(fincore("--json", *words, path)))
    found = Told(*told)
    assert found.status == 3
    totals = found.json["totals"]
    assert (totals["unknown"], totals["known"], totals["resident"]) == (1, 0, 0)
    assert (totals["share"], found.json["histogram"]) == (None, [])
    for one in found.json.get("files", []):
        assert one["state"] == "unknown(permission)"
        assert {one[key] for key in ("resident", "share", "dirty")} == {None}
    text = Told(*as_user(lambda: tuple(fincore("-n", path)))).rows[0]
    assert text[3:] == ["-"] * 8 + ["unknown(permission)"]
    assert fincore("-n", "-o", "res", path).out.split() == ["2"]


def test_check_5_the_owner_gets_exact_numbers(folder):
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3])
    folder.chmod(0o755)
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o444)
    told = Told(*as_user(lambda: tuple(fincore("-p", "-n", "-o", "res,ranges", path))))
    assert (told.status, told.rows) == (0, [["2", "0,3"]])


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_check_5_a_kernel_without_cachestat_or_a_filter_of_calls_gives_the_same_by_mincore(folder, number):
    """A real filter (seccomp) in the kernel, as containers have it; EPERM is what older ones answer."""
    path = pages.make(folder / "a")
    pages.read_pages(path, [0, 3, 14])

    def filtered():
        forbid(CACHESTAT_NUMBER, number)
        return tuple(fincore("-p", "--json", path)), tuple(fincore("--json", "--backend", "cachestat", path))

    folder.chmod(0o755)
    for user in (0, NOBODY):
        os.chown(path, user, user)
        auto, forced = (Told(*told) for told in as_user(filtered, user))
        one, = auto.json["files"]
        assert (one["resident"], one["ranges"], one["backend"]) == (3, [[0, 0], [3, 3], [14, 14]], "mincore")
        assert one["dirty"] is None
        one, = forced.json["files"]
        assert (forced.status, one["state"], one["resident"]) == (1, f"error({os.strerror(number)})", None)


def forbid(call, number):
    """Let one system call fail from now on, in this process."""
    # Load the number of the call; where it is this one, answer with the error; else allow it (seccomp(2)).
    program = b"".join(struct.pack("HBBI", *one) for one in (
        (0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x00050000 | number), (0x06, 0, 0, 0x7FFF0000)))
    code = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert not libc.prctl(38, 1, 0, 0, 0)                       # no new privileges
    assert not libc.prctl(22, 2, ctypes.c_char_p(filters))      # seccomp, by a filter


def test_check_6_both_backends_agree(folder):
    for number in range(20):
        path = pages.make(folder / f"{number:02}", 40_000 + 10_000 * number)
        pages.read_pages(path, range(number))
    by = {backend: fincore("--json", "--backend", backend, folder).json["files"] for backend in ("auto", "mincore")}
    assert [one["resident"] for one in by["auto"]] == [one["resident"] for one in by["mincore"]] == list(range(20))
    listed = fincore("--json", "-p", folder).json["files"]
    assert [one["ranges"] for one in listed] == [[[0, number - 1]] if number else [] for number in range(20)]


def test_check_6_a_snapshot_is_restored_page_for_page(folder):
    wanted = {}
    for number, chosen in enumerate(([0, 3, 14], [], range(26), [25], [0, 1, 2, 9, 10, 11])):
        path = pages.make(folder / f"f{number}")
        pages.read_pages(path, chosen)
        wanted[path] = sorted(chosen)
    snap = folder / "before.gz"
    assert fincore("--save", snap, "--include", "f*", folder).rows[-1] == ["5", "36"]
    for path in wanted:
        pages.evict(path)
        pages.read_pages(path, [])
    diff = fincore("--diff", snap, "--json").json
    assert (diff["came"], diff["went"], diff["churn"]) == (0, 36, 1.0)
    assert fincore("--restore", snap).rows[-1] == ["5", "36"]

    def there():
        found = fincore("--json", "-p", *wanted).json["files"]
        return [[page for first, last in one["ranges"] for page in range(first, last + 1)] for one in found]

    pages.until(lambda: sum(map(len, there())) >= 36)
    assert there() == list(wanted.values())
    assert fincore("--diff", snap, "--json").json["churn"] == 0.0


def test_a_large_file_is_restored_whole_though_the_kernel_takes_pieces(folder):
    path = pages.make(folder / "a", 40 << 20, cached=True)
    snap = folder / "before"
    many = fincore("--json", path).json["files"][0]["resident"]
    assert many == (40 << 20) // PAGE
    fincore("--save", snap, path)
    pages.evict(path)
    assert fincore("--restore", snap).status == 0
    assert pages.come_in(path, many) == ((0, many - 1),)


def test_check_7_a_hundred_thousand_files(folder):
    """Sparse files: each of 26 pages, of which three, never written to the disk, are in memory."""
    data = bytes(PAGE)
    for number in range(FLEET):
        if not number % 1000:
            inner = folder / f"{number:06}"
            inner.mkdir()
        handle = os.open(inner / f"{number:06}", os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(handle, pages.MRTG)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for page in (0, 3, 14):
            os.preadv(handle, [bytearray(data)], page * PAGE)
        os.close(handle)
    # The most memory that it had, after /proc: what getrusage tells begins with that of the process it was forked from.
    code = (f"import atexit, sys; atexit.register(lambda: sys.stderr.writelines(line for line in "
            f"open('/proc/self/status') if line.startswith('VmHWM')))\n{PROGRAM[2]}")
    words = [*PROGRAM[:2], code, *PROGRAM[3:], "--json", "--total", "-r", str(folder)]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    found = json.loads(done.stdout)
    totals = found["totals"]
    assert totals["files"] == totals["known"] == sum(files for _, files in found["histogram"]) == FLEET
    # A machine that is short of memory takes pages back while we look, a few of them.
    assert 0.9 * 3 * FLEET < totals["resident"] <= 3 * FLEET
    most = int(done.stderr.split()[1]) << 10
    assert most < MOST_MEMORY
    print(f"{FLEET:,} files: {seconds:.1f} s, {most >> 20} MiB")


def test_check_8_the_heat_map_has_four_pixels_a_page(folder):
    chosen = {"a": [0, 3, 14], "b": [], "c": [*range(26)]}
    for name, those in chosen.items():
        pages.read_pages(pages.make(folder / name), those)
    out = folder.parent / f"{folder.name}.png"
    assert fincore("--heatmap", out, "--cell", "4", folder).status == 0
    rows = pixels(out.read_bytes())
    assert (len(rows[0]), len(rows)) == (104, 12)
    there, absent = rows[0][0], rows[4][0]
    assert there != absent
    for y, row in enumerate(rows):
        those = list(chosen.values())[y // 4]
        assert row == [there if x // 4 in those else absent for x in range(104)]


def test_check_8_dirty_pages_are_marked(folder):
    path = pages.make(folder / "a")
    with path.open("r+b", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 1, 3 * PAGE)
        os.pwrite(file.fileno(), b"x", 7 * PAGE)
        out = folder / "out.svg"
        assert fincore("--heatmap", out, path).status == 0
        assert "dirty" in out.read_text()
        assert f" ...#...D{'.' * 18}\n" in fincore("--heatmap", "-", path).out


def test_check_9_hard_links_once_and_unreadable_files_do_not_stop_others(folder):
    path = pages.make(folder / "a")
    os.link(path, folder / "b")
    pages.make(folder / "c")
    folder.chmod(0o755)
    assert fincore("--json", folder).json["totals"]["files"] == 2
    assert fincore("--json", "--hardlinks", folder).json["totals"]["files"] == 3
    assert fincore("--json", path, folder / "b", path).json["totals"]["files"] == 1
    for name in ("a", "c"):
        os.chown(folder / name, NOBODY, NOBODY)
    (folder / "c").chmod(0)
    told = Told(*as_user(lambda: tuple(fincore("--json", folder))))
    assert told.status == 1
    assert [one["state"] for one in told.json["files"]] == ["ok", "error(Permission denied)"]


def test_check_9_names_with_line_feeds_and_bytes_that_are_no_text(folder):
    names = [b"line\nfeed", b"\xff\xfe", "ü".encode()]
    for name in names:
        pages.make(folder / os.fsdecode(name), 5000)
    found = fincore("--json", folder).json["files"]
    assert {base64.b64decode(one["path_base64"]) if "path_base64" in one else os.fsencode(one["path"])
            for one in found} == {os.fsencode(folder) + b"/" + name for name in names}
    snap = folder.parent / f"{folder.name}.snap"
    assert fincore("--save", snap, folder).status == 0
    assert fincore("--diff", snap, "--json").json["files"] == []
    listed = folder.parent / f"{folder.name}.list"
    listed.write_bytes(b"".join(os.fsencode(folder) + b"/" + name + b"\0" for name in names))
    assert fincore("--json", "-0", "--files-from", listed).json["totals"]["known"] == 3


@pytest.mark.parametrize("words", [(), ("-p",), ("--total",), ("--by-page", "--layout", "mrtg"), ("--top", "1"),
                                   ("-p", "--layout", "rrd"), ("--backend", "mincore"), ("--hist",)])
def test_check_9_json_is_as_its_schema_says(folder, words):
    pages.read_pages(pages.make(folder / "a"), [0, 3])
    (folder / "empty").touch()
    found = fincore("--json", *words, folder, "/dev/null", folder / "none").json
    rule = schema("fincore-json.md")
    check(found, rule, rule)
    assert found["histogram"] == [[0, 1], [2, 1]]
    if words == ("-p",):
        states = [one["state"] for one in found["files"]]
        assert states == ["ok", "empty", "special", "error(No such file or directory)"]


def test_the_schema_refuses_what_is_not_in_it():
    rule = schema("fincore-json.md")
    for wrong in ({}, {"version": 2}, {"more": 1}):
        with pytest.raises(AssertionError):
            check(wrong, rule, rule)


def test_looking_changes_nothing(folder):
    """Neither pages nor the time of access; the header that --layout reads is gone again."""
    path = pages.make(folder / "a")
    before = path.stat().st_atime_ns
    for words in (("-p",), ("--by-page", "--layout", "rrd"), ("-p", "--layout", "statfile"), ("--heatmap", "-")):
        fincore(*words, path)
    assert fincore("--json", path).json["files"][0]["resident"] == 0
    assert path.stat().st_atime_ns == before


def test_a_watch_sees_pages_come(folder):
    path = pages.make(folder / "a")
    words = [*PROGRAM, "--watch", "0.05", "--jsonl", "-p", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert json.loads(child.stdout.readline())["came"] == 0
        pages.read_pages(path, [3, 14])
        came = []
        while sum(map(len, came)) < 2:
            for one in json.loads(child.stdout.readline())["files"]:
                came.append([page for first, last in one["came_ranges"] for page in range(first, last + 1)])
        child.send_signal(2)
        assert child.wait(pages.PATIENCE) == 0
    assert sorted(sum(came, [])) == [3, 14]


def test_a_limit_of_descriptors_is_no_limit_of_files(folder):
    for number in range(300):
        (folder / f"{number:03}").touch()

    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        return tuple(fincore("--total", "--json", "--jobs", "4", folder))

    assert Told(*as_user(limited, 0)).json["totals"]["empty"] == 300
