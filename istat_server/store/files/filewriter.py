"""Blocks to StatFiles: one file for each range of ids, none left behind when something fails.

Knows headers and folders, not what is live.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Self

from istat.kernels import blocks
from istat_server.store.files.statfile import StatFileWriter
from istat_server.store.files.statformat import Header, StatFileInfo

Folder = str | os.PathLike[str]


class FilesWriter:
    """Files of one header, one for each range of ids; each comes to be with its first block.

    Leaving a `with` leaves no file but those of `finish`.
    """

    def __init__(self, folder: Folder, header: Header, compress: bool) -> None:
        self._folder, self._header, self._compress = folder, header, compress
        self._file: StatFileWriter | None = None
        self._done: list[StatFileInfo] = []
        self._given = False

    def __enter__(self) -> Self:
        return self

    def write(self, finished: Iterable[blocks.Block]) -> None:
        """Add blocks, by ascending ids."""
        for ids, group in groupby(finished, key=lambda block: block.first_id >> blocks.ID_BITS):
            if self._file is None or self._file.header.ids != ids:
                self._end_file()
                self._file = StatFileWriter(self._folder, replace(self._header, ids=ids))
            self._file.add(group, self._compress)

    def _end_file(self) -> None:
        if self._file is not None:
            self._done.append(self._file.finish())
            self._file = None

    def finish(self) -> list[StatFileInfo]:
        """The files."""
        self._end_file()
        self._given = True
        return self._done

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.abort()
        if not self._given:
            for info in self._done:
                os.unlink(info.path)


class Output(FilesWriter):
    """The same, and the blocks on their way there."""

    def __init__(self, folder: Folder, header: Header, interval: int, compress: bool) -> None:
        super().__init__(folder, header, compress)
        self.blocks = blocks.BlockWriter(interval=interval)

    def finish(self) -> list[StatFileInfo]:
        self.write(self.blocks.finish())
        return super().finish()


def finish_all(outputs: Iterable[Output]) -> list[StatFileInfo]:
    """The files of all of them; none is left when one cannot be finished."""
    done: list[StatFileInfo] = []
    with unlinked_on_failure(done):
        for output in outputs:
            done += output.finish()
    return done


@contextmanager
def unlinked_on_failure(done: list[StatFileInfo]) -> Iterator[None]:
    """Remove the files that were finished if what comes after them fails."""
    try:
        yield
    except BaseException:
        for info in done:
            os.unlink(info.path)
        raise
