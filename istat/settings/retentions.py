"""The types of settings that say for how long counters are kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from istat.errors import BadRetention
from istat.retention import Ladder, Rule, Rules
from istat.settings.types import Type, text_of


@dataclass(frozen=True)
class Retention(Type):
    """A retention rule such as "10s:10d,5m:1y9d"; its value is a Ladder."""

    word = "RULE"

    def parse(self, text: str) -> Ladder:
        """See Type.parse."""
        try:
            return Ladder.parse(text)
        except BadRetention as error:
            raise ValueError(f"wants {self.expects()}: {error}") from None

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return f'"{value.text}"'

    def expects(self) -> str:
        """See Type.expects."""
        return "a retention rule such as 10s:10d,5m:1y9d"


@dataclass(frozen=True)
class RetentionRules(Type):
    """Retention rules by name pattern; the value is a tuple of Rule.

    As text they are separated by semicolons; in TOML an array of such texts, or a table of levels by pattern.
    """

    word = "RULES"

    def parse(self, text: str) -> tuple[Rule, ...]:
        """See Type.parse."""
        return self._read([part.strip() for part in text.split(";") if part.strip()])

    def from_toml(self, value: Any) -> tuple[Rule, ...]:
        """See Type.from_toml."""
        if isinstance(value, dict):
            value = [f"{pattern} = {levels}" for pattern, levels in value.items()]
        if isinstance(value, list):
            return self._read([text_of(self, item) for item in value])
        return self.parse(text_of(self, value))

    def _read(self, texts: list[str]) -> tuple[Rule, ...]:
        try:
            return Rules(Ladder.parse(), tuple(Rule.parse(text) for text in texts)).rules
        except BadRetention as error:
            raise ValueError(f"wants {self.expects()}: {error}") from None

    def to_toml(self, value: Any) -> str:
        """See Type.to_toml."""
        return "[" + ", ".join(json.dumps(rule.text, ensure_ascii=False) for rule in value) + "]"

    def expects(self) -> str:
        """See Type.expects."""
        return "rules such as db.** = 10s:30d,1h:2y"
