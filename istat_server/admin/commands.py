"""The commands of the admin port, each once: its words, what `help` says of it, who may give it, what it answers.

Each gives the lines of its answer; `ok` follows by itself, and whatever is wrong is raised as Huh. Knows no sockets and
no rights; what is done is done by `operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from istat_server.admin import switches
from istat_server.admin.operations import Operations

# Of purge, where it is not told: how many offline senders stay, and how long they must be gone to go [s].
KEEP, OLDER = 0, 60
HIGHEST_LEVEL = 5
# What is later is no time in Unix seconds, but in milliseconds: questions refuse it as well.
LATEST = 10**11


class Huh(Exception):
    """A command that cannot be carried out. Its text stands behind `huh? `."""


Act = Callable[[Operations, str], Iterator[str]]


@dataclass(frozen=True)
class Command:
    """A command. `free`: it wants no token. `act` is None where the session itself answers."""

    name: str
    words: str
    help: str
    act: Act | None = None
    free: bool = False


def _help(operations: Operations, words: str) -> Iterator[str]:
    for command in COMMANDS.values():
        head = f"{command.name} {command.words}".rstrip()
        yield f"{head} - {command.help}{'' if command.free else ' (wants auth)'}"


def _stats(operations: Operations, words: str) -> Iterator[str]:
    yield from operations.stats()


def _flush(operations: Operations, words: str) -> Iterator[str]:
    operations.flush()
    yield from ()


def _purge(operations: Operations, words: str) -> Iterator[str]:
    given = words.split(",") if words else []
    try:
        if len(given) > 2:
            raise ValueError
        numbers = [_whole(word) for word in given]
    except ValueError:
        yield from given
        raise Huh("purge takes how many offline senders stay, and how many seconds the others must be gone") from None
    keep, older = (*numbers, *(KEEP, OLDER)[len(numbers):])
    operations.purge(keep, older)


def _faketime(operations: Operations, words: str) -> Iterator[str]:
    if operations.fake_time is None:
        raise Huh("Not started with --fake-time.")
    given = words.split(",") if words else []
    if len(given) != 1:
        raise Huh("requires one argument (timestamp)")
    try:
        time = _whole(given[0])
    except ValueError:
        time = 0
    if not 0 < time < LATEST:
        raise Huh("a timestamp is a whole number of Unix seconds, and not 0")
    operations.set_fake_time(time)
    yield from ()


def _debug(operations: Operations, words: str) -> Iterator[str]:
    given = [word.strip() for word in words.split(",")] if words else []
    if len(given) > 2:
        raise Huh("too many arguments")
    if len(given) == 2:
        if given[1] not in ("on", "off"):
            raise Huh("a switch is on or off")
        switches.turn(given[0], given[1] == "on")
    for name in given[:1] or switches.NAMES:
        if name in switches.NAMES:
            yield f"{name}: {'on' if switches.is_on(name) else 'off'}"


def _loglevel(operations: Operations, words: str) -> Iterator[str]:
    given = words.split(",") if words else []
    try:
        levels = [_whole(word) for word in given]
    except ValueError:
        levels = [HIGHEST_LEVEL + 1]
    if len(levels) > 2 or not all(0 <= level <= HIGHEST_LEVEL for level in levels):
        raise Huh(f"loglevel must be between 0 and {HIGHEST_LEVEL}")
    if levels:
        switches.set_levels(levels)
    yield "loglevel {} {}".format(*switches.levels())


def _delete_counters(operations: Operations, words: str) -> Iterator[str]:
    names = _names(words)
    if not names:
        raise Huh("delete.ctr requires one or more counter names.")
    yield from operations.delete(names)


def _delete_patterns(operations: Operations, words: str) -> Iterator[str]:
    patterns = _names(words)
    if not patterns:
        raise Huh("delete.pattern requires one or more patterns.")
    for pattern in patterns:
        if len(pattern.split()) > 1:
            raise Huh(f"no counter has a blank in its name: put commas between patterns, in {pattern!r} too")
    for pattern in patterns:
        yield from operations.delete_matching(pattern)


def _flush_setting(operations: Operations, words: str) -> Iterator[str]:
    operations.flush_namespace(_namespace("flush.setting", words))
    yield from ()


def _load_setting(operations: Operations, words: str) -> Iterator[str]:
    operations.load_namespace(_namespace("load.setting", words))
    yield from ()


def _namespace(command: str, words: str) -> str:
    given = words.split(",") if words else []
    if len(given) != 1:
        raise Huh(f"{command} requires one argument (the name of settings)")
    return given[0].strip()


def _names(words: str) -> list[str]:
    return [name.strip() for name in words.split(",") if name.strip()]


def _whole(word: str) -> int:
    """A whole number, not negative. ValueError."""
    word = word.strip()
    if not (word.isascii() and word.isdigit() and len(word) <= 12):
        raise ValueError
    return int(word)


COMMANDS = {command.name: command for command in (
    Command("help", "", "the commands", _help, free=True),
    Command("stats", "", "ports, requests in progress, fake time", _stats, free=True),
    Command("flush", "", "write all that came so far to disk; ok when that is done", _flush, free=True),
    Command("purge", "[KEEP[,SECONDS]]", f"forget senders that are gone for more than SECONDS ({OLDER}), but for the "
            f"last KEEP ({KEEP})", _purge, free=True),
    Command("auth", "TOKEN", "show the admin-token", free=True),
    Command("quit", "", "close the connection", free=True),
    Command("delete.ctr", "NAME[,NAME...]", "delete counters", _delete_counters),
    Command("delete.pattern", "PATTERN[,PATTERN...]", "delete the counters whose names fit", _delete_patterns),
    Command("faketime", "TIME", "set the clock of a server that was started with fake-time", _faketime),
    Command("debug", "[NAME[,on|off]]", "what is logged in detail", _debug),
    Command("loglevel", "[LEVEL[,LEVEL]]", "what is logged: 0 errors, 1 warnings, 2 notices, 3 to 5 all", _loglevel),
    Command("flush.setting", "NAME", "write settings (a namespace) to disk, and read them anew when asked for",
            _flush_setting),
    Command("load.setting", "NAME", "read settings (a namespace) from their file", _load_setting),
)}
