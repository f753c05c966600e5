"""Loads one plugin, and takes its collectors by the door that all have (`hookspecs.istat_collectors`).

Done by the agent, and by the child of an isolated collector, which is why it imports little. Knows nothing of where
plugins are looked for.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

import pluggy

from istat import owners
from istat.access import trust
from istat.errors import PluginError
from istat.plugin import Definition, source_of
from istat_agent import hookspecs

# Modules of drop-in files are named under this prefix, so that redis.py does not hide the library `redis`.
DROP_IN_PREFIX = "istat_drop_in."


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


def load_file(path: str) -> ModuleType:
    """The module of a drop-in file, compiled anew. PluginError when others could change it; what it raises passes."""
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
