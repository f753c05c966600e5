"""How a daemon's log lines look: with the time for a terminal or a file, with a priority for the journal.

Whatever is logged, it stays one line, or lines that are seen to belong to the first: what others wrote may be in it.
Knows the logging module and sd-daemon(3)'s "<N>" prefixes; nothing of what is logged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

TERMINAL_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNAL_FORMAT = "%(name)s: %(message)s"
# syslog(3): err, warning, info, debug.
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
# Before the lines of a traceback, and of a sentence that has several: none of them can be taken for one of ours.
CONTINUED = "  "


def escaped(text: str) -> str:
    """A text without signs that move the cursor, change colours, begin lines or cannot be written."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


class PlainFormatter(logging.Formatter):
    """Each record as one line, what continues it indented; printable, whatever came in."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        text = super().format(record)
        return text if text.isprintable() else f"\n{CONTINUED}".join(map(escaped, text.split("\n")))


class JournalFormatter(PlainFormatter):
    """The journal has its own times; it reads the priority at the beginning of each line."""

    def __init__(self) -> None:
        super().__init__(JOURNAL_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def to_journal(environ: Mapping[str, str] | None = None) -> bool:
    """Whether standard error goes to the journal: systemd names its device and inode (systemd.exec(5))."""
    named = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False        # closed, or replaced by what is no file
    return named == f"{found.st_dev}:{found.st_ino}"


def formatter(journal: bool) -> logging.Formatter:
    """The formatter for the journal, or for all else."""
    return JournalFormatter() if journal else PlainFormatter(TERMINAL_FORMAT)


def start(handler: logging.Handler, level: str) -> None:
    """Let all log lines from `level` ("debug", "info", "warning", "error") on go to this handler alone."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())


def to_standard_error(level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(to_journal()))
    start(handler, level)


def last_words(program: str, sentence: str) -> None:
    """Say on standard error why a daemon ends; the journal shows each line of it as an error."""
    mark = f"<{PRIORITIES[0][1]}>" if to_journal() else ""
    for line in sentence.split("\n"):
        print(f"{mark}{program}: {line}", file=sys.stderr)
