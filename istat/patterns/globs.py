"""Globs as automata: `*` is any run of bytes, `?` any run without dots. Knows no store."""
from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from istat.kernels import search
from istat.patterns.automata import Automaton, Places, check_pattern, determine

if TYPE_CHECKING:
    from istat.kernels.python.search import Pattern

STAR, QUESTION, DOT = b"*?."
_WILD = re.compile(rb"[*?]+")


def glob_automaton(pattern: bytes) -> Automaton:
    """`*` is any run of bytes, `?` any run without dots, all else itself; an empty pattern fits nothing. BadQuery when
    it is too long or too much.

    A place is how much of the pattern is used up. At the last star that was reached all earlier places are given up:
    whatever fits from them fits from there.
    """
    signs = _WILD.sub(lambda run: b"*" if b"*" in run[0] else b"?", check_pattern(pattern))
    stars = sum(1 << at for at, sign in enumerate(signs) if sign == STAR)
    runs = stars | sum(1 << at for at, sign in enumerate(signs) if sign == QUESTION)
    letters = sorted({*signs, DOT} - {STAR, QUESTION})
    here = dict.fromkeys(letters, 0)
    for at, sign in enumerate(signs):
        here[sign] = here.get(sign, 0) | 1 << at
    here[STAR] = here[QUESTION] = 0
    examples = [STAR, *letters]         # a star in a name is a byte like all that are not in the pattern
    classes = bytes(letters.index(byte) + 1 if byte in here and byte in letters else 0 for byte in range(256))

    def ahead(places: int) -> int:
        places |= (places & runs) << 1
        last = (places & stars).bit_length() - 1
        return places >> last << last if last > 0 else places

    def step(places: int, byte: int) -> int:
        stay = places & (stars if byte == DOT else runs)
        return ahead(stay | (places & here.get(byte, 0)) << 1)

    whole = 1 << len(signs)
    endless = whole >> 1 if signs.endswith(b"*") else 0
    places_of = Places(ahead(1) if signs else 0, lambda places: [step(places, byte) for byte in examples],
                       lambda places: bool(places & endless), lambda places: bool(places & whole))
    prefix, *literals = _WILD.split(signs)
    return determine(classes, places_of, prefix, filter(None, literals))


@lru_cache(maxsize=256)
def glob(pattern: bytes) -> Pattern:
    """A glob, ready for the kernel. BadQuery as in `glob_automaton`."""
    return search.Pattern(*glob_automaton(pattern))
