"""What a daemon does to be a good service: tells the service manager, takes its sockets, gives up root.

Knows Linux and systemd's protocols; knows nothing of samples. Without a service manager every
notification is quietly nothing.

Protocols: sd_notify(3), sd_listen_fds(3); capabilities(7) for what `drop_privileges` clears.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import os
import resource
import signal
import socket
import time
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any

from istat import owners
from istat.access import guarded
from istat.daemon import legible
from istat.daemon.backoff import BackOff
from istat.errors import IstatError

try:
    _systemd: Any = importlib.import_module("systemd.daemon")
except ImportError:  # systemd-python is optional: the protocol is one datagram
    _systemd = None

START_SECONDS = 30.0  # that a start may take after it was waited for
END_SIGNALS = (signal.SIGTERM, signal.SIGINT)
FIRST_LISTEN_FD = 3  # sd_listen_fds(3): the sockets follow standard error
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24  # linux/prctl.h
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
NO_CAPABILITY = "0000000000000000"


def notify(message: str) -> bool:
    """Send assignments such as "READY=1" (one a line) to the service manager; False when there is none."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return False
    if _systemd is not None:
        return bool(_systemd.notify(message))
    return _send_notification(message, [])


def _send_notification(message: str, descriptors: list[int]) -> bool:
    """One datagram to NOTIFY_SOCKET; False when there is none or nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            if descriptors:
                socket.send_fds(channel, [message.encode()], descriptors)
            else:
                channel.sendall(message.encode())
        except OSError:
            # A manager that went away must not take the daemon with it.
            return False
    return True


def ready(status: str = "") -> bool:
    """Say that start-up (or a reload) is over: sockets are bound and the store is open."""
    return notify("READY=1" + _status_line(status))


def reloading(status: str = "") -> bool:
    """Say that settings are being read again; ready() says when that is over."""
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}" + _status_line(status))


def stopping(status: str = "") -> bool:
    """Say that the daemon is about to end."""
    return notify("STOPPING=1" + _status_line(status))


def status(text: str) -> bool:
    """A line for `systemctl status`."""
    return notify("STATUS=" + text.replace("\n", " "))


def extend_timeout(seconds: float) -> bool:
    """Ask for more time before a start or stop counts as hung."""
    return notify(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")


def wait_to_start(back_off: BackOff) -> bool:
    """Wait as long as the starts that failed before this one ask for, and tell so.

    False when told to end meanwhile. What failed is forgotten then: `systemctl restart`, and the restart of an upgrade,
    are not to wait. To be called before any thread is started.
    """
    pause = back_off.begin()
    if not pause:
        return True
    extend_timeout(pause + START_SECONDS)
    status(f"waiting {pause:.0f} s, as the last {back_off.failed} starts failed")
    if wait_for(pause):
        return True
    back_off.forget()
    return False


def wait_for(pause: float) -> bool:
    """Wait so long [s]; False when told to end meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    told = signal.sigtimedwait(END_SIGNALS, pause)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return told is None


