"""Texts in SVG: names of files may hold anything, also what XML has no character for. Knows no picture."""

from __future__ import annotations

import re
from html import escape

# Not in XML 1.0 at all, not even as a reference: control characters, halves of pairs (bytes that are no UTF-8), FFFE.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\n\r]")


def escaped(text: str) -> str:
    """The text as XML holds it; what it cannot hold is shown as a question mark."""
    return escape(NO_XML.sub("?", text), quote=True)
