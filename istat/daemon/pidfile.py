"""The setting `pid-file` of a daemon: held while it runs, with a sentence for what the system refuses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from istat import owners
from istat.daemon import service
from istat.errors import IstatError


@contextlib.contextmanager
def hold(path: Path | None) -> Iterator[None]:
    """Hold the file, if there is to be one. IstatError when it cannot be written, or another process holds it."""
    with contextlib.ExitStack() as held:
        if path is not None:
            try:
                held.enter_context(service.PidFile(path))
            except OSError as error:
                whose = owners.refused(path) if isinstance(error, PermissionError) else ""
                raise IstatError(f"cannot write the pid-file {path}: {error.strerror}{whose}") from error
        yield
