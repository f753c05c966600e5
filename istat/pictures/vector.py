"""Marks as SVG, and texts in it: names of files may hold anything, also what XML has no character for. Knows no charts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from istat.pictures import colours
from istat.pictures.marks import DASHES, FAINT, INK, Box, Mark, Path, Text

LETTER, LINE = 8.0, 17.0        # [pixels] that a letter of its font is wide, but for the widest; a line of text high
FONT = "13px system-ui,sans-serif"
# Not in XML 1.0 at all, not even as a reference: control characters, halves of pairs (bytes that are no UTF-8), FFFE.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\n\r]")


def svg(width: int, height: int, title: str, marks: Sequence[Mark]) -> str:
    """An SVG file of these marks, with the colours of light and dark pages."""
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img">', f"<title>{escaped(title)}</title>", _style(), *map(_mark, marks), "</svg>", ""))


def escaped(text: str) -> str:
    """The text as XML holds it; what it cannot hold is shown as a question mark."""
    return escape(NO_XML.sub("?", text), quote=True)


def _style() -> str:
    def rules(ink: object, faint: object, series: Sequence[tuple[int, int, int]]) -> Iterator[str]:
        yield f"text{{fill:{ink}}}.k{{stroke:{ink}}}.f{{stroke:{faint}}}"
        for place, colour in enumerate(series):
            yield f".s{place}{{stroke:{colours.css(colour)}}}.b{place}{{fill:{colours.css(colour)}}}"

    light = "".join(rules(colours.css(colours.INK), colours.css(colours.FAINT), colours.SERIES))
    dark = "".join(rules(colours.css(colours.DARK_INK), colours.css(colours.DARK_FAINT), colours.DARK_SERIES))
    return (f"<style>text{{font:{FONT}}}.t{{font-weight:bold}}path{{fill:none;stroke-linejoin:round}}{light}"
            f"{colours.DARK_PAGE}{{{dark}}}</style>")


def _mark(mark: Mark) -> str:
    if isinstance(mark, Text):
        weight = ' class="t"' if mark.bold else ""
        return (f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" text-anchor="{mark.anchor}"{weight}>'
                f"{escaped(mark.text)}</text>")
    if isinstance(mark, Box):
        return (f'<rect class="b{mark.tone % len(colours.SERIES)}" x="{mark.x:.1f}" y="{mark.y:.1f}" '
                f'width="{mark.width:.1f}" height="{mark.height:.1f}"/>')
    return _path(mark)


def _path(path: Path) -> str:
    kind = {INK: "k", FAINT: "f"}.get(path.tone) or f"s{path.tone % len(colours.SERIES)}"
    through = "L".join(f"{x:.1f} {y:.1f}" for x, y in path.points)
    dash = f' stroke-dasharray="{" ".join(map(str, DASHES[path.dash]))}"' if path.dash else ""
    return f'<path class="{kind}" stroke-width="{path.width:g}"{dash} d="M{through}"/>'