def watchdog() -> bool:
    """Say that the daemon is alive; to be called every watchdog_interval() seconds."""
    return notify("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between two calls of watchdog(): half of what the manager allows. None: it does not watch."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2e6


def _status_line(text: str) -> str:
    return f"\nSTATUS={text}" if text else ""


def store_fd(name: str, descriptor: int) -> bool:
    """Leave a listening socket with the manager: it comes back by listen_fds() after a restart or crash."""
    return _send_notification(f"FDSTORE=1\nFDNAME={name}", [descriptor])


def forget_fd(name: str) -> bool:
    """Have the manager close what was left with it under this name (sd_notify(3): FDSTOREREMOVE)."""
    return notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def listen_fds(environ: MutableMapping[str, str] | None = None) -> list[tuple[str, int]]:
    """(name, file descriptor) of each socket that the service manager passed; children do not inherit them.

    The variables are removed from the environment, so that a child does not take them for its own.
    """
    environ = os.environ if environ is None else environ
    texts = [environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if texts[0] != str(os.getpid()) or not texts[1].isdigit():
        return []
    names = texts[2].split(":")
    found = []
    for index in range(int(texts[1])):
        descriptor = FIRST_LISTEN_FD + index
        os.set_inheritable(descriptor, False)
        found.append((names[index] if index < len(names) else "", descriptor))
    return found


def raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files to `wanted`, or as near as this process may. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, PermissionError):
            wanted = hard  # only a privileged process may raise the hard limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


# mallopt(3) of glibc: parameters and what they are set to.
_MALLOC = {
    -8: 2,              # M_ARENA_MAX: each thread's own heap keeps what was freed in it
    -3: 256 << 10,      # M_MMAP_THRESHOLD: else it grows up to 32 MiB with what is freed, and large buffers stay
    -1: 1 << 20,        # M_TRIM_THRESHOLD
}


def give_memory_back() -> bool:
    """Let the C library return freed memory to the system soon, as a daemon wants it that now and then needs much.

    To be called before the first thread begins. False where the C library has no such settings (musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(key, value) == 1 for key, value in _MALLOC.items())


def drop_privileges(user: str) -> None:
    """Become `user` (a name or a number) for good: groups, gid, uid and all capabilities, then check.

    To be called once, before any thread is started (capabilities are per thread). Does nothing when the
    process is that user without capabilities already. IstatError when it cannot be done or did not hold.
    """
    try:
        uid, gid, groups = owners.identity(user)
    except KeyError:
        raise IstatError(f"there is no user called {user!r}") from None
    if os.geteuid() != 0:
        if os.getresuid() == (uid, uid, uid):
            return
        raise IstatError(f"only root can become the user {user!r}; start it as root, or without --user")
    if uid != owners.ROOT:
        legible.check(owners.User(uid, gid, groups), user)
    _empty_bounding_set()
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if uid != 0:
        _clear_capabilities()
        _check_dropped(uid, gid, groups)


def _call(name: str, *arguments: object) -> None:
    """A libc function that gives -1 and errno for failure."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise IstatError(f"{name} failed: {os.strerror(error)}")


def _empty_bounding_set() -> None:
    """Nothing that is executed later may get a capability, set-uid programs included."""
    for capability in range(int(LAST_CAPABILITY.read_text()) + 1):
        _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)


def _clear_capabilities() -> None:
    """Permitted, effective and inheritable sets become empty (the ambient one with them)."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def _check_dropped(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """IstatError unless the process is that user, without capabilities and without a way back."""
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or sorted(os.getgroups()) != list(groups):
        raise IstatError("giving up root did not hold: user or groups are not as asked")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Cap") and line.split()[1] != NO_CAPABILITY:
            raise IstatError(f"giving up root did not hold: {line}")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise IstatError("giving up root did not hold: the process can become root again")


class PidFile:
    """A file with our process id, held for as long as we run; a context manager.

    A lock on the file tells a live owner from a stale file, so a process id that was given to another
    process since does no harm. IstatError when another process holds it.
    """

    def __init__(self, path: str | os.PathLike[str], kept: int | None = None) -> None:
        """`kept`: the file, open and locked, where this process has it from its life before: see `descriptor`."""
        self.path, self._kept = Path(path), kept
        self._place: guarded.Place | None = None
        self.descriptor = -1

    def __enter__(self) -> PidFile:
        with contextlib.ExitStack() as opened:
            place = opened.enter_context(guarded.Place(self.path))
            descriptor = self._locked(place) if self._kept is None else self._kept
            opened.callback(os.close, descriptor)
            first = os.pread(descriptor, 32, 0).partition(b"\n")[0].strip()
            if first and not first.isdigit():
                raise IstatError(f"{self.path} is there and is no pid-file: it does not begin with a number; name "
                                 f"another place, or remove it")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            opened.pop_all()
        self._place, self.descriptor = place, descriptor
        return self

    def _locked(self, place: guarded.Place) -> int:
        """The file, open and locked."""
        while True:
            descriptor = place.open(os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(descriptor, 32).decode(errors="replace").strip()
                os.close(descriptor)
                raise IstatError(f"already running as process {owner}, says {self.path}") from None
            try:
                found, mine = place.stat(), os.fstat(descriptor)
                if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                    return descriptor
            except FileNotFoundError:
                pass            # its owner removed it between our open and our lock: try the new one
            os.close(descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._place is None:
            return
        try:
            self._place.unlink()
        except FileNotFoundError:
            pass                # somebody was quicker
        except PermissionError:
            # The folder belongs to root and we no longer do: the lock, not the file, is what counts.
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)
        self._place.close()
        self._place, self.descriptor = None, -1
