"""Our settings files made of one of istatd's: which of them it means, their text, and how they come to their place.

Knows the table of istatd's flags; looks at no store.
"""
from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from istat.access.replacing import replacing
from istat.daemon.listening.binding import ONE_OF
from istat.errors import IstatError, SettingsError
from istat.exporter.options import SETTINGS as EXPORTER
from istat.settings import dialect, istatd
from istat.settings.declaration import MOST_FILE
from istat.settings.dialect import Dialect, Given
from istat.settings.setting import comment
from istat.settings.types import HostPort
from istat_server.options import DECLARATION, STAT_PORT

# What scripts that start a daemon say; a service of systemd needs none of it, and may not do some of it.
OF_SCRIPTS = ("daemonize", "pid-file", "log-file", "user")
WORDS = ("user", "host", "tags", "server")      # text, also where it is all digits
LOOKED = "istat-agent looks at the machine, as agent.toml says"
OPEN = ("istatd took changes of its settings (dashboards, accounts) from everybody. Here they want the write-token or "
        "the admin-token, unless you say so:")
ADMIN = ("Commands of admin-port that change or delete want a line `auth TOKEN` first, with this token. On an address "
         "of this machine admin-open = true does without, as istatd did:")


@dataclass(frozen=True)
class Before:
    """What a file of istatd's says, as the settings of both our daemons, what of it does nothing here, and what
    something else."""

    path: Path
    server: Given
    agent: Given
    idle: Mapping[str, str]
    other: Mapping[str, str]

    @property
    def store(self) -> Path | None:
        """Where its counters are, if it keeps some."""
        return Path(os.path.abspath(self.server["store"])) if self.server.get("store") else None

    @property
    def looks_at_machine(self) -> bool:
        """Whether its daemon did what an agent does here."""
        return istatd.LOCAL_STATS in self.agent

    def tells(self) -> Iterator[str]:
        """What is not as it was, and why."""
        yield from (f"Not taken over: --{name}: {why}" for name, why in self.idle.items())
        yield from (f"Other than before: --{name}: {why}" for name, why in self.other.items())

    def reached(self, listens: str, port: str, usual: int) -> str:
        """HOST:PORT of the server on its own machine, by the settings that say where it listens; the usual port where
        it has none."""
        listen, number = self.server.get(listens, ""), self.server.get(port, "")
        return str(HostPort(ONE_OF.get(listen, listen), int(number) if number.isdigit() else usual))

    @property
    def settings(self) -> Path | None:
        """Where it says that its settings are."""
        return Path(self.server["settings"]) if self.store and self.server.get("settings") else None


def read(path: Path) -> Before:
    """IstatError for a file that cannot be read, SettingsError for what is wrong in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE + 1)
    except OSError as error:
        raise IstatError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST_FILE:
        raise SettingsError([f"{path} has more than {MOST_FILE:,} bytes: name the right one"])
    text = data.decode("utf-8-sig", errors="surrogateescape")       # comments are in whatever coding
    if not dialect.is_istatds(text):
        raise SettingsError([f"{path} is no configuration file of istatd: its first line that says something is no "
                             "--NAME VALUE"])
    server = dialect.read(text, str(path), istatd.SERVER, DECLARATION.valued)
    if server.problems:
        raise SettingsError(server.problems)
    agent = dialect.read(text, str(path), istatd.AGENT, DECLARATION.valued)
    if not server.given.get("store") and "forward" not in agent.given:
        raise SettingsError([f"{path} names neither a store nor where to send to (--store, --agent)"])
    _complete(istatd.SERVER, server.given)
    _complete(istatd.AGENT, agent.given)
    _refuse_what_we_cannot_take(path, {**agent.given, **server.given})
    said = server if server.given.get("store") else agent
    before = Before(path, server.given, agent.given, said.idle, said.other)
    if before.store is not None and before.looks_at_machine and istatd.LOCAL_STATS in said.idle:
        said.other[istatd.LOCAL_STATS] = LOOKED
        del said.idle[istatd.LOCAL_STATS]
    return before


def _complete(program: Dialect, given: Given) -> None:
    """What is missing there is told above, where it matters."""
    list(program.complete(given, {}))


def _refuse_what_we_cannot_take(path: Path, given: Given) -> None:
    """SettingsError for values that istatd took and we do not: else the files that are written would be no use."""
    problems = [f"{path}: --{name} is not UTF-8" for name, text in given.items() if not _is_text(text)]
    for name, setting in DECLARATION.settings.items():
        try:
            setting.type.parse(given.get(name, ""))
        except ValueError as error:
            problems += [setting.wrong(f"{path}: {name}", error)] if name in given else []
    if problems:
        raise SettingsError(problems)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def texts(before: Before, store: Path) -> dict[str, str]:
    """Our files that it means, by name. One that keeps counters is a server's; one that sends them on, or looked at its
    machine, is an agent's (too)."""
    made = {}
    if before.store is not None:
        changed = {**before.server, "store": str(store), "settings": ""}
        made["server.toml"] = "\n".join(_lines("istat-server", before, changed))
    if before.store is None or before.looks_at_machine:
        given = {name: text for name, text in before.agent.items() if name in AGENTS}
        if before.store is not None:
            given.update(server=before.reached("listen-address", "stat-port", STAT_PORT), transport="tcp")
            servers = {*OF_SCRIPTS, *OF_EXPORTER, "forward", "stat-port"}
            given = {name: text for name, text in given.items() if name not in servers}
        made["agent.toml"] = "\n".join(_lines("istat-agent", before, given))
    return made


