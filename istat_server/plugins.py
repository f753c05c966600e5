"""Finds the server's plugins, and asks each for what it declares: its settings and its metrics.

What is wrong with one becomes a sentence that names it; the server starts with all of its plugins, or not at all. It
knows no setting's value, and nothing of what plugins do later.
"""
from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pluggy

from istat.daemon import missing
from istat.errors import IstatError, PluginError
from istat.metrics import Metric
from istat.settings.setting import TABLES, PluginSettings
from istat_server import hookspecs
from istat_server.hookspecs import HOOKS, PROJECT
from istat_server.selfmetrics import exposed_name

#: A metric of a plugin's: below `plugins.NAME.`; at the end it may vary.
METRIC = re.compile(r"plugins\.([a-z][a-z0-9_-]*)\.(?:[a-z0-9_-]+\.)*(?:[a-z0-9_-]+|<kind>)")


class Found(NamedTuple):
    """The plugins, what they declare, and what is wrong with them: a sentence each, None for nothing."""

    manager: pluggy.PluginManager
    settings: tuple[PluginSettings, ...]
    metrics: tuple[Metric, ...]
    problem: PluginError | None


def find_plugins(builtin: Sequence[object] = (), *, installed: bool = True) -> Found:
    """These plugins, then those with an entry point of the group `istat_server`. Raises nothing for a plugin's sake."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    problems: list[str] = []
    for plugin in builtin:
        _add(manager, None, functools.partial(_itself, plugin), problems)
    entries = importlib.metadata.entry_points(group=PROJECT) if installed else ()
    for entry in sorted(entries, key=lambda entry: entry.name):
        _add(manager, entry, entry.load, problems)
    owners: dict[str, str] = {}
    settings = tuple(_declared(manager, "istat_settings", PluginSettings, lambda one: one.name, owners, problems))
    metrics = tuple(_declared(manager, "istat_metrics", Metric, _whose, owners, problems))
    problems += _told_twice(settings, metrics)
    return Found(manager, settings, metrics, PluginError("\n".join(problems)) if problems else None)


def plugin_manager(builtin: Sequence[object] = (), *, installed: bool = True) -> pluggy.PluginManager:
    """A manager with these plugins, then the installed ones. PluginError says which do not fit."""
    found = find_plugins(builtin, installed=installed)
    if found.problem is not None:
        raise found.problem
    return found.manager


def of_each(manager: pluggy.PluginManager, hook: str, **arguments: object) -> Iterator[tuple[str, list[Any]]]:
    """(plugin's name, what it gives) of each plugin that has this hook, in the order in which they were registered.

    PluginError names the one that raises, or gives no list.
    """
    for found in getattr(manager.hook, hook).get_hookimpls():
        try:
            given = list(_asked(found, arguments) or ())
        except IstatError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"the plugin {found.plugin_name}: {hook}: {missing.told(error)}") from error
        yield found.plugin_name, given


def first_of(manager: pluggy.PluginManager, hook: str, **arguments: object) -> tuple[str, Any]:
    """(plugin's name, what it gives) of the first plugin that gives more than None, the one registered last asked first
    as pluggy does; ("", None) when there is none.

    PluginError names the one that raises; IstatError and OSError, which may tell of a disk, are let through.
    """
    for found in reversed(getattr(manager.hook, hook).get_hookimpls()):
        try:
            given = _asked(found, arguments)
        except (IstatError, OSError):
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"the plugin {found.plugin_name}: {hook}: {missing.told(error)}") from error
        if given is not None:
            return found.plugin_name, given
    return "", None


def _asked(found: pluggy.HookImpl, arguments: Mapping[str, object]) -> Any:
    return found.function(*(arguments[name] for name in found.argnames))


def _add(manager: pluggy.PluginManager, entry: importlib.metadata.EntryPoint | None, load: Callable[[], object],
         problems: list[str]) -> None:
    """Load one plugin, see by itself whether it fits, and take it."""
    name = None if entry is None else entry.name
    plugin = None
    try:
        plugin = load()
        alone = pluggy.PluginManager(PROJECT)
        alone.add_hookspecs(hookspecs)
        alone.register(plugin, name)
        alone.check_pending()
        # pluggy's name for an object that has none is a number; its class says more.
        manager.register(plugin, name or getattr(plugin, "__name__", type(plugin).__name__))
    except pluggy.PluginValidationError as error:
        words = " ".join(str(error).split())
        problems.append(f"{_origin(entry, plugin)} does not fit: {words}; the hooks are {', '.join(HOOKS)}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
        problems.append(f"{_origin(entry, plugin)} cannot be loaded: {missing.told(error)}")


def _itself(plugin: object) -> object:
    return plugin


def _origin(entry: importlib.metadata.EntryPoint | None, plugin: object) -> str:
    if entry is None:
        return f"the plugin {getattr(plugin, '__name__', type(plugin).__name__)}"
    return f"the plugin {entry.name} ({entry.value})"


def _declared(manager: pluggy.PluginManager, hook: str, kind: type, whose: Callable[[Any], str],
              owners: dict[str, str], problems: list[str]) -> Iterator[Any]:
    """What plugins answer to a hook that asks for declarations; each NAME belongs to one plugin."""
    for found in reversed(getattr(manager.hook, hook).get_hookimpls()):
        plugin = found.plugin_name
        try:
            answer = found.function()
            declared = [answer] if isinstance(answer, PluginSettings) else list(answer)
            for one in declared:
                if not isinstance(one, kind):
                    raise PluginError(f"it gives {one!r}, which is no {kind.__name__}")
                name = whose(one)
                if owners.setdefault(name, plugin) != plugin:
                    raise PluginError(f"{TABLES}.{name} belongs to the plugin {owners[name]}; take another name")
        except PluginError as error:
            problems.append(f"the plugin {plugin}: {hook}: {error}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
            problems.append(f"the plugin {plugin}: {hook}: {missing.told(error)}")
        else:
            yield from declared


def _whose(metric: Metric) -> str:
    """The NAME of the plugin that a metric is of. PluginError for a declaration that cannot be."""
    match = METRIC.fullmatch(metric.name)
    if match is None:
        raise PluginError(f"the metric {metric.name!r} is not called plugins.NAME.SOMETHING, in lower case "
                          "(the last part may be <kind>)")
    if not metric.help or not (metric.help + metric.unit).isprintable():
        raise PluginError(f"the metric {metric.name} wants a help (and a unit) on one line")
    return match[1]


def _told_twice(settings: Sequence[PluginSettings], metrics: Sequence[Metric]) -> Iterator[str]:
    tables = [one.name for one in settings]
    yield from (f"the table {TABLES}.{name} is declared twice" for name in sorted({*tables}) if tables.count(name) > 1)
    names = [exposed_name(metric) for metric in metrics]
    yield from (f"two metrics of plugins have the name {name} for Prometheus"
                for name in sorted({*names}) if names.count(name) > 1)
