"""Binding Unix sockets: a file that a dead one has left is replaced, and rights are there from the first moment on."""
from __future__ import annotations

import errno
import os
import socket
import stat

from istat.access import guarded
from istat.daemon.handover import Handover
from istat.daemon.listening.binding import CannotListen, PortInUse


def bind_path(handover: Handover, kind: int, path: str, mode: int) -> socket.socket:
    """A Unix socket at this path: handed over, or made now. A file that a dead one has left there is replaced."""
    sock = handover.take(socket.AF_UNIX, kind, path, 0) or _bind_path(kind, path, mode)
    sock.setblocking(False)
    return sock


def _bind_path(kind: int, path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o777 & ~mode)        # the rights are there from the first moment on
    try:
        guarded.check(os.path.dirname(path) or ".")
        _remove_dead(kind, path)
        sock.bind(path)
    except PortInUse:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise _path_error(error, path) from error
    finally:
        os.umask(before)
    return sock


def _remove_dead(kind: int, path: str) -> None:
    """Remove the file of a socket that nobody listens on. PortInUse when somebody does, or when it is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise PortInUse(f"{path} is there and is no socket: name another path, or remove it")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:     # its backlog is full: it is alive
            pass
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:     # a live one of another kind
                raise
    raise PortInUse(f"{path} is in use by another process; name another path")


def _path_error(error: OSError, path: str) -> CannotListen:
    """The sentence for what the system says of a path."""
    if error.errno == errno.ENOENT:
        return CannotListen(f"the folder of {path} does not exist: make it, or name another path")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CannotListen(f"no permission for {path}: let this user write to its folder, or name another path")
    return CannotListen(f"cannot listen on {path}: {error.strerror or error}")
