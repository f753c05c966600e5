"""Writes a plugin to begin with, and its test: what `istat-agent new` leaves. Both work as they are.

Knows files; not how plugins are found or run.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from istat import owners
from istat.errors import IstatError, UsageError
from istat.plugin import API_VERSION

# A module's name, a collector's and a component of counters' names at once.
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
LONGEST = 60  # characters of a name: counters' names have more components
RUNS, READ = 0o755, 0o644

COLLECTOR = '''\
# {name}: what it measures, and why, for whoever reads this next.
import os

from istat.plugin import Metric, Setting, collector

ISTAT_API = "{api}"  # of the plugins' API, the version that this is written for


@collector(
    name="{name}",
    interval=10,
    settings=[Setting("folder", str, "/tmp", "where the files are")],
    metrics=[
        Metric("{name}.files", "files", "files in the folder"),
        Metric("{name}.unread", "", "readings in which the folder could not be read", event=True),
    ],
)
def collect(emit, config):
    """Files that wait in a folder."""
    try:
        files = os.listdir(config["folder"])
    except OSError as error:
        emit.event("{name}.unread")
        emit.problem(f"{{config['folder']}}: {{error.strerror}}: set another folder in [plugins.{name}]")
        return
    emit.gauge("{name}.files", len(files))
'''
COLLECTOR_TEST = '''\
# Run by: python3 -m pytest {test}
import pathlib
import runpy

from istat.plugin import Config, Emit

FILE = pathlib.Path(__file__).with_name("{plugin}")
collect = runpy.run_path(str(FILE))["collect"]


def test_it_counts_files(tmp_path):
    (tmp_path / "one").touch()
    emit = Emit(time=1000)
    collect(emit, Config({{"folder": str(tmp_path)}}))
    assert emit.gauges() == {{"{name}.files": 1}}
    assert emit.events() == {{}}
    assert emit.problems == []


def test_a_folder_that_is_missing_is_told(tmp_path):
    emit = Emit(time=1000)
    collect(emit, Config({{"folder": str(tmp_path / "missing")}}))
    assert emit.gauges() == {{}}
    assert emit.events() == {{"{name}.unread": 1}}
    assert "set another folder" in emit.problems[0]
'''
SCRIPT = '''\
#!/bin/sh
# istat: interval=60 timeout=20
# {name}: what it measures, and why, for whoever reads this next.
# A line `name value` is what there is now, `*name value` what has happened since the last run.
set -e
echo "{name}.files $(ls /tmp | wc -l)"
echo "*{name}.runs 1"
'''
SCRIPT_TEST = '''\
# Run by: python3 -m pytest {test}
import pathlib
import subprocess

FILE = pathlib.Path(__file__).with_name("{plugin}")


def test_it_prints_numbers_under_names():
    done = subprocess.run([FILE], capture_output=True, text=True, timeout=20, check=True, cwd="/")
    values = dict(line.split() for line in done.stdout.splitlines())
    assert values.keys() == {{"{name}.files", "*{name}.runs"}}
    assert float(values["{name}.files"]) >= 0
    assert done.stderr == ""
'''


@dataclass(frozen=True)
class Written:
    """What was written: full paths."""

    plugin: Path
    test: Path


def write(name: str, folder: Path, script: bool) -> Written:
    """Write a plugin and its test into a folder. UsageError where there is such a file already, or the name is none;
    IstatError where it cannot be written."""
    _check(name)
    # A file called as a module of Python's would hide that from whatever runs in its folder, such as pytest.
    stem = f"{name}_plugin" if name in sys.stdlib_module_names and not script else name
    plugin = folder.absolute() / (stem if script else f"{stem}.py")
    test = folder.absolute() / f"test_{stem}.py"
    told = {"name": name, "plugin": plugin.name, "test": test.name, "api": API_VERSION}
    texts = (SCRIPT, SCRIPT_TEST) if script else (COLLECTOR, COLLECTOR_TEST)
    _write(plugin, texts[0].format_map(told), RUNS if script else READ)
    try:
        _write(test, texts[1].format_map(told), READ)
    except IstatError:
        plugin.unlink()
        raise
    return Written(plugin, test)


def _check(name: str) -> None:
    if NAME.match(name) and len(name) <= LONGEST:
        return
    better = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:LONGEST]
    hint = f", such as {better}" if NAME.match(better) else ""
    raise UsageError(f"{name!r} cannot name a plugin: lower-case letters, digits and '_', a letter first, {LONGEST} at "
                     f"most{hint}")


def _write(path: Path, text: str, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another name, or another --folder") from None
    except OSError as error:
        whose = owners.refused(str(path.parent)) if isinstance(error, PermissionError) else ""
        raise IstatError(f"{path} cannot be written: {error.strerror}{whose}") from None
