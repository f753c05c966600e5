"""Faults of our own: exceptions that nothing expected. Each is logged once with its traceback, and counted.

A daemon outlives them: one bad request or connection must not end the others. It does not know what
happens next; who calls it goes on.
"""
from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

# Different faults told with a traceback; a program with more is beyond help by log.
TOLD_LIMIT = 100


class Faults:
    """Counts of unexpected exceptions, by where they were raised."""

    def __init__(self) -> None:
        self.count = 0
        self._told: set[tuple[str, str, int]] = set()

    def note(self, where: str, error: BaseException) -> None:
        """Count one, and log it if it is a new one. `where` completes "unexpected error in ..."."""
        self.count += 1
        place = _place(error)
        if place in self._told or len(self._told) >= TOLD_LIMIT:
            return
        self._told.add(place)
        log.error("unexpected error in %s; it is told once, and counted in istatd.exceptions", where,
                  exc_info=(type(error), error, error.__traceback__))

    def watch(self, hub: Any) -> None:
        """Note what escapes from greenlets and watchers of this gevent hub, instead of its printing them."""
        default = hub.handle_error

        def handle_error(context: object, kind: type[BaseException], value: BaseException | None,
                         trace: TracebackType | None) -> None:
            if value is None or not isinstance(value, Exception):      # SystemExit, KeyboardInterrupt
                default(context, kind, value, trace)
            else:
                self.note(_short(context), value.with_traceback(trace))

        hub.handle_error = handle_error


def _place(error: BaseException) -> tuple[str, str, int]:
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    return type(error).__name__, last.filename if last else "", (last.lineno or 0) if last else 0


def _short(context: object) -> str:
    return str(context)[:100]
