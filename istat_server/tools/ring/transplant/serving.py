"""The side of a transplant that listens: fills its files by what comes, and answers with what the other side lacks.

A path that comes is looked up in the tree. Whoever shows no token where one is wanted gets no answer. A few connections
at once; files are changed one after the other.
"""

from __future__ import annotations

import hmac
import socket
import socketserver
import sys
import threading
from collections import Counter
from typing import Any

from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import IstatError
from istat_server.foreign import ringedit
from istat_server.foreign.ring import SLOT
from istat_server.tools.ring.transplant.messages import AROUND, Message, TransplantError
from istat_server.tools.ring.transplant.talking import AUTH, IDLE_SECONDS, Talk
from istat_server.tools.ring.transplant.trees import Tree, fill, lacking

MOST_CONNECTIONS = 4
AUTH_SECONDS = 10.0


class Server(socketserver.ThreadingTCPServer):
    """Listens from its making on; `serve_forever` answers. `totals` counts messages, buckets and refusals."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, tree: Tree, host: str, port: int, token: str, clock: Clock, verbose: bool = False) -> None:
        """token: what clients must show; "" for none. port: 0 takes a free one. OSError."""
        self.tree, self.token, self.clock, self.verbose = tree, token.encode(), clock, verbose
        self.totals: Counter[str] = tree.totals
        self._lock = threading.Lock()
        self._free = threading.Semaphore(MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Connection)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether one more connection may be served now. See socketserver."""
        taken = self._free.acquire(blocking=False)
        if not taken:
            self.count(turned_away=1)
        return taken

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What ended a connection, in a line. See socketserver."""
        error = sys.exc_info()[1]
        self.count(broken=1)
        print(printable(f"{client_address[0]}: {error}"), file=sys.stderr)

    def count(self, **more: int) -> None:
        """Add to the totals; threads do so at once."""
        with self._lock:
            self.totals.update(more)

    def answer(self, message: Message) -> Message:
        """What to say to a message, once its buckets are in the file."""
        path = self.tree.file(message.path)
        if path is None or message.end < message.start:
            self.count(unknown=1)
            return message._replace(slots=b"")
        with self._lock:
            try:
                edit = ringedit.load(path)
                reply = lacking(edit, message)
                totals = fill(edit, message, self.clock.now())
                if edit.changed:
                    ringedit.save(path, edit)
            except (IstatError, OSError) as error:
                self.totals.update(damaged=1)
                print(printable(str(error)), file=sys.stderr)
                return message._replace(slots=b"")
            self.totals.update(totals + Counter(files=1))
        if self.verbose:
            told = ", ".join(f"{number} {name}" for name, number in totals.items())
            print(printable(f"{path}: {told}; {len(reply.slots) // SLOT.size} sent"), file=sys.stderr)
        return reply


class Connection(socketserver.BaseRequestHandler):
    """One client."""

    server: Server

    def handle(self) -> None:
        """Message after message, until the client ends."""
        talk = Talk(self.request, AROUND)
        if self.server.token:
            self._expect_token(talk)
        talk.most = self.server.tree.most_message
        while (message := talk.receive(IDLE_SECONDS)) is not None:
            talk.send(self.server.answer(message))

    def _expect_token(self, talk: Talk) -> None:
        first = talk.receive(AUTH_SECONDS, AUTH_SECONDS)
        shown = first.path.removeprefix(AUTH + b" ") if first is not None else b""
        if first is None or not first.path.startswith(AUTH + b" ") or not hmac.compare_digest(shown, self.server.token):
            self.server.count(without_token=1)
            raise TransplantError("shows no token, or a wrong one")
        talk.send(Message(AUTH, 0, 0))
