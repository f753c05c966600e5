"""By whose names the built-in collectors tell what istatd's daemon told too: ours, or istatd's (`localstat.cpu.user`).

Declared here once; each collector says which of its values are the same, and whether they are told per second or, as
istatd told them, as what came since the last reading. All others keep our names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from istat.plugin import Choice, Config, Metric, Setting

OURS, THEIRS = "ours", "istatd"
NAMING = Setting("naming", Choice(OURS, THEIRS), OURS,
                 "istatd: what its daemon told by `local-stats` too has the names (localstat...) and units of then")


class Naming:
    """The names of one collector's values."""

    def __init__(self, theirs: Mapping[str, str]) -> None:
        """theirs: our name, or the part of it that does not vary -> istatd's."""
        self._theirs = theirs
        self._chosen: Mapping[str, str] = {}

    def setup(self, config: Config) -> None:
        """Take the setting."""
        self._chosen = self._theirs if config.settings.get(NAMING.name) == THEIRS else {}

    @property
    def istatd(self) -> bool:
        """Whether istatd's names are wanted."""
        return bool(self._chosen)

    def __call__(self, ours: str) -> str:
        """What a value is to be called."""
        return self._chosen.get(ours, ours)

    def theirs(self, ours: str) -> str | None:
        """What istatd called it; None: it did not tell it, or its names are not wanted."""
        return self._chosen.get(ours)


def renamed(pairs: Iterable[tuple[str, str]], unit: str, more: str = "") -> list[Metric]:
    """The metrics by istatd's names, of (ours, theirs)."""
    return [Metric(theirs, unit, f'`{ours}` with `naming = "istatd"`{more}') for ours, theirs in pairs]
