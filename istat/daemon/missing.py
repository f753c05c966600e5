"""What to tell of a plugin that raised: the error and its place, and what to install when a module is missing.

Knows Debian's way of naming packages, and pip.
"""

from __future__ import annotations

import sys
import traceback


def told(error: BaseException) -> str:
    """What a plugin's own code raised, in a line, with the place in its file and the cure."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno} of {error.filename})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    words = " ".join(text_of(error).split())
    return f"{type(error).__name__}: {words}{place}{cure(error)}"


def text_of(error: BaseException) -> str:
    """What an error says; its own code may fail at that, too."""
    try:
        return str(error)
    except Exception as other:  # noqa: BLE001 - a stranger's class
        return f"(its text cannot be had: {type(other).__name__})"


def cure(error: BaseException) -> str:
    """The words "; install it: ..." for a module that is not there, else nothing."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    name = error.name.partition(".")[0]
    if name == "istat":
        return "; install istatd for this Python"
    debian = f"apt install python3-{name.lower().replace('_', '-')}"
    pip = f"{sys.executable} -m pip install {name}"
    ours = sys.prefix != sys.base_prefix        # a virtual environment does not see Debian's packages
    return f"; install it: {pip}" if ours else f"; install it: {debian}, or where Debian has none: {pip}"
