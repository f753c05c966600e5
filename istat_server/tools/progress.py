"""A progress bar on a terminal; nothing elsewhere."""
from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """`with Progress(title, size) as progress: progress.show(done)`. size None: it is not known; counted: the number
    itself says something, as of counters and not of bytes."""

    def __init__(self, title: str, size: int | None, quiet: bool = False, counted: bool = False) -> None:
        self._bar: Any = None
        if quiet or not sys.stderr.isatty():
            return
        from rich import progress  # imported here: a tenth of a second that other commands need not take
        from rich.console import Console

        more = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn()) if counted else ()
        self._bar = progress.Progress(*progress.Progress.get_default_columns(), *more, console=Console(stderr=True),
                                      transient=True)
        self._task = self._bar.add_task(title, total=size)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def show(self, done: int, size: int | None = None) -> None:
        """How much is done; of how much, where that is known only now."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=size)     # None leaves it as it is

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
