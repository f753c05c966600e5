"""A sub-command of `istat`, called as the program calls it, and what it says."""
from __future__ import annotations

import contextlib
import io
import json
from typing import Any, NamedTuple

from istat.cli import command
from istat.cli.pagecache.fincore import COMMAND


class Told(NamedTuple):
    """How it ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of --json."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]


def fincore(*words: object) -> Told:
    """`istat fincore WORDS...`"""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command.main(["fincore", *map(str, words)], None, {"fincore": lambda: COMMAND})
    return Told(status, out.getvalue(), err.getvalue())
