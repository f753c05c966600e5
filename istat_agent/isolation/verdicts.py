"""Verdicts: which plugins are to run in a child though they do not say so themselves, and why.

A verdict lasts until the plugin changes (its stamp is another one), or the machine restarts: it is kept in the runtime
folder, or, where there is none, in memory that goes on over an execution of the agent. Format: docs/formats/marks.md.
From any thread. Knows no collector.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import zlib

from istat.access import guarded
from istat.access.replacing import replacing
from istat_agent.isolation.marks import key

log = logging.getLogger(__name__)

MAGIC = "istat-verdicts"
VERSION = 1
MOST = 1000  # plugins
MOST_BYTES = 1024 * 1024  # of the file


class Verdicts:
    """By a plugin's origin: its path, or its entry point."""

    def __init__(self, folder: str, kept: int | None = None) -> None:
        """`folder`: the runtime folder, or "". `kept`: the descriptor that an agent executed anew has handed on."""
        self._path = os.path.join(folder, "verdicts") if folder else ""
        #: What is to be handed on, where nothing is written to a folder.
        self.descriptor: int | None = None
        if not folder:
            self.descriptor = os.memfd_create("istat-verdicts", os.MFD_CLOEXEC) if kept is None else kept
            os.set_inheritable(self.descriptor, False)
        self._lock = threading.Lock()
        self._known = self._read()

    def isolate(self, origin: str, why: str, stamp: str = "") -> None:
        """A plugin is to be isolated. `stamp`: as it is now; "": as it will be found next. `why` reads after `it is
        isolated, as`."""
        with self._lock:
            self._known.pop(key(origin), None)
            while len(self._known) >= MOST:  # the oldest is of a plugin that has long gone, most likely
                del self._known[next(iter(self._known))]
            self._known[key(origin)] = (stamp, why)
            self._write()

    def why(self, origin: str, stamp: str) -> str:
        """Why a plugin with this stamp is isolated; "" when it need not be, or has changed since."""
        with self._lock:
            known = self._known.get(key(origin))
            if known is None:
                return ""
            if known[0] == "":
                self._known[key(origin)] = (stamp, known[1])
                self._write()
            elif known[0] != stamp:
                del self._known[key(origin)]
                self._write()
                return ""
            return known[1]

    def _read(self) -> dict[str, tuple[str, str]]:
        try:
            if self.descriptor is not None:
                data = os.pread(self.descriptor, MOST_BYTES, 0)
            else:
                with open(guarded.open_file(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                    data = file.read(MOST_BYTES)
            head, _, body = data.partition(b"\n")
            if not data or head.decode("ascii").split() != [MAGIC, str(VERSION), f"{zlib.crc32(body):08x}"]:
                return {}
            return {str(origin): (str(stamp), str(why)) for origin, stamp, why in json.loads(body)[:MOST]}
        except FileNotFoundError:
            return {}
        except (OSError, TypeError, ValueError, LookupError, RecursionError) as error:
            log.warning("verdicts of before are not known: %s", error)
            return {}

    def _write(self) -> None:
        body = json.dumps([[origin, *known] for origin, known in self._known.items()]).encode()
        data = b"%s %d %08x\n%s" % (MAGIC.encode(), VERSION, zlib.crc32(body), body)
        try:
            if self.descriptor is not None:
                os.pwrite(self.descriptor, data, 0)
                os.ftruncate(self.descriptor, len(data))
                return
            with replacing(self._path, "new") as file:
                file.write(data)
        except OSError as error:
            log.warning("that a plugin is to be isolated is not kept over a restart: %s: %s", self._path,
                        error.strerror)
