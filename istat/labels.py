"""Names of things that come and go (mount points, devices, interfaces) as components of counters' names: each its own.

Knows what a component of a name can hold, and nothing of what the things are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

ESCAPE = "~"  # no plain label has it; a name can, and neither URLs nor shells make anything of it
MOST_REMEMBERED = 10_000  # labels; containers' things with ever new names must not fill the memory
ORDINARY = re.compile(rb"[a-z0-9-]")


class Labels:
    """The components for things of one kind.

    A thing has its plain label as long as no other has the same one. Then it stays with that in which nothing but the
    separator was replaced (`var/lib` is `var_lib`), and all others have their exact one: `_` for the separator, and `~`
    with two hexadecimal digits for each byte that is no lower-case letter, digit or `-`, so that `var_lib` is
    `var~5flib`. Two exact ones are never equal, and none equals a plain one.
    """

    def __init__(self, plain: Callable[[str], str], separator: str) -> None:
        """`plain`: a thing's label where that is no other's, without any `~`."""
        self._plain, self._separator = plain, separator.encode()
        self._sharing: dict[str, set[str]] = {}  # plain label -> the things that have had it

    def of(self, things: Iterable[str]) -> dict[str, str]:
        """Thing -> label. What has gone is remembered, so that the others do not change their names when it goes."""
        present = list(things)
        if len(self._sharing) > MOST_REMEMBERED:
            self._sharing.clear()
        for thing in present:
            self._sharing.setdefault(self._plain(thing), set()).add(thing)
        return {thing: self._label(thing) for thing in present}

    def _label(self, thing: str) -> str:
        plain = self._plain(thing)
        sharing = self._sharing[plain]
        if len(sharing) == 1:
            return plain
        faithful = sorted((one for one in sharing if ESCAPE not in self._exact(one)), key=len)
        if faithful[:1] == [thing]:
            return plain
        exact = self._exact(thing)
        return exact if ESCAPE in exact else f"{ESCAPE}{exact}"  # `root`, where the plain label of `` is `root`

    def _exact(self, thing: str) -> str:
        data = thing.encode("utf-8", "surrogateescape")
        return "".join(map(self._written, (data[i:i + 1] for i in range(len(data)))))

    def _written(self, byte: bytes) -> str:
        if byte == self._separator:
            return "_"
        return byte.decode() if ORDINARY.match(byte) else f"{ESCAPE}{byte.hex()}"
