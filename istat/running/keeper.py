"""A program: starts scripts for the collector `exec`, and leaves nothing of a run behind. Knows nothing of samples.

    python -I -S keeper.py FD       # FD: a socket (SEQPACKET) by which runs are asked for

    agent -> keeper (one) -> warden (one a run) -> script -> whatever that starts

What a script starts can leave its group and its session, close its pipes and ignore TERM, but it keeps its ancestors:
when a parent ends, Linux gives its children to the nearest ancestor that is a *subreaper*. Each warden is one, so all
that is left of a run becomes its children, and only that. It kills its own children and nobody else: the number of a
child is given to no other process before its parent has reaped it.

The agent itself cannot do this. It would not know of which run an orphan is, would get the orphans of what plugins
start on their own account, and does nothing while a plugin in C holds the interpreter: so a warden sees to the
deadline, too.

Who ends whom: a run's socket is closed by the kernel when the agent ends, in whatever way, and that is the warden's
word to end the run; the keeper has its own socket for it. Not PR_SET_PDEATHSIG: that is about the thread that forked,
and the agent's come and go; set-uid programs are spared by it, and grandchildren never get it. When a warden is killed,
what it watched over comes to the keeper, which ends it. When the keeper is killed, the wardens see it and end their
runs, and the next run begins another. Something can stay only when both are killed in one moment, and not all of the
service's control group; they are not called after the agent, so that `pkill -9 istat` does not do that.

Limits (limits.py) are set by the warden, to itself first: what it starts has them from its first instruction on, and it
needs little. Most of what lasts, as the child of an isolated collector, rests: for each reading the agent tells the
warden deadline and CPU time, so that both hold while the agent itself is held up.

A fresh interpreter, not a fork of the agent, whose threads, sockets and memory it would take along. It imports little,
and nothing of ours: a warden is a fork of it, and takes about a millisecond and a megabyte.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import math
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

END_SECONDS = 2.0  # that what is left of a run has to be gone after SIGKILL; it takes milliseconds on an idle machine
GLANCE_SECONDS = 0.05  # between two looks at what does not want to die
STRANGERS_SECONDS = 1.0  # between two looks of the keeper at what a killed warden left
REQUEST_BYTES = 128 * 1024  # of a run that is asked for: command and environment; a socket takes no more than 200 kB
DESCRIPTORS = 3  # that come with it: the run's socket, standard output, standard error; and the channel, if it has one
CHANNEL = 3  # the number that this has in the process which is run
READING, REST = b"reading", b"rest"  # words to a warden: `reading DEADLINE CPU_SECONDS`, and that it is over
WORD_BYTES = 64  # of one
ENDED, LATE, STOPPED, FAILED, CROWD = "ended", "late", "stopped", "failed", "crowd"  # how a run ended
COUNT_SECONDS = 60.0  # how long a count of the user's processes holds: it takes 10 ms where there are 500
CROWD_SECONDS = 0.25  # between two looks at how many there are, where the system sets no limit: root
# When the system has no memory left it is to end what we run, before the agent and the wardens: as if that had so large
# a part of all memory [1/1000] besides.
OOM_SCORE, OOM_FILE = b"500", "/proc/self/oom_score_adj"
TICKS = os.sysconf("SC_CLK_TCK")

SUBREAPER, NAME = 36, 15  # linux/prctl.h
NEVER_THESE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # what a service manager sends to all processes at once
# What a script finds as it is by default, whatever whoever started the agent ignores: a shell in the background, nohup.
AS_USUAL = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument."""
    if _prctl(option, argument, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def be_called(name: bytes) -> None:
    """What `ps` and `top` show of us; 15 bytes at most."""
    prctl(NAME, ctypes.cast(ctypes.c_char_p(name), ctypes.c_void_p).value or 0)


def encode(deadline: float, program: str, command: Sequence[str], environment: Sequence[str], limits: str) -> bytes:
    """A run as it is asked for. `deadline`: of the monotonic clock, which all processes share. `limits`: words of
    limits.py."""
    words = [str(deadline), limits, str(len(command)), program, *command, *environment]
    return b"\0".join(os.fsencode(word) for word in words)


def children() -> list[int]:
    """Our own children, living or to be reaped."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == own]


def _parent(pid: str) -> int:
    words = stat_words(pid)
    return int(words[1]) if words else 0


def stat_words(pid: int | str) -> list[bytes]:
    """What /proc/PID/stat says behind the name, proc(5): the first is the state. Nothing when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken."""
    words = stat_words(pid)
    return (int(words[11]) + int(words[12])) / TICKS if words else 0.0


def descendants(most: int) -> int:
    """How many processes there are below us; no more than `most` + 1 are counted."""
    found = waiting = children()
    while waiting and len(found) <= most:
        waiting = [child for pid in waiting for child in _below(pid)]
        found = found + waiting
    return len(found)


def _below(pid: int) -> list[int]:
    """Children of a process, whichever of its threads has started them."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def threads_of(user: int) -> int:
    """What the system holds against a user's limit of processes: all threads of all of them."""
    total = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                words = stat_words(name)
                total += int(words[17]) if words else 0
        except FileNotFoundError:
            continue
    return total


def kill(pids: Sequence[int]) -> None:
    """SIGKILL to children of ours."""
    for pid in pids:
        with suppress(PermissionError, ProcessLookupError):  # another user by now, or reaped; what stays is told of
            os.kill(pid, signal.SIGKILL)


class Warden:
    """One run: starts the script, waits for its end, ends all that it left. In a process of its own, a subreaper."""

    def __init__(self, agent: socket.socket, descriptors: Sequence[int], request: bytes, threads: int) -> None:
        """`agent`: tells us to stop, or closes, and is told how the run ended. `descriptors`: output, errors and, if
        there is one, channel. `threads`: that the user has."""
        deadline, limits, count, self._program, *words = request.split(b"\0")
        self._agent, self._descriptors, self._deadline = agent, descriptors, float(deadline)
        pairs = [word.partition(b"=") for word in limits.split()]
        self._processes = next((int(most) for name, _, most in pairs if name == b"processes"), 0)
        per_user = [(resource.RLIMIT_NPROC, threads + self._processes)] if threads else []
        self._limits = [(int(name), int(most)) for name, _, most in pairs if name.isdigit()] + per_user
        self._command = words[: int(count)]
        self._environment = {name: value for name, _, value in (word.partition(b"=") for word in words[int(count):])}

    def watch(self, keeper: int) -> None:
        """The whole life of the run. `keeper`: the process above us, without which nothing would watch over us."""
        prctl(SUBREAPER, 1)
        be_called(b"exec-warden")
        above = os.pidfd_open(keeper)
        if os.getppid() != keeper:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # to be waited for
        try:
            script = self._start()
        except OSError as error:
            told = f"{FAILED} {error.errno}"
        else:
            how = self._wait(script, above)
            status, left = end_all(script, time.monotonic() + END_SECONDS)
            told = " ".join([how, str(status), *map(str, left)])
        with suppress(OSError):  # the agent has gone
            self._agent.send(told.encode())

    def _start(self) -> int:
        """The script's process. Not by a fork of ours, which would cost as much again as we do."""
        places = ((os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(self._descriptors, 1))
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *places]
        for number, most in self._limits:
            limit(number, most)
        before = _oom_score(OOM_SCORE)
        try:
            return os.posix_spawn(self._program, self._command, self._environment, file_actions=actions, setsid=True,
                                  setsigdef=AS_USUAL, setsigmask=())
        finally:
            _oom_score(before)
            for descriptor in self._descriptors:
                os.close(descriptor)

    def _wait(self, script: int, above: int) -> str:
        """How it ended. It is not reaped: its number stays its own."""
        ended, agent = os.pidfd_open(script), self._agent.fileno()
        poll = select.poll()
        for descriptor in (ended, above, agent):
            poll.register(descriptor, select.POLLIN)
        look = CROWD_SECONDS if self._processes and os.geteuid() == 0 else math.inf
        how = ""
        while not how:
            left = max(0.0, self._deadline - time.monotonic())
            wait = min(left, look)
            ready = [descriptor for descriptor, _ in poll.poll(None if math.isinf(wait) else wait * 1000)]
            if ended in ready:
                how = ENDED
            elif above in ready or agent in ready and not self._hear(script):
                how = STOPPED
            elif not ready:
                how = LATE if left <= wait else CROWD if descendants(self._processes) > self._processes else ""
        os.close(ended)
        return how

    def _hear(self, script: int) -> bool:
        """Take what the agent tells of a reading. False for its word to stop, or its end."""
        try:
            word, *numbers = self._agent.recv(WORD_BYTES).split() or [b""]
        except ConnectionResetError:
            return False
        if word == READING:
            self._deadline = float(numbers[0])
            with suppress(ProcessLookupError, PermissionError):  # it has ended; or is set-uid, and has another user
                most = math.ceil(cpu_seconds(script)) + int(numbers[1])
                resource.prlimit(script, resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
        elif word == REST:
            self._deadline = math.inf
        return word in (READING, REST)


def limit(number: int, most: int) -> None:
    """Set a limit of ours, which those that we start have as well, for good: `most`, or what holds if that is less."""
    hard = resource.getrlimit(number)[1]
    hard = hard if hard != resource.RLIM_INFINITY else sys.maxsize
    most = min(most, hard)
    try:
        # Of CPU time the lesser one is told by a signal of its own, the greater one kills.
        resource.setrlimit(number, (most, most + 1 if number == resource.RLIMIT_CPU and most < hard else most))
    except ValueError:  # what Python makes of EPERM, of which only a sandbox can be the cause
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None


def _oom_score(score: bytes) -> bytes:
    """Set how gladly the system ends us, and what we start from now on, for want of memory; what it was."""
    try:
        with open(OOM_FILE, "rb") as file:
            before = file.read().strip()
        with open(OOM_FILE, "wb") as file:
            file.write(score)
        return before
    except OSError:  # whoever started the agent has forbidden to go back to less, or there is no such file
        return score


def end_all(script: int, until: float) -> tuple[int | None, list[int]]:
    """Kill and reap our children, and those that become ours as their parents end, until none is left or it is `until`.

    (the script's exit status, negative for a signal; what is left: as another user, or stuck in the kernel)
    """
    status = None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(script, signal.SIGKILL)  # at one stroke, so that none of them starts more meanwhile
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, []
        if pid == script:
            status = os.waitstatus_to_exitcode(ended)
        late = time.monotonic() >= until
        if pid and not late:
            continue
        left = children()
        kill(left)
        if late:
            return status, left
        signal.sigtimedwait([signal.SIGCHLD], GLANCE_SECONDS)


class Keeper:
    """Forks a warden for each run. What else becomes a child of ours, a warden left: it is ended."""

    def __init__(self, agent: socket.socket) -> None:
        self._agent = agent
        self._wardens: set[int] = set()
        self._strangers = False  # whether there may be children of ours that are no wardens
        self._threads = 0  # that our user has, when it was counted
        self._counted = -math.inf  # monotonic
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def keep(self) -> None:
        """Until the agent ends, and then until nothing of its runs is left."""
        prctl(SUBREAPER, 1)
        be_called(b"exec-keeper")
        gc.freeze()  # a collection in a warden would copy every page that we share with it
        for number in NEVER_THESE:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._agent, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(STRANGERS_SECONDS * 1000 if self._strangers else None)]
            self._look_after_children()
            if self._agent.fileno() in ready and not self._take():
                break
        poll.unregister(self._agent)
        until = time.monotonic() + 2 * END_SECONDS  # the wardens have one of it
        while self._look_after_children() and time.monotonic() < until:
            poll.poll(GLANCE_SECONDS * 1000)

    def _take(self) -> bool:
        """Start a run that is asked for. False when the agent has gone."""
        request, descriptors, _, _ = socket.recv_fds(self._agent, REQUEST_BYTES, DESCRIPTORS + 1)
        if not request:
            return False
        for descriptor in descriptors:  # recv_fds has no flags for it, whatever its arguments say
            os.set_inheritable(descriptor, False)
        if len(descriptors) < DESCRIPTORS:  # too many files are open: the agent sees that the run's socket is closed
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        run, *others = descriptors
        own, threads = os.getpid(), self._count()
        with socket.socket(fileno=run) as agent:
            try:
                warden = os.fork()
            except OSError as error:  # no more processes
                with suppress(OSError):  # nobody waits for it any more
                    agent.send(f"{FAILED} {error.errno}".encode())
            else:
                if not warden:
                    self._become_warden(agent, others, request, threads, own)
                self._wardens.add(warden)
        for descriptor in others:
            os.close(descriptor)
        return True

    def _count(self) -> int:
        """Threads of our user, or 0 for root, whom the system does not limit."""
        user, now = os.getuid(), time.monotonic()
        if user and now >= self._counted + COUNT_SECONDS:
            self._threads, self._counted = threads_of(user), now
        return self._threads

    def _become_warden(self, agent: socket.socket, descriptors: Sequence[int], request: bytes, threads: int,
                       keeper: int) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for descriptor in (self._wake, self._woken, self._agent.detach()):
                os.close(descriptor)
            Warden(agent, descriptors, request, threads).watch(keeper)
            status = 0
        except Exception:  # noqa: BLE001 - it must not go on as a second keeper
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _look_after_children(self) -> bool:
        """Reap, and end strangers. Whether there are any children."""
        with suppress(BlockingIOError):  # woken by something else
            os.read(self._wake, 512)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._strangers = False
                return False
            if not pid:
                break
            if pid in self._wardens:
                self._wardens.discard(pid)
                self._strangers = True      # it may have left what it could not end
        if self._strangers:
            strangers = [pid for pid in children() if pid not in self._wardens]
            kill(strangers)
            self._strangers = bool(strangers)
        return True


if __name__ == "__main__":
    Keeper(socket.socket(fileno=int(sys.argv[1]))).keep()
