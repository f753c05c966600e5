"""The side of a transplant that connects: tells of each file of its tree what it has, and takes what it lacks."""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from typing import NamedTuple

from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import IstatError, ServerUnreachable
from istat_server.foreign import ringedit
from istat_server.foreign.ring import SLOT
from istat_server.tools.ring.transplant.messages import Message, TransplantError
from istat_server.tools.ring.transplant.talking import AUTH, MESSAGE_SECONDS, Talk
from istat_server.tools.ring.transplant.trees import Tree, fill, held

CONNECT_SECONDS = 10.0


class Wish(NamedTuple):
    """What to exchange, and how it is told."""

    start: int              # Unix seconds
    end: int
    token: str = ""
    rate: float = 0.0       # files a second at most; 0 is as fast as can be
    progress: int = 0       # a line after so many files; 0 is none
    verbose: bool = False


def exchange(tree: Tree, host: str, port: int, wish: Wish, clock: Clock) -> Counter[str]:
    """Exchange all files of the tree; what became of them. ServerUnreachable, TransplantError: what was done until then
    stays."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as peer:
            talk = Talk(peer, tree.most_message)
            if wish.token:
                _said(talk, Message(f"{AUTH.decode()} {wish.token}".encode(), 0, 0), where)
            began = time.monotonic()
            for number, path in enumerate(tree.paths(), 1):
                tree.totals.update(_one(tree, path, talk, wish, clock, where))
                if wish.progress and number % wish.progress == 0:
                    print(f"{number} of {len(tree)} files", file=sys.stderr)
                if wish.rate:
                    time.sleep(max(0.0, began + number / wish.rate - time.monotonic()))
    except OSError as error:
        raise ServerUnreachable(f"{where}: {error.strerror or error}") from error
    return tree.totals


def _one(tree: Tree, path: bytes, talk: Talk, wish: Wish, clock: Clock, where: str) -> Counter[str]:
    """One file. What is wrong with it is told, and counts as damaged."""
    file = tree.file(path)
    assert file is not None, path
    try:
        edit = ringedit.load(file)
    except (IstatError, OSError) as error:
        print(printable(str(error)), file=sys.stderr)
        return Counter(damaged=1)
    mine = held(edit, path, wish.start, wish.end)
    answer = _said(talk, mine, where)
    if answer.path != path:
        raise TransplantError(f"{where} answers of another file")
    totals = fill(edit, answer._replace(start=wish.start, end=wish.end), clock.now())
    if edit.changed:
        try:
            ringedit.save(file, edit)
        except OSError as error:
            print(printable(f"{file}: {error.strerror}"), file=sys.stderr)
            return Counter(damaged=1)
    if wish.verbose:
        print(printable(f"{file}: {len(mine.slots) // SLOT.size} sent, {totals['filled']} filled"), file=sys.stderr)
    return totals + Counter(files=1, sent=len(mine.slots) // SLOT.size)


def _said(talk: Talk, message: Message, where: str) -> Message:
    """The answer to a message."""
    talk.send(message)
    answer = talk.receive(MESSAGE_SECONDS)
    if answer is None:
        raise TransplantError(f"{where} closed the connection: does it want another token?")
    return answer
