"""A process that goes on between what it is asked: one question, one answer, over a socket of its own.

Begun by the keeper, like a script, with the same limits, and ended with all that it started. What it prints on its
outputs is no answer: its end is kept, to say why it failed. A question and an answer are bytes behind their length;
what they mean is others' business. `ask` blocks, and is for a thread of its own.
"""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import NoReturn

from . import keeper, process
from .limits import Limits

LENGTH = struct.Struct("!I")  # before each question and answer
CHUNK = 64 * 1024  # bytes read at once
READS = 4  # of what it prints, for each look: what prints without an end must not keep an answer from us
ANSWER_BYTES = 4 * 1024 * 1024  # of an answer: 20,000 samples with long names


class Failed(Exception):
    """It gave no answer; words that say why. It has been ended, with all that it started."""


class Late(Failed):
    """The deadline is over."""


class Ended(Failed):
    """It ended by itself, or for a limit."""


class Lasting:
    """The process, as long as it lives."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], limits: Limits) -> None:
        """Begin it; its channel is descriptor keeper.CHANNEL. OSError when it cannot be."""
        self._limits = limits
        self._errors = bytearray()
        self._kept = ExitStack()
        pairs = [f"{name}={value}" for name, value in environment.items()]
        request = keeper.encode(math.inf, command[0], command, pairs, limits.words())
        try:
            begun = process.begin(request, self._kept, channel=True)
        except OSError:
            self._kept.close()
            raise
        assert begun.channel is not None
        self._warden, self._channel, self._output = begun.warden, begun.channel, begun.output
        os.set_blocking(self._output, False)
        self._open = True

    @property
    def said(self) -> str:
        """The end of what it printed, since it began."""
        return self._errors.decode("utf-8", "replace").strip()

    def ended(self) -> bool:
        """Whether it has ended since it was asked last."""
        return not self._open or bool(select.select([self._warden], [], [], 0)[0])

    def ask(self, question: bytes, timeout: float, grace: float = 0.0) -> bytes:
        """Its answer. Late, Ended, or Failed for an answer that is none: it has been ended then. `grace`: seconds after
        the deadline, for one that sees to that itself."""
        until = time.monotonic() + timeout + grace
        if not self._open:
            raise Ended("it has ended")
        try:
            self._warden.send(b"%s %f %d" % (keeper.READING, until, self._limits.cpu_seconds(timeout)))
            self._channel.settimeout(timeout + grace)
            self._channel.sendall(LENGTH.pack(len(question)) + question)
            answer = self._receive(until)
            self._warden.send(keeper.REST)
        except TimeoutError:
            self._fail(Late(f"{process.TOO_LATE} after {timeout:g} s"))
        except OSError:
            told = self.end(at_once=False)
            if told[:1] == [keeper.LATE]:  # the warden was quicker
                raise Late(f"{process.TOO_LATE} after {timeout:g} s") from None
            raise Ended(_how(told, self._limits)) from None
        return answer

    def _receive(self, until: float) -> bytes:
        """The next answer. OSError when there will be none, TimeoutError when it does not come in time."""
        data, wanted = bytearray(), LENGTH.size
        poll = select.poll()
        for readable in (self._channel.fileno(), self._output):
            poll.register(readable, select.POLLIN)
        while len(data) < wanted:
            left = until - time.monotonic()
            ready = [number for number, _ in poll.poll(max(0.0, left) * 1000)]
            if not ready and left <= 0:
                raise TimeoutError
            if self._output in ready and not self._listen():
                poll.unregister(self._output)
            if self._channel.fileno() not in ready:
                continue
            more = self._channel.recv(min(CHUNK, wanted - len(data)))
            if not more:
                raise ConnectionResetError
            data += more
            if wanted == len(data) == LENGTH.size:
                wanted += LENGTH.unpack(data)[0]
                if wanted > ANSWER_BYTES:
                    self._fail(Failed(f"its answer is garbage, or longer than {ANSWER_BYTES} bytes"))
        return bytes(data[LENGTH.size:])

    def _listen(self) -> bool:
        """Take what it printed. False when there will be nothing more."""
        for _ in range(READS):
            try:
                more = os.read(self._output, CHUNK)
            except BlockingIOError:
                return True
            if not more:
                return False
            self._errors += more
            del self._errors[: -process.MAX_ERRORS]
        return True

    def how_it_ended(self) -> str:
        """In words, of one of which `ended` is true."""
        return _how(self.end(at_once=False), self._limits)

    def _fail(self, why: Failed) -> NoReturn:
        self.end()
        raise why

    def stop(self) -> None:
        """Have it ended, from any thread: whoever waits for its answer gets Ended, and nothing is closed under it."""
        with suppress(OSError):  # it has ended already
            self._warden.shutdown(socket.SHUT_WR)

    def end(self, at_once: bool = True) -> list[str]:
        """End it, and wait until all that it started is gone. What the warden tells: how, status, what is left.

        To be called when nobody waits for an answer.
        """
        if not self._open:
            return []
        self._open = False
        if at_once:
            self.stop()
        else:  # it has closed its channel, and may be about to end
            self._channel.close()
        self._warden.settimeout(process.GIVE_UP)
        try:
            told = self._warden.recv(process.CHUNK).decode().split()
        except TimeoutError:
            told = [keeper.STOPPED, "0"]  # it goes on without a channel, until the warden sees that we have gone
        except OSError:
            told = []
        self._listen()
        self._kept.close()
        return told


def _how(told: Sequence[str], limits: Limits) -> str:
    """In words, how it ended."""
    how, *words = told or ["lost"]
    if how == keeper.FAILED:
        return f"{process.NOT_STARTED}{os.strerror(int(words[0]))}"
    if how == keeper.CROWD:
        return f"started more than {limits.processes} processes"
    if how == keeper.STOPPED:
        return "it has closed the socket that its answers go by"
    if how == keeper.ENDED:
        return process.ending(words[0]) or "it ended by itself (exit status 0)"
    return process.TOO_LATE if how == keeper.LATE else process.LOST
