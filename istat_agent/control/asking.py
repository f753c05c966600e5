"""Asks a running agent by its control socket, for the commands. Knows nothing of what is asked, and waits for nobody
longer than it is told to."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from istat import owners
from istat.access import guarded
from istat.errors import IstatError
from istat_agent.control.port import MOST, READ

CONNECT_SECONDS = 5.0  # that a full queue of questions may take


class AgentUnreachable(IstatError):
    """No agent answers at the control socket, or it is not for who asks."""

    exit_code = 120

    def __init__(self, sentence: str, absent: bool = False) -> None:
        """`absent`: there is none, or none that speaks with us, so that we may do without."""
        super().__init__(sentence)
        self.absent = absent


class Refused(AgentUnreachable):
    """The agent has refused, in its own words, with an exit code of its own."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.exit_code = status


def ask(path: str, question: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The answer of the agent that listens at `path`. AgentUnreachable, Refused; `seconds`: how long it may take."""
    try:
        guarded.check(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(path)
            sock.settimeout(seconds)
            sock.sendall(json.dumps(question).encode() + b"\n")
            line = _line(sock)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError | ConnectionRefusedError | PermissionError)
        raise AgentUnreachable(_why(error, path, seconds), absent) from None
    if not line:
        raise AgentUnreachable(f"the agent at {path} has ended the connection without an answer: its log says more")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("answer"), dict):
        answer: dict[str, Any] = told["answer"]
        return answer
    if isinstance(told, dict) and isinstance(told.get("error"), str) and isinstance(told.get("status"), int):
        raise Refused(told["error"], told["status"])
    raise AgentUnreachable(f"what listens at {path} does not answer as an agent would")


def _line(sock: socket.socket) -> bytes:
    """What comes until the agent ends the connection."""
    data = bytearray()
    while len(data) <= MOST:
        more = sock.recv(READ)
        if not more:
            return bytes(data)
        data += more
    return bytes(data)  # too long for an answer


def _why(error: OSError, path: str, seconds: float) -> str:
    """What is wrong, and what to do."""
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        left = "" if isinstance(error, FileNotFoundError) else " (one that has ended left it)"
        return (f"no agent listens at {path}{left}: start it (systemctl start istat-agent), or name the control-path "
                f"of the one that runs, by --control-path or by --config and its settings file. What one would run is "
                f"told by istat-agent --list-collectors")
    if isinstance(error, PermissionError):
        return (f"{path} is for root and for the user of the agent, and this is the user "
                f"{owners.name_of(os.geteuid())}: run it as one of them (sudo istat-agent ...)")
    if isinstance(error, TimeoutError):
        return f"the agent at {path} has not answered within {seconds:g} s: is it stuck? Its log says more"
    return f"the agent at {path} cannot be asked: {error.strerror or error}"
