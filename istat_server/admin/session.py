"""One client of the admin port, without its socket: bytes go in, answers come out as bytes.

Knows lines and the rights of whoever sends them; what a command does is `commands`' matter. Answers are lines that end
by CR LF: what a command tells, then `ok`, or `huh?` and why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from istat.daemon.logs import escaped
from istat.errors import IstatError
from istat.wire.framing import LineFraming
from istat.wire.strangers import HTTP_REQUEST
from istat_server.admin.commands import COMMANDS, Huh
from istat_server.admin.guard import NOT_YET, WRONG, Guard
from istat_server.admin.operations import Operations

# Of a command: names of a thousand counters (istatd's had 1,023).
LONGEST_LINE = 65536
# What is given to a session at once; less than a line may have, so that one that is too long comes before others.
READ_BYTES = 16384
# Lines of an answer are put together to so much.
PART_BYTES = 16384
# Wrong tokens that one connection may send.
MOST_WRONG = 3
# Of a command that is not known, what is repeated.
SHOWN = 200
OK = "ok"
HELP = "('help' for help)"


class Session:
    """What one connection has said so far."""

    def __init__(self, operations: Operations, guard: Guard, on_wrong_token: Callable[[], None]) -> None:
        self._operations, self._guard, self._on_wrong_token = operations, guard, on_wrong_token
        self._framing = LineFraming(LONGEST_LINE)
        self._key: bytes | None = None
        self._new = True            # no line has come yet
        self.commands = 0           # lines that came
        self.wrong = 0              # tokens that were
        self.ended = False          # nothing more is read, and the connection closes
        self.http = False           # because it is a request of HTTP

    def take(self, data: bytes) -> Iterator[bytes | None]:
        """The answers to at most READ_BYTES more, in parts, to be sent before the next is asked for; None after each
        line, where others may have their turn. What commands do is done meanwhile, and may block."""
        held = self._framing.held
        buffer = bytearray(held) + data
        runs, lost = self._framing.take(buffer, len(buffer))
        for _ in lost:
            self.commands += 1
            self._new = False
            yield from self._parts(iter([f"huh? a line has at most {LONGEST_LINE} bytes"]))
            yield None
        for start, end in runs:
            for line in bytes(buffer[start:end]).split(b"\n")[:-1]:
                yield from self._parts(self._answer(line))
                yield None
                if self.ended:
                    return

    def _parts(self, lines: Iterator[str]) -> Iterator[bytes]:
        part = bytearray()
        for line in lines:
            part += f"{escaped(line)}\r\n".encode("utf-8", "backslashreplace")
            if len(part) >= PART_BYTES:
                yield bytes(part)
                part = bytearray()
        if part:
            yield bytes(part)

    def _answer(self, line: bytes) -> Iterator[str]:
        self.commands += 1
        if self._new and HTTP_REQUEST.match(line):
            self.ended = self.http = True
            return
        self._new = self._new and not line.strip()
        text = line.decode("utf-8", "backslashreplace").strip()
        name, _, words = text.partition(" ")
        try:
            if name == "quit":
                self.ended = True
                return
            if name == "auth":
                self._authenticate(words.strip())
            else:
                yield from self._carry_out(name, text, words)
            yield OK
        except (Huh, IstatError, OSError) as error:      # of what the command did: nothing here is sent
            yield f"huh? {error}"

    def _carry_out(self, name: str, text: str, words: str) -> Iterator[str]:
        command = COMMANDS.get(name)
        if command is None or command.act is None:
            raise Huh(f"{HELP} (received '{text[:SHOWN]}')" if text else HELP)
        why = "" if command.free else self._guard.refusal(self._key)
        if why:
            raise Huh(why)
        yield from command.act(self._operations, words.strip())

    def _authenticate(self, token: str) -> None:
        self._key = self._guard.key(token)
        why = self._guard.refusal(self._key)
        if why == NOT_YET:
            self.wrong += 1
            self._on_wrong_token()
            self.ended = self.wrong >= MOST_WRONG
            raise Huh(WRONG)
        if why:
            raise Huh(why)
