"""Talks to an admin port: a command goes out, lines come back until `ok`. Knows the port's protocol, not its commands.

An answer that begins with `huh?` is a refusal. Lines, their number and the wait for them are bounded.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import TracebackType

from istat.errors import BadQuery, ServerUnreachable

PORT = 8112             # that of istatd's scripts, and of the examples in the settings
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0  # a flush of a large store takes its time
MOST_LINE = 1 << 16     # [bytes]
MOST_LINES = 100_000    # of one answer: a deleted pattern tells each name
HINT = "is its admin-port on, and is this its number?"


class Refused(BadQuery):
    """The admin port does not do what it was asked for."""


class AdminPort:
    """A connection. `hear` is told each line that goes out or comes in, as `> flush`, `< ok`."""

    def __init__(self, host: str, port: int, hear: Callable[[str], object] | None = None) -> None:
        """ServerUnreachable when nobody is there."""
        self._where, self._hear = f"{host}:{port}", hear or (lambda _line: None)
        try:
            self._socket = socket.create_connection((host, port), CONNECT_SECONDS)
        except OSError as error:
            raise ServerUnreachable(f"cannot connect to {self._where}: {error.strerror or error} ({HINT})") from error
        self._socket.settimeout(ANSWER_SECONDS)
        self._file = self._socket.makefile("rb")

    def ask(self, command: str) -> list[str]:
        """The lines before `ok`. Refused with the port's words, ServerUnreachable when no answer comes."""
        self._hear(f"> {command}")
        lines: list[str] = []
        try:
            self._socket.sendall(command.encode("utf-8", "surrogateescape") + b"\r\n")
            while len(lines) < MOST_LINES:
                line = self._line()
                if line == "ok":
                    return lines
                if line.startswith("huh?"):
                    raise Refused(f"{self._where} does not do {command.split(' ')[0]}: {line}")
                lines.append(line)
        except OSError as error:
            raise ServerUnreachable(f"{self._where} did not answer {command.split(' ')[0]}: "
                                    f"{error.strerror or error}") from error
        raise ServerUnreachable(f"{self._where} answers more than {MOST_LINES:,} lines")

    def _line(self) -> str:
        data = self._file.readline(MOST_LINE)
        if not data.endswith(b"\n"):
            raise ServerUnreachable(f"{self._where} closed the connection without an answer ({HINT})"
                                    if len(data) < MOST_LINE else f"{self._where} answers what no admin port does")
        line = data.decode("utf-8", "replace").rstrip("\r\n")
        self._hear(f"< {line}")
        return line

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> AdminPort:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
