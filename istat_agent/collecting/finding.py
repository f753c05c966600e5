"""Finds collectors: the built-in ones, entry points of group `istat_agent.plugins`, and drop-in `*.py` files.

All three go through one door (`hookspecs.istat_collectors`). A plugin that cannot be loaded becomes one
message for its author and stops nothing else. It knows nothing of schedules, options' values or the wire.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn

import pluggy

from istat import owners
from istat.access import dropin, trust
from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import Definition, source_of
from istat_agent import hookspecs

ENTRY_POINTS = "istat_agent.plugins"
# In a checkout the built-in plugins lie in plugins/ beside this package; installed they have another name.
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT_IN = ("plugins", "istat_plugins") if os.path.exists(f"{CHECKOUT}/setup.py") else ("istat_plugins",)
# Modules of drop-in files are named under this prefix, so that redis.py does not hide the library `redis`.
DROP_IN_PREFIX = "istat_drop_in."


@dataclass(frozen=True)
class Found:
    """A collector and the plugin that brought it."""

    # None of one that is never imported here, since it is isolated: what it declares is known by its child only.
    definition: Definition | None
    origin: str  # for messages: the path, or the entry point
    own: bool = False  # one of ours; all others are foreign
    path: str | None = None  # of a drop-in file
    entry: str | None = None  # of an entry point: what it names, MODULE or MODULE:ATTRIBUTE
    stamp: str = ""  # another one when the plugin has changed
    isolated: str = ""  # why it is to run in a child, "" for one that need not; settings may say so besides
    called: str = ""  # its name, where there is no definition

    @property
    def name(self) -> str:
        """The collector's name."""
        return self.called if self.definition is None else self.definition.name


@dataclass
class Collection:
    """What a search found: collectors by name, and a message per plugin that could not be used."""

    found: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, origin: str, load: Callable[[], object]) -> None:
        """Load one plugin and take its collectors, or the message that says why not."""
        try:
            definitions = definitions_of(origin, load())
        except PluginError as error:
            self.problems.append(f"{origin}: {error}")
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
            self.problems.append(f"{origin}: {missing.told(error)}")
            return
        for definition in definitions:
            earlier = self.found.get(definition.name)
            if earlier is not None:
                self.problems.append(
                    f"{origin}: collector {definition.name!r} is already defined by {earlier.origin};"
                    " give it another name: @collector(name=...)"
                )
                continue
            self.found[definition.name] = Found(definition, origin)


def discover(plugin_dirs: Sequence[str]) -> Collection:
    """Everything that can be found: built-in, installed, then dropped into `plugin_dirs`. Never raises."""
    collection = Collection()
    for origin, load in _sources(plugin_dirs):
        collection.add(origin, load)
    return collection


def definitions_of(origin: str, plugin: object) -> list[Definition]:
    """The collectors of one loaded plugin: a module, or any object with the hook.

    Each plugin is registered with a manager of its own, so that one which fails half-way leaves nothing
    behind. PluginError names hook and argument, and shows the plugin's own definition.
    """
    if isinstance(plugin, Definition):  # an entry point may name the decorated function itself
        return [plugin]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, origin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_explain(plugin, error)) from error
    if manager.hook.istat_collectors.get_hookimpls():
        answers = manager.hook.istat_collectors()
    else:
        answers = [[v for v in vars(plugin).values() if isinstance(v, Definition)]]
    definitions = [definition for answer in answers for definition in _checked(answer)]
    if not definitions:
        raise PluginError("holds no collector: put @collector() before a function collect(emit); if it is a script "
                          "that prints values, give it a name without .py")
    return definitions


def _checked(answer: object) -> list[Definition]:
    if not isinstance(answer, (list, tuple)) or not all(isinstance(d, Definition) for d in answer):
        raise PluginError(
            f"istat_collectors() must return a list of what @collector returned, not {answer!r}"
        )
    return list(answer)


def _sources(plugin_dirs: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    package = built_in_package()
    if package is not None:
        for module in pkgutil.iter_modules(package.__path__):
            if module.ispkg:
                name = f"{package.__name__}.{module.name}.collector"
                yield f"built-in {module.name}", functools.partial(importlib.import_module, name)
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        yield f"entry point {entry.name} ({entry.value})", entry.load
    for folder in plugin_dirs:
        yield from _drop_ins(folder)


def _drop_ins(folder: str) -> Iterator[tuple[str, Callable[[], object]]]:
    try:
        paths = dropin.python_files([folder])
    except OSError as error:
        yield folder, functools.partial(_refuse, f"cannot be read: {error.strerror}")
        return
    for path in paths:
        yield path, functools.partial(_load_file, path)


def _refuse(reason: str) -> object:
    raise PluginError(reason)


def built_in_package() -> ModuleType | None:
    """The package of the built-in collectors, or None where it is not installed."""
    for name in BUILT_IN:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if getattr(package, "ISTAT_BUILT_IN", False):
            return package
    return None


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Takes a file that nobody else could change, and no other than the one of which that was seen. Leaves no byte code
    in a drop-in folder, and takes none that is left there: it would hide a change that keeps a file's size, within the
    second."""

    def path_stats(self, path: Any) -> NoReturn:
        """SourceLoader: without these neither is done."""
        raise OSError(f"{path} is always compiled")

    def get_data(self, path: str) -> bytes:
        """The file's bytes. PluginError when others could change it."""
        try:
            return trust.read(path)
        except PluginError as error:
            raise PluginError(f"not loaded: {error}") from None
        except PermissionError as error:
            raise PluginError(f"not loaded: {error.strerror}{owners.refused(path)}") from None


def _load_file(path: str) -> ModuleType:
    name = DROP_IN_PREFIX + os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, path))
    if spec is None or spec.loader is None:
        raise PluginError("cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explain(plugin: object, error: Exception) -> str:
    """pluggy's refusal, with the plugin's own definition and the hook's below it."""
    lines = [str(error).replace("\n", "; ")]
    for name in dir(plugin):
        member = getattr(plugin, name)
        if name.startswith("istat_") and callable(member) and hasattr(member, f"{hookspecs.PROJECT}_impl"):
            lines += [source_of(member), "the agent has these hooks: istat_collectors()"]
    return "\n".join(line for line in lines if line)
