"""A file that takes the place of another one of its name once it is whole: nobody sees half of it, and the older one
stays when the disk is full. Knows no format."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# What only writing fails by, which names no file. Others may come from whatever is read meanwhile.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: str | os.PathLike[str], kind: str) -> Iterator[IO[bytes]]:
    """An open file beside `path` (where that is a link, beside what it leads to), to be written in the `with`. On the
    disk and renamed at its end; gone when that fails. `kind`: how its name ends until then. OSError, which names
    `path`."""
    place = Path(os.path.realpath(path))
    aside = place.with_name(f".{os.urandom(8).hex()}.{kind}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, place)
    except BaseException as error:
        with suppress(OSError):     # the folder is not there
            aside.unlink()
        if isinstance(error, OSError) and (error.filename == str(aside) or error.errno in FULL):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
