"""What to install when a collector's module misses another. Knows Debian's way of naming packages, and pip."""

from __future__ import annotations

import sys


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
