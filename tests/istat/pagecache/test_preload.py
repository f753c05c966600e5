"""How programs are started with the library before them; what it does to their pages is in ftest/pagecache."""
from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from istat.cli import command
from istat.cli.pagecache.running import RUN
from istat.errors import IstatError, NotStarted
from istat.pagecache.preload import running
from istat.pagecache.preload.running import Mode
from istat.subcommands import SubCommand
from tests.skips import need

SOURCE = Path(running.__file__).parent / "advice.c"


@pytest.fixture(scope="module")
def built() -> Path:
    """The library as setup.py makes it."""
    need(shutil.which("cc") or shutil.which("gcc"), "a C compiler")
    return running.library()


def test_the_environment_names_library_and_mode_and_keeps_what_was_there(built):
    made = running.environment(Mode.RANDOM, {"HOME": "/h", "LD_PRELOAD": "libother.so"})
    assert made == {"HOME": "/h", "ISTAT_ADVICE": "random", "LD_PRELOAD": f"{built}:libother.so"}
    assert running.environment(Mode.NO_ADVICE, {}) == {"ISTAT_ADVICE": "none", "LD_PRELOAD": str(built)}


def test_a_library_that_is_missing_or_cannot_be_named_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(running, "__file__", str(tmp_path / "running.py"))
    with pytest.raises(IstatError, match="it was not built, as there was no C compiler"):
        running.library()
    blank = tmp_path / "with blank"
    blank.mkdir()
    (blank / f"advice{running.EXTENSION_SUFFIXES[0]}").touch()
    monkeypatch.setattr(running, "__file__", str(blank / "running.py"))
    with pytest.raises(IstatError, match="no path with a blank or colon in it"):
        running.environment(Mode.RANDOM, {})


def test_the_library_has_the_functions_that_programs_call(built):
    need(shutil.which("nm"), "nm")
    found = subprocess.run(["nm", "-D", "--defined-only", built], capture_output=True, text=True, check=True).stdout
    functions = {line.split()[-1] for line in found.splitlines()}
    assert {"open", "openat", "creat", "fopen", "freopen", "mmap", "madvise", "posix_madvise", "posix_fadvise",
            "readahead"} <= functions


def test_a_program_runs_as_it_always_does_but_for_its_advice(built, tmp_path):
    """Calls that are not advice, wrong ones too, give what they give without the library."""
    script = tmp_path / "calls.py"
    script.write_text("""
import mmap, os, sys
path = sys.argv[1]
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
os.write(fd, b"x" * 8192)
with open(path, "a+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
    mapping[0:1] = b"y"
    mapping.madvise(mmap.MADV_SEQUENTIAL)
    mapping.madvise(mmap.MADV_DONTNEED)
private = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
private[0:1] = b"z"
private.madvise(mmap.MADV_DONTNEED)      # of private memory: it is zero then
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
errors = []
for wrong in (lambda: os.open("/nowhere/at/all", os.O_RDONLY), lambda: os.posix_fadvise(999, 0, 0, 0)):
    try:
        wrong()
    except OSError as error:
        errors.append(error.errno)
print(oct(os.stat(path).st_mode & 0o777), open(path, "rb").read(2), private[0], errors)
sys.exit(7)
""")
    told = []
    for number, mode in enumerate([None, *Mode]):
        extra = {} if mode is None else running.environment(mode, {})
        done = subprocess.run([sys.executable, script, tmp_path / f"file{number}"], capture_output=True, text=True,
                              env={**os.environ, **extra}, timeout=60)
        told.append((done.returncode, done.stdout, done.stderr))
    assert told[0] == (7, "0o640 b'yx' 0 [2, 9]\n", "")
    assert told[1:] == [told[0]] * 2


def test_an_allocator_that_maps_before_anything_else_is_no_trouble(built):
    found = sorted(Path("/usr/lib").glob("*/libjemalloc.so.2"))
    others = str(found[0]) if found else ""
    environment = running.environment(Mode.RANDOM, {"LD_PRELOAD": others} if others else {})
    # Both orders: its calls come through ours, or ours is loaded by way of its memory.
    for preload in (environment["LD_PRELOAD"], ":".join(reversed(environment["LD_PRELOAD"].split(":")))):
        done = subprocess.run([sys.executable, "-c", "print(len(bytearray(1 << 24)))"], capture_output=True, text=True,
                              env={**os.environ, **environment, "LD_PRELOAD": preload}, timeout=60)
        assert (done.stdout, done.stderr) == ("16777216\n", "")


