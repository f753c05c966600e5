"""JSON held against a JSON Schema of the documentation, with as much of that language as ours use."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FORMATS = Path(__file__).parents[2] / "docs/formats"
TYPES = {"object": (dict,), "array": (list,), "string": (str,), "null": (type(None),), "integer": (int,),
         "number": (int, float)}
KNOWN = {"$schema", "$defs", "$ref", "type", "const", "enum", "items", "required", "properties",
         "additionalProperties"}


def schema(page: str) -> dict[str, Any]:
    """The one that a page of docs/formats has."""
    found = re.search(r"```json\n(.*?)```", (FORMATS / page).read_text(), re.DOTALL)
    assert found is not None
    made: dict[str, Any] = json.loads(found[1])
    return made


def check(value: Any, rule: dict[str, Any], root: dict[str, Any]) -> None:
    """AssertionError where a value is not as a rule of the schema wants it."""
    assert set(rule) <= KNOWN
    if "$ref" in rule:
        check(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root)
        return
    kinds = rule.get("type", list(TYPES))
    allowed = [one for kind in ([kinds] if isinstance(kinds, str) else kinds) for one in TYPES[kind]]
    assert isinstance(value, tuple(allowed)), (value, rule)
    assert value == rule.get("const", value) and value in rule.get("enum", [value]), (value, rule)
    for one in value if isinstance(value, list) else ():
        check(one, rule.get("items", {}), root)
    if isinstance(value, dict):
        assert set(rule.get("required", ())) <= set(value), (value, rule)
        for key, one in value.items():
            other = rule.get("properties", {}).get(key, rule.get("additionalProperties", {}))
            assert other is not False, (key, rule)
            check(one, other, root)
