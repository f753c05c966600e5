"""What a collector's function or class may look like: it is refused at once, in words for its author, with the lines of
its definition. Knows nothing else of collectors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from istat.errors import PluginError

OFFERED = ("emit", "config")  # what a collector function may ask for


def source_of(target: object) -> str:
    """The first lines of a definition, numbered as in its file, for messages to its author; "" if unknown."""
    try:
        lines, first = inspect.getsourcelines(target)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""
    ends = [i for i, line in enumerate(lines) if line.lstrip().startswith(("def ", "class ", "async def "))]
    shown = lines[: ends[0] + 1] if ends else lines[:1]
    return "\n".join(f"    {first + i} | {line.rstrip()}" for i, line in enumerate(shown))


def where(target: object) -> str:
    """What a function or class is called, for messages."""
    return str(getattr(target, "__qualname__", target))


def wrong(target: object, sentence: str) -> PluginError:
    """An error with the definition that it is about."""
    shown = source_of(target)
    return PluginError(f"{sentence}\n{shown}" if shown else sentence)


def check_target(target: Callable[..., Any]) -> None:
    """PluginError for what cannot be a collector."""
    if not callable(target):
        raise PluginError(f"@collector goes before a function or a class, not {target!r}")
    if inspect.isclass(target):
        _check_class(target)
    else:
        _check_plain(target, target)
        _check_arguments(target, OFFERED, ("emit",), target)


def _check_plain(function: Callable[..., Any], shown: object) -> None:
    """Calling an async function, or one with a yield, does nothing at all."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise wrong(
            shown, f"{where(function)} is async; a collector is a plain function: it has a thread of its own"
        )
    if inspect.isgeneratorfunction(function):
        raise wrong(shown, f"{where(function)} has a `yield`; it tells values by emit.gauge(name, value)")


def _check_class(target: type[Any]) -> None:
    if _required(inspect.signature(target).parameters.values()):
        raise wrong(
            target,
            f"{where(target)}() needs arguments; the agent gives none, settings come to setup(self, config)",
        )
    for method, offered in (("collect", ("emit",)), ("setup", ("config",)), ("jobs", ())):
        if hasattr(target, method):
            _check_arguments(getattr(target, method), ("self", *offered), ("self", *offered), target)
    if hasattr(target, "collect"):
        _check_plain(target.collect, target)
    if not hasattr(target, "collect") and not hasattr(target, "jobs"):
        raise wrong(target, f"{where(target)} has neither collect(self, emit) nor jobs(self)")


def _required(parameters: Iterable[inspect.Parameter]) -> list[str]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


def _check_arguments(
    function: Callable[..., Any], offered: Sequence[str], needed: Sequence[str], shown: object
) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    names = [p.name for p in parameters]
    extra = [name for name in _required(parameters) if name not in offered]
    missing = [name for name in needed if name not in names]
    definition = f"{where(function)}({', '.join(names)})"
    may = f"it can have ({', '.join(offered)})"
    if extra:
        raise wrong(shown, f"{definition} asks for {', '.join(map(repr, extra))}; {may}")
    if missing:
        raise wrong(shown, f"{definition} does not take {', '.join(map(repr, missing))}; {may}")