def test_who_is_not_reached_is_told_before(built, tmp_path):
    python = Path(sys.executable).resolve()
    assert running.unreached(python) == ""
    script = tmp_path / "script"
    script.write_text(f"#!{python} -E\n")
    assert running.unreached(script) == ""
    script.write_text("#!/usr/bin/env python3\n")
    assert running.unreached(script) == ""
    script.write_text("#!\n")
    assert running.unreached(script) == ""
    head = bytearray(python.read_bytes()[:4096])
    other = tmp_path / "other"
    other.write_bytes(bytes(head[:18]) + struct.pack("<H", 0x1234) + bytes(head[20:]))
    assert "another kind of processor" in running.unreached(other)
    table, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    for index in range(count):
        struct.pack_into("<I", head, table + index * size, 1)
    other.write_bytes(head)
    assert "linked statically" in running.unreached(other)
    other.write_bytes(b"\x7fELF")
    assert running.unreached(other) == ""
    with pytest.raises(FileNotFoundError):
        running.unreached(tmp_path / "none")


def test_programs_with_rights_that_the_caller_has_not_are_not_reached(built, tmp_path, monkeypatch):
    """Those of the caller's own change nothing: the loader takes the library."""
    rights = tmp_path / "rights"
    shutil.copy("/bin/true", rights)
    rights.chmod(0o6755)
    assert running.unreached(rights) == ""
    for which in ("getuid", "getgid"):
        with monkeypatch.context() as other:
            other.setattr(os, which, lambda: 4242)
            assert "rights that the caller has not" in running.unreached(rights)
    rights.chmod(0o755)
    monkeypatch.setattr(os, "listxattr", lambda path: ["security.capability"])
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert "rights that the caller has not" in running.unreached(rights)


def test_a_program_gets_signals_and_arguments_as_they_were(built):
    """Python ignores two signals for itself; a blank before a number is the caller's. What our caller ignores already,
    as a shell does for what it runs in the background, stays ignored."""
    plain = subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    started = ("import sys; from istat.cli import command; from istat.cli.pagecache.fadvise import COMMAND\n"
               "sys.exit(command.main(sys.argv[1:], None, {'fadvise': lambda: COMMAND}))")
    done = subprocess.run([sys.executable, "-c", started, "fadvise", "run", "--random", "--", "sh", "-c",
                           'grep SigIgn /proc/self/status; printf "<%s>" "$@"', "sh", " -5", " -x", "-5"],
                          capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == plain + "< -5>< -x><-5>"


def run(*words: str) -> int:
    """`istat fadvise run`, with a command before it that does nothing."""
    own = SubCommand("Advise.", lambda parser: None, lambda arguments, clock: None, parts={"run": RUN})
    return command.main(["fadvise", "run", *words], None, {"fadvise": lambda: own})


def test_the_command_line_is_the_programs_own_after_the_mode(built, monkeypatch):
    started = []
    monkeypatch.setattr(running, "start", lambda mode, words, before: started.append((mode, words)))
    assert run("--random", "--", "seq", "-5", "--json", "--", "3") == 0
    assert run("--no-advice", "true", "--random") == 0
    assert started == [(Mode.RANDOM, ["seq", "-5", "--json", "--", "3"]), (Mode.NO_ADVICE, ["true", "--random"])]


def test_the_usage_names_the_program_that_is_run(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    assert "fadvise run [-h] [--json] (--random | --no-advice) -- CMD ..." in capsys.readouterr().out


def test_mistakes_are_told(built, capsys):
    assert run("--random") == run("--random", "--") == 2
    assert "which program?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run("--random", "--no-advice", "--", "true")
    assert ended.value.code == 2
    assert run("--random", "--", "no-such-program") == NotStarted.exit_code == 125
    told = capsys.readouterr().err
    assert told.endswith("istat: no-such-program cannot be started: No such file or directory\n")
    assert run("--random", "--", "") == 125
    assert capsys.readouterr().err.startswith("istat: '' cannot be started: ")
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN, "who could not become the program goes on as it was"


def test_the_library_and_the_page_that_tells_of_it_agree_on_the_words():
    words = set(re.findall(r'strcmp\(word, "(\w+)"\)', SOURCE.read_text()))
    assert words == {mode.value for mode in Mode}
    assert f'getenv("{running.VARIABLE}")' in SOURCE.read_text()
