"""The folder of the store, made before the server is, and the sentences for what the system refuses."""
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from istat import owners
from istat.access.guarded import Place
from istat.errors import StoreError, StoreFull
from istat_server import server as assembly
from istat_server.server import prepare_folder, store_error


def test_the_folder_is_made_with_those_above_it_and_given_to_its_owner(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, owners.User]] = []
    monkeypatch.setattr(Place, "give", lambda place, user: given.append((place.path, user)))
    folder, user = tmp_path / "a" / "b", owners.User(12, 34, ())
    prepare_folder(folder, user)
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o777 & ~0o750 == 0, "others may not look into it"
    assert given == [(str(folder), user)]
    prepare_folder(folder, owners.User(56, 78, ()))
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in the store of another")
def test_root_works_as_root_in_no_store_of_another(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 1234, 1234)
    for user in (None, owners.User(0, 0, ())):
        with pytest.raises(StoreError, match="belongs to the user 1234, .* start it with --user 1234, or "):
            prepare_folder(tmp_path / "store", user)
    prepare_folder(tmp_path / "store", owners.User(1234, 1234, ()))
    (tmp_path / "link").symlink_to(tmp_path / "store")
    prepare_folder(tmp_path / "link", owners.User(1234, 1234, ()))
    os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
    with pytest.raises(StoreError, match="a link of the user 1234 is on the way there"):
        prepare_folder(tmp_path / "link", owners.User(1234, 1234, ()))


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
