"""Files as they were written once: read the same for ever, and written the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from istat.clock import FakeClock
from istat_server.keyvalue import syntax
from istat_server.keyvalue.history import Version
from istat_server.keyvalue.namespaces import Namespaces

FIXTURE = Path(__file__).parents[1] / "fixtures/keyvalue"
BOARD = '{"size":{"width":600,"height":240},"graphs":[["cpu.idle","it\'s"]],"formats":[3]}'
VALUES = {"dashboard.front": BOARD, "escapes": "\\'\"%_\0\b\t\n\r\x1a", "ends": "x", "blank": "\v",
          "caf\u00e9": "\u00e9\u2713"}


def test_values_are_read_and_written_as_ever() -> None:
    data = (FIXTURE / "cit.set").read_bytes()
    assert syntax.decode(data) == VALUES
    assert syntax.encode(VALUES) == data


def test_versions_are_read_and_gone_on_with(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "settings", copy_function=shutil.copyfile)
    namespaces = Namespaces(tmp_path / "settings", FakeClock(1325394140))
    assert namespaces.versions("cit", "plain") == [Version(9, 1325394070, None), Version(6, 1325394000, "1.5")]
    assert namespaces.versions("cit", "ends")[-1].value == " \t x \n "
    assert namespaces.restore("cit", "plain", 6).versions == {"plain": 10}
    before = (FIXTURE / "cit.versions").read_bytes()
    assert (tmp_path / "settings/cit.versions").read_bytes().startswith(before)
