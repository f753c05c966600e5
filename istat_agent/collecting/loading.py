"""Loads one plugin, a drop-in file or what an entry point names, and takes its collectors by the door that all have
(`hookspecs.istat_collectors`).

Done by the agent, and by the child of an isolated collector, which is why it imports little. What cannot be used is one
message for its author. Knows nothing of where plugins are looked for.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import pluggy

from istat import owners
from istat.access import trust
from istat.errors import PluginError
from istat.plugin import API_VERSION, Definition, source_of
from istat_agent import hookspecs, names

# Modules of drop-in files are named under this prefix, so that redis.py does not hide the library `redis`.
DROP_IN_PREFIX = "istat_drop_in."
HOOKS: dict[str, Callable[..., Any]] = {name: hook for name, hook in vars(hookspecs).items()
                                        if name.startswith("istat_")}
MOST_TAGS = 8  # of a plugin
MOST_SOURCE = 1024 * 1024  # bytes of a drop-in file: who needs more has a package


def read(path: str) -> bytes:
    """A plugin's source. PluginError when others could change the file, and when it cannot be read."""
    try:
        source = trust.read(path, MOST_SOURCE + 1)
    except PluginError as error:
        raise PluginError(f"not loaded: {error}") from None
    except PermissionError as error:
        raise PluginError(f"not loaded: {error.strerror}{owners.refused(path)}") from None
    except OSError as error:
        raise PluginError(f"not loaded: {error.strerror}") from None
    if len(source) > MOST_SOURCE:
        raise PluginError(f"not loaded: it has more than {MOST_SOURCE} bytes; make a package of it")
    return source


def stem(path: str) -> str:
    """The name that a file's collector has by default."""
    return os.path.basename(path).removesuffix(".py")


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Takes the bytes that were read when it was seen that nobody else could change them. Leaves no byte code in a
    drop-in folder, and takes none that is left there: it would hide a change that keeps a file's size, within the
    second."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def path_stats(self, path: Any) -> NoReturn:
        """SourceLoader: without these neither is done."""
        raise OSError(f"{path} is always compiled")

    def get_data(self, path: str) -> bytes:
        """The file's bytes."""
        return self._source


def load_file(path: str, source: bytes | None = None) -> ModuleType:
    """The module of a drop-in file, fresh; PluginError as in `read`, and whatever the file raises. One that was loaded
    from a file of this name before is forgotten when all went well."""
    source = read(path) if source is None else source
    name = DROP_IN_PREFIX + stem(path)
    loader = _FreshLoader(name, path, source)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise PluginError("cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up by name
    try:
        loader.exec_module(module)
    except BaseException:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
        raise
    loader._source = b""  # it stays as long as the module; a traceback reads the file
    return module


def forget_file(path: str) -> None:
    """Let go of the module of a file that is no collector any more."""
    name = DROP_IN_PREFIX + stem(path)
    if getattr(sys.modules.get(name), "__file__", None) == path:
        del sys.modules[name]


def entry_file(value: str) -> str | None:
    """The source file of what an entry point names, found without importing anything; None for what has none."""
    locations: Any = None
    found = None
    for count, _ in enumerate(parts := value.partition(":")[0].strip().split("."), 1):
        found = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), locations)
        if found is None:
            return None
        locations = found.submodule_search_locations
    return found.origin if found is not None and (found.origin or "").endswith(".py") else None


