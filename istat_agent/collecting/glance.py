"""What a plugin's source says of its collectors before it is imported: their names, and whether they are isolated.

What does not stand there in plain words is not known: a name or an `isolated` that is computed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

MODULE, DECORATOR = "istat.plugin", "collector"


@dataclass(frozen=True)
class Glance:
    """`names`: of the collectors, None for one that is computed; `isolated`: those that say so themselves."""

    names: tuple[str | None, ...]
    isolated: frozenset[str | None]


def glance(source: bytes, path: str, default: str) -> Glance:
    """Look at the syntax tree. `default`: the name of a collector that has none of its own. SyntaxError, ValueError."""
    names: list[str | None] = []
    isolated: set[str | None] = set()
    tree = ast.parse(source, path)
    called = _called(tree)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _name_of(decorator.func) in called:
                name = _own_name(decorator, default)
                names.append(name)
                if _says_isolated(decorator):
                    isolated.add(name)
    return Glance(tuple(names), frozenset(isolated))


def _called(tree: ast.Module) -> set[str]:
    """What the decorator is called in this file."""
    found = {DECORATOR}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == MODULE:
            found |= {alias.asname for alias in node.names if alias.name == DECORATOR and alias.asname}
    return found


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _own_name(call: ast.Call, default: str) -> str | None:
    given = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "name")]
    if not given:
        return None if any(word.arg is None for word in call.keywords) else default
    value = given[0].value if isinstance(given[0], ast.Constant) else 0
    if value is None:
        return default
    return value if isinstance(value, str) else None


def _says_isolated(call: ast.Call) -> bool:
    return any(word.arg == "isolated" and isinstance(word.value, ast.Constant) and word.value.value is True
               for word in call.keywords)
