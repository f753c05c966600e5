"""The folder of the store, made before the server is, and the sentences for what the system refuses."""
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from istat import owners
from istat.errors import StoreError, StoreFull
from istat_server import server as assembly
from istat_server.server import prepare_folder, store_error


def test_the_folder_is_made_with_those_above_it_and_given_to_its_owner(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((str(path), uid, gid)))
    folder = tmp_path / "a" / "b"
    prepare_folder(folder, (12, 34))
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o777 & ~0o750 == 0, "others may not look into it"
    assert given == [(str(folder), 12, 34)]
    prepare_folder(folder, (56, 78))
    prepare_folder(tmp_path / "c", None)
    assert len(given) == 1, "one that is there stays whose it is"
    assert (tmp_path / "c").is_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        prepare_folder(tmp_path / "file", None)
    assert str(caught.value) == f"the store {tmp_path / 'file'} is no folder; name another with --store"
    with pytest.raises(StoreError, match="; name another with --store"):
        prepare_folder(tmp_path / "file" / "store", None)

    def full(folder: Path) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded", str(folder))

    monkeypatch.setattr(assembly, "make_folder", full)
    with pytest.raises(StoreFull, match="cannot be made: Disk quota exceeded; make room on its disk"):
        prepare_folder(tmp_path / "store", None)


def test_the_refusal_of_permission_says_who_we_are_and_what_to_do(tmp_path: Path) -> None:
    me = owners.user()
    there, missing = tmp_path, tmp_path / "missing"
    for folder, give in ((there, f"chown -R {me} {there}"), (missing, f"install -d -o {me} {missing}")):
        refusal = PermissionError(errno.EACCES, "Permission denied", str(folder / "LOCK"))
        error = store_error(refusal, "it fails", folder)
        assert (type(error), error.exit_code) == (StoreError, StoreError.exit_code)
        assert str(error).startswith(f"it fails: Permission denied (this is the user {me}; {there} belongs to ")
        assert f"give it to this one ({give}), or name another with --store" in str(error)


@pytest.mark.parametrize(("number", "cure"), [(errno.EMFILE, "; raise LimitNOFILE= of the service, or say ulimit -n "),
                                              (errno.ENFILE, "; raise LimitNOFILE= of the service, or say ulimit -n "),
                                              (errno.EIO, "; name another with --store")])
def test_other_refusals_say_what_would_help(number: int, cure: str) -> None:
    error = store_error(OSError(number, "Oh"), "it fails", Path("/x"))
    assert type(error) is StoreError
    assert str(error).startswith(f"it fails: Oh{cure}")


def test_an_error_without_the_systems_words_is_told_in_its_own() -> None:
    assert str(store_error(OSError("odd"), "it fails", Path("/x"))) == "it fails: odd; name another with --store"