#: Settings of an agent that a file of istatd's may come to.
OF_EXPORTER = tuple(setting.name for setting in EXPORTER)
AGENTS = ("server", "transport", "forward", "stat-port", "interval", "host", "tags", "log-level", *OF_SCRIPTS,
          *OF_EXPORTER)


def _lines(program: str, before: Before, given: Mapping[str, str]) -> Iterator[str]:
    yield f"# Settings of {program}, made of {before.path} by istat migrate."
    if program == "istat-server" or before.store is None:       # else they are the server's, and told there
        for told in before.tells():
            yield from comment(told)
    for name, text in given.items():
        if not text:
            continue
        yield ""
        if name in OF_SCRIPTS:
            yield "# For scripts that start it; a service of systemd needs it not."
        yield from _notes(program, name)
        yield f"{'#' if name in OF_SCRIPTS else ''}{name} = {_value(name, text)}"
    if program == "istat-server":
        yield from ("", *comment(OPEN), "#settings-open = true")
    if program == "istat-agent" and before.looks_at_machine:
        yield from ("", "# The names and units of istatd's local-stats, where it told the same.")
        for collector in istatd.LOOKING:
            yield f"[plugins.{collector}]"
            yield from (f"{name} = {_value(name, text)}" for name, text in istatd.NAMES_OF_BEFORE.items())
    yield ""


def _notes(program: str, name: str) -> Iterator[str]:
    """What differs from istatd in what it means, or was said without words."""
    if name == "admin-port":
        yield from comment(ADMIN)
        yield '#admin-token = ""'
    if program == "istat-server" and name in istatd.LISTENERS:
        yield from comment("As before: whoever reaches this address is answered. 127.0.0.1 is this machine only.")


def _value(name: str, text: str) -> str:
    if text in ("yes", "no"):
        return "true" if text == "yes" else "false"
    return text if text.isascii() and text.isdigit() and name not in WORDS else json.dumps(text, ensure_ascii=False)


def put(place: Path, text: str) -> bool:
    """Write a settings file where there is none, or one that says nothing but comments. False: it is there already.
    IstatError for one that says something else, which stays."""
    found = None
    with suppress(FileNotFoundError):
        found = place.read_bytes()
    if found == text.encode():
        return False
    if found is not None and _says_something(found):
        raise IstatError(f"{place} is there and says something else: move it away, or name another folder with "
                         "--output")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place, "new") as file:
            if found is not None:       # who may read it is the administrator's choice
                at = place.stat()
                os.fchmod(file.fileno(), at.st_mode & 0o7777)
                with suppress(PermissionError):
                    os.fchown(file.fileno(), at.st_uid, at.st_gid)
            file.write(text.encode())
    except OSError as error:
        raise IstatError(f"cannot write {place}: {error.strerror}") from error
    return True


def _says_something(data: bytes) -> bool:
    def full(value: Any) -> bool:
        return any(map(full, value.values())) if isinstance(value, dict) else True

    try:
        return full(tomllib.loads(data.decode()))
    except ValueError:
        return True
