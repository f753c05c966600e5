"""`istat send`: one sample over TCP, and a question over HTTP whether it was taken. Knows a server by istat.client.

The sample's connection tells a word of its own behind it, as metadata; the server's list of senders then shows by that
word what became of all before it.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import secrets
import ssl
import time
from typing import Any

from istat.cli import saying
from istat.cli.asking import client_of, context_of, secures
from istat.cli.tokens import takes_token
from istat.client import (
    DEFAULT_HOST,
    DEFAULT_STAT_PORT,
    TO_VARIABLE,
    URL_VARIABLE,
    QueryClient,
    StatClient,
    samples_address,
)
from istat.clock import Clock
from istat.errors import BadLine, IstatError, ServerUnreachable, UsageError
from istat.settings.types import Address
from istat.subcommands import SubCommand
from istat.unanswered import WANTS_CERT, not_believed
from istat.wire.explaining import FUTURE, explain, seconds
from istat.wire.lines import meta_line, sample_line

NAME = "send"               # of the sub-command
HTTP_PORT = 8000            # where a server of which only the stat port is known is asked
ASK_SECONDS = 3.0           # for an answer; whoever sends does not wait long
TRIES, PAUSE = 20, 0.05     # how often it is asked until the sample has been read, and how long between [s]
NEWEST = 100                # senders that are listed: ours is among the last that came
KEY = "send"                # of the metadata with our word
# What argparse takes for an option, and is a value.
NEGATIVE = re.compile(r"-(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)


def values(words: list[str]) -> list[str]:
    """The words of a command line, of `istat send` with a blank before each negative number, by which argparse knows
    that it is none of its options."""
    if words[:1] != [NAME]:
        return words                # others have options such as -0
    return [f" {word}" if NEGATIVE.fullmatch(word) else word for word in words]


def _number(text: str) -> float:
    """The value. argparse tells what is wrong with one, and what was probably meant."""
    try:
        return float(text)
    except ValueError:
        found = explain(f"name {text}".encode("utf-8", "surrogateescape"), 0)
        right = found.right.split() if found is not None else []
        wrong = (f"{found.wrong}; perhaps you mean: {right[1]}" if found is not None and len(right) == 2
                 else f"{text!r} is no number; first comes the name, then the value")
        raise argparse.ArgumentTypeError(wrong) from None


def _unix(text: str) -> int:
    """The time. As with the value."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: it wants whole Unix seconds, such as date +%s prints, "
                                         "or date -d '2012-01-01 08:00' +%s") from None


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the counter's; *NAME is an event counter")
    command.add_argument("value", type=_number, metavar="VALUE", help="a number; of events how many there were")
    command.add_argument("--to", metavar="HOST:PORT",
                         help=f"where the server takes samples (default {DEFAULT_HOST}:{DEFAULT_STAT_PORT}, or this "
                              f"port of the host in {URL_VARIABLE}); also from {TO_VARIABLE}")
    command.add_argument("--time", type=_unix, metavar="UNIX", help="its time (default: now)")
    command.add_argument("--server", default=os.environ.get(URL_VARIABLE), metavar="URL",
                         help=f"where it is asked whether the sample was taken (default port {HTTP_PORT} of the host "
                              f"in --to); also from {URL_VARIABLE}")
    command.add_argument("--unasked", action="store_true", help="send it, and do not ask what became of it")
    takes_token(command, changes=False)
    secures(command)


def _send(arguments: argparse.Namespace, clock: Clock) -> None:
    target = _target(arguments)
    line = sample_line(arguments.name, arguments.value, arguments.time)
    _check_time(arguments, clock)
    word = secrets.token_hex(8)
    asked = None if arguments.unasked else _client(arguments, target)
    with StatClient(target.host, target.port, transport="tcp", clock=clock, tls=context_of(arguments)) as client:
        client.send(line)
        client.send(meta_line(KEY, word))
        client.flush()
        why = _refusal(arguments, asked, client, word) if asked is not None and client.sent else None
    _check_sent(client, target, arguments.tls)
    if arguments.json:
        print(json.dumps({"sent": line.decode().rstrip(), "taken": None if why is None else not why, "why": why or ""}))
    if why:
        found = explain(line, clock.now())
        hint = f"; perhaps you mean: {found.right}" if found is not None and found.right else ""
        raise BadLine("refused", f"the sample was not taken: {why}{hint}")


