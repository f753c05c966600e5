"""`istat backup` and `istat restore`: a store's consistent copy, made while a server writes. Works on folders only."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from istat.cli.figures import bytes_text
from istat.clock import Clock
from istat.subcommands import SubCommand
from istat_server.store.offline import backup
from istat_server.tools.progress import Progress


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="the store, in use or not")
    parser.add_argument("--copy", action="store_true", help="copy files instead of linking them on the same device")
    parser.add_argument("destination", type=Path, metavar="DEST", help="a new folder, or an older backup of this store")


def _backup(arguments: argparse.Namespace, clock: Clock) -> None:
    with Progress("backup", None, arguments.json) as progress:
        made = backup.backup(arguments.store, arguments.destination, clock, progress.show,
                             arguments.copy)
    _tell(arguments, made, f"{arguments.destination} is a backup of {arguments.store}")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", type=Path, metavar="BACKUP", help="what istat backup made")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder, to be the store")


def _restore(arguments: argparse.Namespace, clock: Clock) -> None:
    with Progress("restore", None, arguments.json) as progress:
        made = backup.restore(arguments.backup, arguments.folder, progress.show)
    _tell(arguments, made, f"{arguments.folder} is a store again; start the server with --store {arguments.folder}")


def _tell(arguments: argparse.Namespace, made: backup.Made, text: str) -> None:
    if arguments.json:
        print(json.dumps({key: getattr(made, key) for key in made.__dataclass_fields__}))
        return
    print(f"{text}: {made.files:,} files, {bytes_text(made.bytes)} ({made.reused:,} were there already, "
          f"{made.linked:,} linked, {made.copied:,} copied), {made.segments} segments of the journal")


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
