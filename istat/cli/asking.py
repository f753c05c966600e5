"""How a command reaches a server: where it is, whom to believe, what to show and to send. Knows istat.client."""

from __future__ import annotations

import argparse
import os
import shlex
import ssl
from collections.abc import Callable
from pathlib import Path

from istat.cli import tokens
from istat.client import DEFAULT_STAT_PORT, DEFAULT_URL, TO_VARIABLE, QueryClient
from istat.client import URL_VARIABLE as URL_VARIABLE
from istat.errors import UsageError

CA_VARIABLE = "ISTAT_CA"
CERT_VARIABLE, KEY_VARIABLE = "ISTAT_CERT", "ISTAT_KEY"
TIMEOUT = 10.0      # for an answer, where the command does not say otherwise [s]
#: Environment variable -> what it is for.
ENVIRONMENT = {
    URL_VARIABLE: f"where the server answers, when there is no --server (default {DEFAULT_URL})",
    TO_VARIABLE: f"where samples are sent, HOST:PORT, when there is no --to (default port {DEFAULT_STAT_PORT} of the "
                 f"host in {URL_VARIABLE})",
    CA_VARIABLE: "the authorities to believe, when there is no --ca",
    CERT_VARIABLE: "the certificate to show, when there is no --cert",
    KEY_VARIABLE: "its key, when there is no --key",
    tokens.TOKEN_VARIABLE: "a token of the server's, for questions where it wants one",
    tokens.ADMIN_VARIABLE: "the server's admin-token, for what changes or deletes",
}
# Option -> its variable, and what it names.
FILES = {
    "ca": (CA_VARIABLE, "certificates (PEM) of the authorities that the server's may be signed by, instead of the "
                        "system's"),
    "cert": (CERT_VARIABLE, "certificate (PEM) to show to a server that wants one"),
    "key": (KEY_VARIABLE, "its key, when it is not in the same file"),
}


def asks(command: argparse.ArgumentParser, changes: bool = False) -> None:
    """The options of a command that asks a server; `changes`: it needs the admin token."""
    url = os.environ.get(URL_VARIABLE, DEFAULT_URL)
    told = url.replace("%", "%%")       # argparse formats help texts
    command.add_argument("--server", default=url, metavar="URL",
                         help=f"http:// or https://, default {told}; also from {URL_VARIABLE}")
    shows(command, changes)


def shows(command: argparse.ArgumentParser, changes: bool = False) -> None:
    """The options for what a command believes and shows of whom it asks, by whatever option that is named."""
    _takes_files(command)
    tokens.takes_token(command, changes)


def secures(command: argparse.ArgumentParser) -> None:
    """The options of a command that sends samples, with TLS or without."""
    command.add_argument("--tls", action="store_true",
                         help="encrypt it, and believe the server by its certificate only")
    _takes_files(command)


def _takes_files(command: argparse.ArgumentParser) -> None:
    for name, (variable, text) in FILES.items():
        value = os.environ.get(variable)
        command.add_argument(f"--{name}", type=Path, default=Path(value) if value else None, metavar="FILE",
                             help=f"{text}; also from {variable}")


def context_of(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """What `secures`' options mean; None is without TLS. UsageError for files that cannot be used, or are for nothing:
    a question by https:// has a use for them as well."""
    if not arguments.tls:
        for name in () if (getattr(arguments, "server", "") or "").startswith("https:") else _given(arguments):
            raise UsageError(f"--{name} is for --tls: say that, too")
        return None
    if arguments.key is not None and arguments.cert is None:
        raise UsageError("a key needs its certificate: name it, too")
    try:
        context = ssl.create_default_context(cafile=arguments.ca)
        if arguments.cert is not None:
            context.load_cert_chain(arguments.cert, arguments.key)
    except OSError as error:        # an SSLError is one, too
        named = ", ".join(str(getattr(arguments, name)) for name in FILES if getattr(arguments, name) is not None)
        raise UsageError(f"a file that TLS wants cannot be read: {error} (of {named})") from error
    return context


def _given(arguments: argparse.Namespace) -> list[str]:
    """The options of files whose values are not those of the environment."""
    return [name for name, (variable, _) in FILES.items()
            if getattr(arguments, name) is not None and str(getattr(arguments, name)) != os.environ.get(variable)]


def asking(more: Callable[[argparse.ArgumentParser], None]) -> Callable[[argparse.ArgumentParser], None]:
    """The arguments of a command that changes a server, and `more`."""
    def arguments(command: argparse.ArgumentParser) -> None:
        asks(command, changes=True)
        more(command)

    return arguments


def client_of(arguments: argparse.Namespace, timeout: float = TIMEOUT) -> QueryClient:
    """The client that the options mean. UsageError, OSError for a token that cannot be had."""
    return QueryClient(arguments.server, timeout, token=tokens.token_of(arguments), ca=arguments.ca,
                       cert=arguments.cert, key=arguments.key)


def again(arguments: argparse.Namespace) -> str:
    """The options that another command needs to ask the same server in the same way."""
    words = [] if arguments.server == os.environ.get(URL_VARIABLE, DEFAULT_URL) else ["--server", arguments.server]
    for name in _given(arguments):
        words += [f"--{name}", str(getattr(arguments, name))]
    if arguments.token_file is not None:
        words += ["--token-file", str(arguments.token_file)]
    return "".join(f" {shlex.quote(word)}" for word in words)
