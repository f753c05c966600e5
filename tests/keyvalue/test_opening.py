"""Where a server's namespaces are, and what keeps it from starting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from istat import owners
from istat.clock import FakeClock
from istat.errors import StoreError
from istat_server.keyvalue import opening
from istat_server.options import DECLARATION


def test_they_are_in_the_store_unless_the_setting_names_a_folder(tmp_path: Path) -> None:
    for words, place in (((), tmp_path / "store/settings"), (("--settings", str(tmp_path / "x/y")), tmp_path / "x/y")):
        settings = DECLARATION.load(["--store", str(tmp_path / "store"), *words], {})
        opening.prepare_folder(settings, None)
        opening.open_namespaces(settings, FakeClock()).set("a", {"k": "1"})
        assert (place / "a.set").exists()


@pytest.mark.skipif(os.geteuid() != owners.ROOT, reason="only root gives files away")
def test_a_new_folder_is_made_for_who_the_server_becomes(tmp_path: Path) -> None:
    settings = DECLARATION.load(["--settings", str(tmp_path / "made")], {})
    opening.prepare_folder(settings, owners.identity("nobody"))
    assert owners.owner_of(tmp_path / "made").uid == owners.identity("nobody").uid


def test_a_folder_that_cannot_be_made_or_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words in ((tmp_path / "file/below"), (tmp_path / "file")):
        settings = DECLARATION.load(["--settings", str(words)], {})
        with pytest.raises(StoreError, match="name another with --settings"):
            opening.prepare_folder(settings, None)
            opening.open_namespaces(settings, FakeClock())
