"""Both builds of the watchdog, in processes of their own: they end by it, or become others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from istat.kernels import Implementation
from istat.kernels.python import watchdog as specification

ROOT = Path(__file__).parents[2]
HOLD = 60  # seconds that the interpreter is held: the test would see it

PROGRAM = """
import ctypes, os, signal, sys, time
sys.path.insert(0, {root!r})
from istat.kernels import implementation
if "AGAIN" in os.environ:
    print("again", os.getpid(), sys.argv[1], os.getcwd(), os.read(int(os.environ["AGAIN"]), 9).decode(),
          sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), flush=True)
    sys.exit()
kernel = implementation({build!r}).watchdog
marks = bytearray(kernel.HEADER + 4 * kernel.SLOT)
reads, writes = os.pipe()
os.write(writes, b"kept")
environment = [name + b"=" + value for name, value in os.environb.items()] + [b"AGAIN=%d" % reads]
words = [os.fsencode(word) for word in sys.orig_argv]
watchdog = kernel.Watchdog(marks, os.fsencode(sys.executable), words, environment, [reads],
                           os.open(".", os.O_PATH), 0.5, 0)
{signals}
watchdog.start()
print("first", os.getpid(), flush=True)
{then}
"""
STILL = "time.sleep(1.5); print('alive', flush=True)"
MARK = "marks[kernel.HEADER + kernel.SLOT] = 1; watchdog.marked(); os.chdir('/')"
HELD = f"ctypes.PyDLL(None).sleep({HOLD})"
TURNS = "end = time.monotonic() + 1.5\nwhile time.monotonic() < end:\n    watchdog.beat(); time.sleep(0.05)"


def run(build: str, folder: Path, *then: str, signals: str = "") -> subprocess.CompletedProcess[str]:
    text = PROGRAM.format(root=str(ROOT), build=build, then="\n".join(then), signals=signals)
    return subprocess.run([sys.executable, "-c", text, "argument"], capture_output=True, text=True, cwd=folder,
                          timeout=HOLD)


@pytest.fixture(params=["python", "native"])
def build(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        request.getfixturevalue("native")
    return str(request.param)


def test_who_stands_still_with_nothing_marked_goes_on(build: str, tmp_path: Path) -> None:
    done = run(build, tmp_path, STILL)
    assert (done.returncode, done.stdout.split()[2:]) == (0, ["alive"]), done.stderr


def test_who_turns_goes_on_whatever_is_marked_and_so_does_who_has_stopped_watching(build: str, tmp_path: Path) -> None:
    done = run(build, tmp_path, MARK, TURNS, "watchdog.stop()", STILL)
    assert (done.returncode, done.stdout.split()[2:]) == (0, ["alive"]), done.stderr


def test_the_same_process_with_arguments_folder_and_what_is_kept(native: Implementation, tmp_path: Path) -> None:
    done = run("native", tmp_path, TURNS, MARK, HELD)
    first, again = done.stdout.splitlines()
    pid = first.split()[1]
    assert again == f"again {pid} argument {tmp_path} kept []", done.stderr
    assert done.returncode == 0


def test_without_kernels_it_ends_with_a_traceback(tmp_path: Path) -> None:
    done = run("python", tmp_path, TURNS, MARK, HELD)
    assert done.returncode == 1
    assert "Timeout" in done.stderr and "most recent call first" in done.stderr


def test_a_word_to_end_that_came_while_it_stood_still_holds(native: Implementation, tmp_path: Path) -> None:
    signals = "signal.signal(signal.SIGTERM, lambda number, frame: None)"
    done = run("native", tmp_path, MARK, "os.kill(os.getpid(), signal.SIGTERM)", HELD, signals=signals)
    assert done.returncode == 0 and done.stdout.splitlines()[1:] == []


def test_numbers_of_the_format_are_the_same(native: Implementation) -> None:
    for name in ("HEADER", "SLOT", "ANEW", "STILL"):
        assert getattr(native.watchdog, name) == getattr(specification, name)
    with pytest.raises((ValueError, BufferError)):
        native.watchdog.Watchdog(bytearray(8), b"/x", [], [], [], -1, 1.0, 0)
    made = native.watchdog.Watchdog(bytearray(64), b"/x", [b"x"], [b"a=b"], [], os.open("/", os.O_PATH), 1.0, 0)
    made.beat()
    made.stop()