def load_entry(value: str) -> object:
    """What an entry point names: MODULE or MODULE:ATTRIBUTE. Whatever its import raises."""
    name, _, attributes = value.partition(":")
    found: object = importlib.import_module(name.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        found = getattr(found, attribute)
    return found


def forget_package(value: str) -> None:
    """Let go of the modules that an entry point's import brought, all but compiled ones: it has changed."""
    top = value.partition(":")[0].strip().partition(".")[0]
    if top in ("istat", "istat_agent"):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == top and str(getattr(module, "__file__", None) or "").endswith(".py"):
            del sys.modules[name]


def definitions_of(origin: str, plugin: object) -> list[Definition]:
    """The collectors of one loaded plugin: a module, or any object with the hook.

    Each plugin is registered with a manager of its own, so that one which fails half-way leaves nothing
    behind. PluginError names hook and argument, and shows the plugin's own definition.
    """
    _check_version(plugin)
    if isinstance(plugin, Definition):  # an entry point may name the decorated function itself
        return [plugin]
    manager = _manager(origin, plugin)
    if manager.hook.istat_collectors.get_hookimpls():
        answers = manager.hook.istat_collectors()
    else:
        answers = [[v for v in vars(plugin).values() if isinstance(v, Definition)]]
    definitions = [definition for answer in answers for definition in _checked(answer)]
    if not definitions and not manager.hook.istat_tags.get_hookimpls():
        raise PluginError("holds no collector: put @collector() before a function collect(emit); if it is a script "
                          "that prints values, give it a name without .py")
    return definitions


def tags_of(origin: str, plugin: object, host: str) -> tuple[str, ...]:
    """The tags that a loaded plugin has for this machine. PluginError, and whatever its hook raises."""
    if isinstance(plugin, Definition):
        return ()
    tags: list[str] = []
    for answer in _manager(origin, plugin).hook.istat_tags(host=host):
        if not isinstance(answer, (list, tuple)) or not all(isinstance(tag, str) for tag in answer):
            raise PluginError(f"istat_tags() must return a list of texts such as 'zone.eu1', not {answer!r}")
        tags += answer
    wrong = next((tag for tag in tags if not names.TAG.match(tag)), None)
    if wrong is not None:
        raise PluginError(f"istat_tags(): {wrong!r} is no tag: it is empty, or has a blank, a caret or a star")
    if len(tags) > MOST_TAGS:
        raise PluginError(f"istat_tags() returned {len(tags)} tags; {MOST_TAGS} are taken, as each makes one more "
                          "counter of every name")
    return tuple(tags)


def _manager(origin: str, plugin: object) -> pluggy.PluginManager:
    """One for this plugin alone. PluginError."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, origin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_explain(plugin, error)) from error
    return manager


def is_asked_anew(plugin: object) -> bool:
    """Whether a plugin implements a hook, whose answer may be another one each time that it is asked."""
    return any(name in HOOKS and hasattr(member, f"{hookspecs.PROJECT}_impl")
               for name, member in getattr(plugin, "__dict__", {}).items())


def _check_version(plugin: object) -> None:
    """PluginError for a plugin written for what we do not offer."""
    if isinstance(plugin, Definition):
        plugin = sys.modules.get(getattr(plugin.target, "__module__", ""))
    wanted = getattr(plugin, "ISTAT_API", None)
    if wanted is None:
        return
    numbers = str(wanted).split(".") if isinstance(wanted, str) else []
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise PluginError(f"ISTAT_API = {wanted!r}: write what it was written for as MAJOR.MINOR, such as "
                          f"{API_VERSION!r}")
    major, minor = map(int, numbers)
    our_major, our_minor = map(int, API_VERSION.split("."))
    if major != our_major or minor > our_minor:
        cure = "install a newer istatd" if (major, minor) > (our_major, our_minor) else "it has to be written anew"
        raise PluginError(f"it was written for version {wanted} of istatd's plugins, and this is {API_VERSION}: {cure}")


def _checked(answer: object) -> list[Definition]:
    if not isinstance(answer, (list, tuple)) or not all(isinstance(d, Definition) for d in answer):
        raise PluginError(
            f"istat_collectors() must return a list of what @collector returned, not {answer!r}"
        )
    return list(answer)


def _signature(hook: Callable[..., Any]) -> str:
    return f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})"


def _explain(plugin: object, error: Exception) -> str:
    """pluggy's refusal, with the plugin's own definition and the hook's below it."""
    lines = [str(error).replace("\n", "; ")]
    for name in dir(plugin):
        member = getattr(plugin, name)
        if name.startswith("istat_") and callable(member) and hasattr(member, f"{hookspecs.PROJECT}_impl"):
            lines += [source_of(member), f"the agent has these hooks: {', '.join(map(_signature, HOOKS.values()))}"]
    return "\n".join(line for line in lines if line)
