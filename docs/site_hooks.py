"""What mkdocs does with our pages besides.

In a table, a bar within code has a backslash before it. Other readers of Markdown leave it out, Python-Markdown keeps
it.
"""

from __future__ import annotations

import re
from typing import Any

CELL = re.compile(r"<t[dh][ >].*?</t[dh]>", re.DOTALL)
CODE = re.compile(r"<code>.*?</code>", re.DOTALL)


def without_escapes(html: str) -> str:
    """The page with plain bars in the code of its tables."""
    return CELL.sub(lambda cell: CODE.sub(lambda code: code[0].replace("\\|", "|"), cell[0]), html)


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs with each page."""
    return without_escapes(html)
