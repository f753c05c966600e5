"""A program: the child in which an isolated collector lives. It answers what its agent asks, until that has gone.

    python -I child.py      # by the keeper only: questions and answers go by descriptor 3

The first question says where modules are found, as the agent finds them. What its collector prints goes to standard
output and error, of which the agent keeps the end.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

CHANNEL = 3  # as istat.running.keeper gives it
HIGH = 64  # from this number on is the channel, so that what the collector opens is numbered as usual
LENGTH = struct.Struct("!I")  # as in istat.running.lasting
QUESTION_BYTES = 1024 * 1024  # of a question: a table of settings
ANSWER_BYTES = 4 * 1024 * 1024  # of an answer, as there

Question = dict[str, Any]
Answer = dict[str, Any]


class Channel:
    """The socket to the agent."""

    def __init__(self) -> None:
        """Out of the way of what the collector starts, which is not to have it."""
        high = fcntl.fcntl(CHANNEL, fcntl.F_DUPFD_CLOEXEC, HIGH)
        os.close(CHANNEL)
        self._socket = socket.socket(fileno=high)
        self._own = os.getpid()

    def question(self) -> Question | None:
        """The next one; None when the agent has gone."""
        head = self._exactly(LENGTH.size)
        if head is None:
            return None
        length = LENGTH.unpack(head)[0]
        text = self._exactly(length) if length <= QUESTION_BYTES else None
        return None if text is None else json.loads(text)

    def answer(self, answer: Answer) -> None:
        """Give it."""
        if os.getpid() != self._own:  # the collector has forked, and this is what came back from there
            os._exit(0)
        text = json.dumps(answer, separators=(",", ":")).encode()
        if len(text) > ANSWER_BYTES:
            text = json.dumps({"wrong": f"reported more than {ANSWER_BYTES} bytes"}).encode()
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)
        self._socket.sendall(LENGTH.pack(len(text)) + text)

    def _exactly(self, wanted: int) -> bytes | None:
        data = bytearray()
        while len(data) < wanted:
            more = self._socket.recv(wanted - len(data))
            if not more:
                return None
            data += more
        return bytes(data)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError):  # the collector has closed it, or put something else there
        return


def main() -> None:
    """Answer until the agent has gone."""
    faulthandler.enable()  # of a crash in C it is told where
    channel = Channel()
    first = channel.question()
    if first is None:
        return
    sys.path[:] = first["path"]
    from istat_agent.isolation.answering import Answering  # noqa: PLC0415 - it can be found only now

    answering = Answering()
    answers: dict[str, Callable[[Question], Answer]] = {
        "look": answering.look, "begin": answering.begin, "read": answering.read}
    question: Question | None = first
    while question is not None:
        channel.answer(answers[question["do"]](question))
        if question is first:
            gc.collect()
            gc.freeze()
        question = channel.question()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, ConnectionResetError):  # the agent has gone
        os._exit(0)