def _target(arguments: argparse.Namespace) -> Any:
    if arguments.to is None:
        return samples_address()
    try:
        target = Address(DEFAULT_STAT_PORT).parse(arguments.to)
    except ValueError as error:
        raise UsageError(f"--to {error}") from None
    if target is None:
        raise UsageError("--to wants an address")
    return target


def _check_time(arguments: argparse.Namespace, clock: Clock) -> None:
    """UsageError for a time that is none in seconds; a word about one that this machine's clock finds ahead."""
    if arguments.time is None or arguments.time <= clock.now() + FUTURE:
        return
    meant = seconds(str(arguments.time), clock.now())
    if meant is not None and meant[1] != "seconds":
        raise UsageError(f"--time {arguments.time} is in {meant[1]}, and nothing was sent: say --time {meant[0]}")
    saying.warn(arguments, "its time is more than a minute ahead, which servers refuse; it wants Unix seconds")


def _client(arguments: argparse.Namespace, target: Any) -> QueryClient:
    """Whom to ask."""
    if not arguments.server:
        host = f"[{target.host}]" if ":" in target.host else target.host
        arguments.server = f"http://{host}:{HTTP_PORT}"
    return client_of(arguments, ASK_SECONDS)


def _refusal(arguments: argparse.Namespace, asked: QueryClient, client: StatClient, word: str) -> str | None:
    """Why the sample was not taken, "" when it was, None when that cannot be known; then that is said."""
    try:
        for _ in range(TRIES):
            rows = asked.newest_agents(NEWEST)
            sender = next((row for row in rows if row.get("metadata", {}).get(KEY) == word), None)
            if sender is not None:
                return _why(asked, sender)
            if client.ended():
                return ("who is there closes the connection, or answers: it takes no samples (is it the stat-port?), "
                        "wants TLS (--tls), or has too many connections (its log tells)")
            time.sleep(PAUSE)
        refusing = str(asked.status().get("store", {}).get("refusing", ""))
        if refusing:
            return f"the server takes none now: {refusing}"
        told = f"the server at {asked.url} does not know its sender; is it another server?"
    except IstatError as error:
        told = str(error)
    saying.warn(arguments, f"whether the sample was taken is not known: {told} (--server URL or {URL_VARIABLE} names "
                "who is asked, --unasked asks nobody)")
    return None


def _why(asked: QueryClient, sender: dict[str, Any]) -> str | None:
    """What was refused of a sender, in words. An older server does not tell."""
    refused = sender.get("refused")
    if refused is None:
        raise ServerUnreachable(f"the server at {asked.url} is too old to tell")
    if not refused:
        return ""
    helped = asked.status().get("refused_help", {})
    kinds = []
    for kind in refused:
        help = helped.get(kind, {})
        kinds.append(f"{kind}: {help['what']}; {help['cure']}" if help else kind)
    return " / ".join(kinds)


def _check_sent(client: StatClient, target: Any, tls: bool) -> None:
    """ServerUnreachable when nothing went out."""
    if client.dropped and isinstance(client.error, ssl.SSLCertVerificationError):
        raise ServerUnreachable(f"the sample was not sent: the certificate of {target} is {not_believed(client.error)}")
    if client.dropped and tls and client.error is not None and client.error.errno != errno.ECONNREFUSED:
        raise ServerUnreachable(f"the sample was not sent: no TLS with {target}: {client.error} (does it have a "
                                f"tls-cert? {WANTS_CERT})")
    if client.dropped:
        why = f": {client.error.strerror}" if client.error is not None and client.error.strerror else ""
        raise ServerUnreachable(f"cannot connect to {target}{why}; the sample was not sent (is istat-server running "
                                "there? `istat status` says what to try; another place: --to HOST:PORT, its stat-port)")


COMMAND = SubCommand(
    "Send one sample, and ask whether it was taken. A name that begins with * is an event counter.", _arguments, _send,
    "It goes over TCP, so that a server which is not there is noticed. Then the server is asked over HTTP what became "
    "of it: status 81 and the reason when it was refused; where that cannot be asked, this says so, and ends with 0. A "
    "server with samples-tls = required wants --tls.",
    (("istat send shop.queue.length 17", "A gauge: the queue is 17 long now"),
     ("istat send '*shop.orders' 3", "An event counter: three orders more"),
     ("istat send --to stats.example.net:8111 --tls --ca ca.pem shop.queue.length 17", "By TLS")),
)
