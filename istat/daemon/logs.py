"""How a daemon's log lines look: with the time for a terminal or a file, with a priority for the journal.

Whatever is logged, it stays one line, or lines that are seen to belong to the first: what others wrote may be in it.
Knows the logging module and sd-daemon(3)'s "<N>" prefixes; nothing of what is logged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from istat import owners
from istat.access import guarded
from istat.errors import IstatError

TERMINAL_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNAL_FORMAT = "%(name)s: %(message)s"
# syslog(3): err, warning, info, debug.
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
# Before the lines of a traceback, and of a sentence that has several: none of them can be taken for one of ours.
CONTINUED = "  "


class LogFileError(IstatError):
    """The log file cannot be written."""

    exit_code = 89


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


class LogFile(logging.StreamHandler[TextIO]):
    """Lines into a file that may be renamed meanwhile, as logrotate does: the next line goes to a new one of its name.

    Where that cannot be made, lines go on into the renamed one, which says so.
    """

    def __init__(self, path: str | os.PathLike[str], owner: owners.User | None = None) -> None:
        """`owner`: who a file that root makes is to belong to, since that user goes on with it. OSError."""
        self._path = os.path.abspath(path)
        self._owner = owner if os.geteuid() == owners.ROOT else None
        self._problem = ""
        super().__init__(self._opened())
        self.setFormatter(formatter(journal=False))

    def _opened(self) -> TextIO:
        flags = os.O_WRONLY | os.O_APPEND
        with guarded.Place(self._path, self._owner.uid if self._owner else owners.ROOT) as place:
            try:
                handle = place.make(flags, 0o644)
            except FileExistsError:
                handle = place.open(flags, special=True)
            else:
                if self._owner is not None:
                    os.fchown(handle, self._owner.uid, self._owner.gid)
        return open(handle, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler.emit."""
        if not self._current():
            try:
                opened = self._opened()
            except OSError as error:
                if not self._problem:
                    self._problem = f"{self._path} cannot be opened anew, so that lines go on here: {error.strerror}"
                    self.stream.write(f"{self._problem}\n")
            else:
                self.stream.close()
                self.stream, self._problem = opened, ""
        super().emit(record)

    def _current(self) -> bool:
        """Whether the name still leads to the open file."""
        try:
            found, mine = os.stat(self._path), os.fstat(self.stream.fileno())
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """See logging.Handler.close."""
        self.stream.close()
        super().close()


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


def configure(path: str | os.PathLike[str] | None, level: str, owner: owners.User | None = None) -> None:
    """Log to a file (see LogFile), or to standard error. LogFileError when the file cannot be written."""
    if path is None:
        to_standard_error(level)
        return
    try:
        handler = LogFile(path, owner)
    except OSError as error:
        raise LogFileError(f"cannot write the log file {path}: {error.strerror}") from error
    start(handler, level)


def last_words(program: str, sentence: str) -> None:
    """Say on standard error why a daemon ends; the journal shows each line of it as an error."""
    mark = f"<{PRIORITIES[0][1]}>" if to_journal() else ""
    for line in sentence.split("\n"):
        print(f"{mark}{program}: {escaped(line)}", file=sys.stderr)
