"""The door for sub-commands of `istat` that other packages bring: an entry point of the group `istat.commands`.

The entry point's name is the sub-command's, its object a `SubCommand`. Only the one that is asked for is loaded, so
that `istat ls` does not import a store; all are for `istat --help`. Knows argparse and entry points, no package.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from istat.clock import Clock
from istat.errors import PluginError

GROUP = "istat.commands"

Action = Callable[[argparse.Namespace, Clock], None]
Load = Callable[[], object]


@dataclass(frozen=True)
class SubCommand:
    """One sub-command. `--json` is always among its options; `action` prints, and raises IstatError in a sentence.

    `more`: what --help and the manual page say beyond the sentence `help`; `examples`: command lines, each with
    what it is for. `parts`: what is typed behind its name and is a command of its own, as `istat fadvise run`.
    """

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    action: Action
    more: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    parts: Mapping[str, SubCommand] = field(default_factory=dict)


def with_parts(commands: Mapping[str, SubCommand]) -> dict[str, SubCommand]:
    """The same, and what is typed behind their names, by both with a blank between."""
    return {**commands, **{f"{name} {part}": inner for name, one in commands.items()
                           for part, inner in one.parts.items()}}


@dataclass(frozen=True)
class Group:
    """Sub-commands that are typed behind one word, as `istat cube show`. `parts`: name -> how to load each."""

    help: str
    parts: Mapping[str, Load]


def asked_of(groups: Mapping[str, Group], words: Iterable[str]) -> dict[str, SubCommand]:
    """The sub-commands of groups that the words of a command line may mean: the one that they name, else all of its
    group, else those of all groups. By the group's name and their own, with a blank between. PluginError as of
    `wanted`."""
    first, second = _first_two(words)
    found = {f"{name} {part}": load for name, group in groups.items() if first in ("", name)
             for part, load in group.parts.items() if second == part or second not in group.parts}
    return _loaded(found, strict=bool(first))


def _first_two(words: Iterable[str]) -> tuple[str, str]:
    """The first two words of a command line that are no options: what is asked for."""
    named = [word for word in words if not word.startswith("-")]
    return (named[0] if named else ""), (named[1] if len(named) > 1 else "")


def installed() -> dict[str, Load]:
    """Name -> how to load it, of all sub-commands that installed packages bring."""
    return {entry.name: entry.load for entry in entry_points(group=GROUP)}


def wanted(found: Mapping[str, Load], words: Iterable[str], own: Container[str]) -> dict[str, SubCommand]:
    """Those of `found` that the words of a command line may mean: the first one that names a command, else all.

    PluginError when one cannot be loaded, but only if it is the one that was asked for.
    """
    first, _ = _first_two(words)
    if first in own:
        return {}
    if first in found:
        return {first: _load(first, found[first])}
    return _loaded({name: load for name, load in sorted(found.items()) if name not in own}, strict=False)


def _loaded(found: Mapping[str, Load], strict: bool) -> dict[str, SubCommand]:
    loaded = {}
    for name, load in found.items():
        try:
            loaded[name] = _load(name, load)
        except PluginError:
            if strict:
                raise
            continue            # `istat --help` must not fail for one that is broken; asking for it says why
    return loaded


def _load(name: str, load: Load) -> SubCommand:
    try:
        made = load()
    except Exception as error:  # noqa: BLE001 - other packages' code, imported for the first time
        raise PluginError(f"the command {name} cannot be loaded: {error!r}") from error
    if not isinstance(made, SubCommand):
        raise PluginError(f"the command {name} cannot be used: its entry point is no istat.subcommands.SubCommand")
    return made
