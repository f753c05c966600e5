"""A daemon without a terminal: the settings `pid-file`, held while it runs, and `daemonize`, the way to the background.

Who starts it sees how the start went: `go` forks, and the parent waits until the child says that it is ready or has
ended. Until then the child has the terminal to say what is wrong. Knows processes and files, no daemon.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from istat import owners
from istat.daemon import logs, service
from istat.errors import IstatError

READY = b"r"
STREAMS = (0, 1, 2)
# What is made may be read by all, as that of other daemons, and be written by its owner.
UMASK = 0o022
BY_SIGNAL = 128         # sh(1): the status of what a signal ended
MOST_READ = 32          # of a pid-file [bytes]
TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# The original's processes, which hold no lock on their pid-file.
ISTATD = re.compile(r"istatd(-server|-agent)?")


@contextlib.contextmanager
def hold(path: Path | None, kept: int | None = None) -> Iterator[service.PidFile | None]:
    """Hold the pid-file, if there is to be one. IstatError when it cannot be written, or another process holds it.
    `kept`: as for PidFile."""
    with contextlib.ExitStack() as held:
        file = None
        if path is not None:
            _refuse_istatds(path)
            try:
                file = held.enter_context(service.PidFile(path, kept))
            except OSError as error:
                whose = owners.refused(path) if isinstance(error, PermissionError) else ""
                raise IstatError(f"cannot write the pid-file {path}: {error.strerror}{whose}") from error
        yield file


def _refuse_istatds(path: Path) -> None:
    """IstatError where the file is that of an istatd of before, which runs."""
    try:
        text = _first_word(path)
        running = Path("/proc", text, "comm").read_text().strip() if text.isdigit() else ""
    except OSError:
        return          # no file, or nobody of that number
    # Ours may be called so, and come to the number that it had in its life before, as in a container.
    if ISTATD.fullmatch(running) and int(text) != os.getpid():
        raise IstatError(f"{running} is running as process {text}, says {path}: end it first (kill {text})")


def _first_word(path: Path) -> str:
    """What a pid-file says; "" for what is no plain file, for which nothing waits. OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        plain = stat.S_ISREG(os.fstat(handle).st_mode)
        return os.read(handle, MOST_READ).decode("ascii", "replace").strip() if plain else ""
    finally:
        os.close(handle)


class Leaving:
    """The way from the terminal of whoever started us, who waits: to be called once all runs. `descriptor` leads to
    them; a program that is executed in our place makes another one of it, and goes on."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor

    def __call__(self) -> None:
        """Tell them that all runs. The descriptor's number stays ours: it may have been told to whoever executes us."""
        sys.stdout.flush()
        with open(os.devnull, "r+b", buffering=0) as nothing:
            for stream in STREAMS:
                os.dup2(nothing.fileno(), stream)
            with contextlib.suppress(BrokenPipeError):      # nobody waits any more
                os.write(self.descriptor, READY)
            os.dup2(nothing.fileno(), self.descriptor, inheritable=False)


def go(program: str) -> Leaving:
    """Fork. The child goes on, in a session of its own, and calls what this returns once it is ready: that takes the
    terminal from it. The parent ends by SystemExit: 0 when the child is ready, else with the child's exit code. To be
    called before any thread and any event loop."""
    sys.stdout.flush()
    sys.stderr.flush()
    hears, says = os.pipe()
    # What comes before the parent can pass it on waits: else it would end the parent alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)
    child = os.fork()
    if child:
        os.close(says)
        raise SystemExit(_wait_for(child, hears, program, before))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(hears)
    os.setsid()
    os.umask(UMASK)
    return Leaving(says)


def _wait_for(child: int, hears: int, program: str, mask: Iterable[int]) -> int:
    """The exit code of the one who started it. Told to end meanwhile, it tells the child, which then ends. `mask`: the
    signals that are blocked from then on."""
    for number in TOLD:
        signal.signal(number, lambda told, _frame: os.kill(child, told))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if os.read(hears, len(READY)) == READY:
        return 0
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        logs.last_words(program, f"it was ended by the signal {signal.Signals(-status).name} before it was ready")
        return BY_SIGNAL - status
    return status or IstatError.exit_code       # it was told to end: there is no daemon
