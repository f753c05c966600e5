"""The door for sub-commands of `istat` that other packages bring: an entry point of the group `istat.commands`.

The entry point's name is the sub-command's, its object a `SubCommand`. Only the one that is asked for is loaded, so
that `istat ls` does not import a store; all are for `istat --help`. Knows argparse and entry points, no package.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
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
    what it is for.
    """

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    action: Action
    more: str = ""
    examples: tuple[tuple[str, str], ...] = ()


def installed() -> dict[str, Load]:
    """Name -> how to load it, of all sub-commands that installed packages bring."""
    return {entry.name: entry.load for entry in entry_points(group=GROUP)}


def wanted(found: Mapping[str, Load], words: Iterable[str], own: Container[str]) -> dict[str, SubCommand]:
    """Those of `found` that the words of a command line may mean: the first one that names a command, else all.

    PluginError when one cannot be loaded, but only if it is the one that was asked for.
    """
    first = next((word for word in words if not word.startswith("-")), "")
    if first in own:
        return {}
    if first in found:
        return {first: _load(first, found[first])}
    loaded = {}
    for name, load in sorted(found.items()):
        if name in own:
            continue
        try:
            loaded[name] = _load(name, load)
        except PluginError:
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
