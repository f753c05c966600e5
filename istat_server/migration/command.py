"""`istat migrate`: from an istatd of before to ours, in one command that can be said again until it is through.

What istatd kept is only read. Each step that is done already is told and left out.
"""
from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from istat import owners
from istat.cli import saying
from istat.client import DEFAULT_URL, URL_VARIABLE
from istat.clock import Clock
from istat.errors import UsageError
from istat.subcommands import SubCommand
from istat_server.foreign import oldstore
from istat_server.migration import namespaces, tomlfile
from istat_server.migration.tomlfile import Before
from istat_server.options import DECLARATION, HTTP_PORT
from istat_server.tools import importing

ANYONES = Path("/tmp")      # istatd's settings, where its file does not say


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from-istatd", required=True, type=Path, metavar="CONFIG", help="istatd's configuration file")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR",
                        help="where server.toml and agent.toml go (default: the current folder)")
    parser.add_argument("--store", type=Path, default=DECLARATION.settings["store"].default, metavar="DIR",
                        help="our store, for what istatd's holds; made if it is missing (default %(default)s)")
    parser.add_argument("--old-store", type=Path, metavar="DIR",
                        help="where istatd's store is, if not where CONFIG says")
    parser.add_argument("--settings", type=Path, metavar="DIR",
                        help="where istatd's settings (NAME.set) are, if not where CONFIG says")
    parser.add_argument("--dry-run", action="store_true", help="print the files and what would be taken; write nothing")


def _migrate(arguments: argparse.Namespace, clock: Clock) -> None:
    before = tomlfile.read(arguments.from_istatd)
    said: dict[str, Any] = {"files": {}, "idle": dict(before.idle), "other": dict(before.other), "counters": [],
                            "namespaces": []}
    say = (lambda text: None) if arguments.json else print
    for told in before.tells():
        say(told)
    written = _write_files(before, arguments, said, say)
    if before.store is not None:
        _take_counters(before, arguments.old_store or before.store, arguments, clock, said)
        _take_namespaces(arguments.settings or before.settings, arguments, said, say)
    said["next"] = _next(before, arguments, written)
    if arguments.json:
        print(json.dumps(said))
        return
    print("\nNothing was written. Next: the same without --dry-run." if arguments.dry_run else "\nNext:")
    for line in () if arguments.dry_run else said["next"]:
        print(f"    {line}")


def _write_files(before: Before, arguments: argparse.Namespace, said: dict[str, Any], say: Any) -> list[Path]:
    written = []
    for name, text in tomlfile.texts(before, Path(os.path.abspath(arguments.store))).items():
        place = Path(os.path.abspath(arguments.output / name))
        said["files"][str(place)] = text
        written.append(place)
        if arguments.dry_run:
            say(f"\n{place} would be:\n\n{text}")
        else:
            say(f"{place} {'is written' if tomlfile.put(place, text) else 'is there already'}")
    return written


def _take_counters(before: Before, old: Path, arguments: argparse.Namespace, clock: Clock,
                   said: dict[str, Any]) -> None:
    """istatd's counters, as `istat import` takes them: what was interrupted is gone on with."""
    if not oldstore.holds_rings(old):
        saying.warn(arguments, f"{old} holds no ring files, so there are no counters to import; if they are elsewhere, "
                               "say --old-store DIR")
        return
    wish = argparse.Namespace(paths=[old], store=arguments.store, format="istatd", prefix="", rename=[], events=False,
                              interval=10, dry_run=arguments.dry_run, json=arguments.json,
                              retention=_retention(before, arguments))
    done = importing.imported(wish, clock)
    if arguments.json:
        said["counters"] = [importing.told(one, arguments.dry_run) for one in done]
    else:
        importing.report(done, wish)


def _retention(before: Before, arguments: argparse.Namespace) -> str | None:
    """istatd's, for a store that is new; one that is there has its own."""
    return None if (arguments.store / "FORMAT").exists() else before.server.get("retention")


def _take_namespaces(old: Path | None, arguments: argparse.Namespace, said: dict[str, Any], say: Any) -> None:
    if old is None:
        if any(ANYONES.glob("*.set")):
            saying.warn(arguments, f"istatd's settings lay in {ANYONES}, where anyone could change them; to take them "
                                   f"along say --settings {ANYONES}")
        return
    if not old.is_dir():
        saying.warn(arguments, f"there is no folder {old} of settings; if it is elsewhere, say --settings DIR")
        return
    with owners.left_to_owner(arguments.store):
        for one in namespaces.copy(old, arguments.store, arguments.dry_run):
            said["namespaces"].append(one._asdict())
            if one.what in (namespaces.BAD, namespaces.KEPT):
                saying.warn(arguments, f"settings {one.name!r}: {one.what}{f': {one.why}' if one.why else ''}")
            else:
                say(f"settings {one.name!r}: {one.keys} keys, {one.what}")


def _next(before: Before, arguments: argparse.Namespace, written: list[Path]) -> list[str]:
    """Command lines that can be pasted, each with what it is for where that is not plain."""
    lines = []
    for place in written:
        program = f"istat-{place.stem}"
        config = shlex.quote(str(place))
        lines.append(f"{program} --config {config} --check-config")
        if place.parent == Path(DECLARATION.file).parent:
            if str(before.path) == f"/etc/istatd-{place.stem}.cfg":
                lines.append(f"mv {before.path} {before.path}.before       # else the service goes on with it")
            lines.append(f"systemctl restart {program}")
        else:
            lines.append(f"{program} --config {config}")
    if before.store is not None and before.server.get("http-port") != "off":
        url = f"http://{before.reached('http-listen-address', 'http-port', HTTP_PORT)}"
        lines += [f"export {URL_VARIABLE}={url}"] if url != DEFAULT_URL else []
        lines.append("istat status           # and when all is there, the old store may go")
    return lines


def _checked(arguments: argparse.Namespace, clock: Clock) -> None:
    if arguments.old_store and not arguments.old_store.is_dir():
        raise UsageError(f"there is no folder {arguments.old_store}")
    _migrate(arguments, clock)


COMMAND = SubCommand(
    "Go over from istatd: its configuration file as ours, its counters and settings into a store.", _arguments,
    _checked,
    "It writes server.toml, agent.toml or both, with what means the same and with comments about what does not; "
    "imports istatd's store as `istat import` does; and copies its settings, dashboards and accounts among them. What "
    "istatd kept stays as it is. Said again it goes on where it was interrupted. Stop istat-server first.",
    (("istat migrate --from-istatd /etc/istatd-server.cfg --dry-run", "What would become of it?"),
     ("istat migrate --from-istatd /etc/istatd-server.cfg --output /etc/istatd",
      "Settings for the service of the package, counters into its store")),
)
