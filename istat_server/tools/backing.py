"""`istat backup` and `istat restore`: a store's consistent copy, made while a server writes. Works on folders only."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from istat import owners
from istat.cli import saying
from istat.cli.figures import bytes_text
from istat.clock import Clock
from istat.subcommands import SubCommand
from istat_server.keyvalue import offline
from istat_server.store.offline import backup
from istat_server.store.ondisk import NAMESPACES
from istat_server.tools.progress import Progress


class Beside:
    """The namespaces, which belong to a backup and are not the store's."""

    def __init__(self, source: Path, to: Path, within: Path) -> None:
        """`within`: the folder that the backup or the store is made in."""
        self._source, self._to, self._within = source, to, within
        self.made = offline.Copied()

    def copy(self, reading: owners.Rights, writing: owners.Rights) -> set[str]:
        """See backup.Also."""
        self.made = offline.copy(self._source, self._to, reading, writing)
        if not self._to.is_relative_to(self._within):
            return set()
        return {str(self._to.relative_to(self._within) / file) for file in self.made.files}


def takes_settings(parser: argparse.ArgumentParser) -> None:
    """The option for where namespaces are."""
    parser.add_argument("--settings", type=Path, metavar="DIR", help="folder of the namespaces, where the server's "
                        "setting `settings` names one (default: `settings` in the store)")


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="the store, in use or not")
    takes_settings(parser)
    parser.add_argument("--copy", action="store_true", help="copy files instead of linking them on the same device")
    parser.add_argument("destination", type=Path, metavar="DEST", help="a new folder, or an older backup of this store")


def _backup(arguments: argparse.Namespace, clock: Clock) -> None:
    to = arguments.destination
    beside = Beside(arguments.settings or arguments.store / NAMESPACES, to / NAMESPACES, to)
    with Progress("backup", None, arguments.json) as progress:
        made = backup.backup(arguments.store, to, clock, progress.show, arguments.copy, beside.copy)
    _tell(arguments, made, beside.made, f"{arguments.destination} is a backup of {arguments.store}")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", type=Path, metavar="BACKUP", help="what istat backup made")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder, to be the store")
    takes_settings(parser)


def _restore(arguments: argparse.Namespace, clock: Clock) -> None:
    to = arguments.folder
    beside = Beside(arguments.backup / NAMESPACES, arguments.settings or to / NAMESPACES, to)
    with Progress("restore", None, arguments.json) as progress:
        made = backup.restore(arguments.backup, to, progress.show, beside.copy)
    _tell(arguments, made, beside.made, f"{to} is a store again; start the server with --store {to}")


def _tell(arguments: argparse.Namespace, made: backup.Made, beside: offline.Copied, text: str) -> None:
    for reason in beside.left_out:
        saying.warn(arguments, f"not in it: {reason}")
    if arguments.json:
        found = {key: getattr(made, key) for key in made.__dataclass_fields__}
        print(json.dumps({**found, "namespace_files": len(beside.files)}))
        return
    print(f"{text}: {made.files:,} files, {bytes_text(made.bytes)} ({made.reused:,} were there already, "
          f"{made.linked:,} linked, {made.copied:,} copied), {made.segments} segments of the journal, "
          f"{len(beside.files):,} files of namespaces")


BACKUP = SubCommand(
    "Make a consistent copy of a store, also while a server writes.", _backup_arguments, _backup,
    "Files are hard links on the store's device, copies elsewhere; made again to the same folder only what is new is "
    "copied. Run it as root, or as the user that the store belongs to.",
    (("istat backup --store /var/lib/istatd/server /backup/istatd", "A backup, or a newer one in its place"),),
)
RESTORE = SubCommand(
    "Make a store of a backup, reading every byte of it.", _restore_arguments, _restore,
    "The backup stays as it is.",
    (("istat restore /backup/istatd /var/lib/istatd/server", "Bring it back, with the server stopped"),),
)
