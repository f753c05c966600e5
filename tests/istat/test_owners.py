"""Messages about permissions name who we are and whose the thing is."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from istat import owners
from istat.daemon import background
from istat.errors import IstatError

ME, GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def test_the_file_itself_or_the_nearest_folder_that_can_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o600)
    os.chown(file, os.geteuid(), os.getegid())
    assert owners.refused(file) == f" (this is the user {ME}; {file} belongs to {ME}:{GROUP}, mode 0600)"
    assert f"; {tmp_path} belongs to " in owners.refused(tmp_path / "no" / "such" / "file")
    assert owners.user() == ME


def test_users_without_a_name_are_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    assert owners.user() == "4000000"


def test_a_pid_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IstatError, match=f"cannot write the pid-file {tmp_path}/no/pid: No such file"), \
            background.hold(tmp_path / "no" / "pid"):
        pass
    with background.hold(None), background.hold(tmp_path / "pid"):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
        with pytest.raises(IstatError, match="already running"), background.hold(tmp_path / "pid"):
            pass
    assert not (tmp_path / "pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the folders of others")
def test_what_root_makes_in_the_folder_of_another_is_that_users(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    store.mkdir()
    elsewhere.write_text("root's")
    os.chown(store, 1234, 1235)
    with pytest.raises(KeyError), owners.left_to_owner(store):
        (store / "10s").mkdir()
        (store / "10s" / "file").write_text("")
        (store / "symbolic").symlink_to(elsewhere)
        os.link(elsewhere, store / "hard")
        raise KeyError
    for made in (store / "10s", store / "10s" / "file"):
        assert (made.stat().st_uid, made.stat().st_gid) == (1234, 1235)
    assert elsewhere.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the folders of others")
def test_a_folder_of_root_or_a_new_one_stays_roots(tmp_path: Path) -> None:
    new = tmp_path / "new"
    with owners.left_to_owner(new):
        new.mkdir()
    with owners.left_to_owner(new):
        (new / "file").write_text("")
    assert new.stat().st_uid == (new / "file").stat().st_uid == 0


@pytest.fixture
def reached() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="istat-owners-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of others")
def test_root_has_the_rights_of_a_folders_owner_and_gets_its_own_back(reached: Path) -> None:
    store, secret = reached / "store", reached / "secret"
    store.mkdir()
    os.chown(store, 1234, 1235)
    secret.write_text("root's")
    secret.chmod(0o600)
    groups = os.getgroups()
    rights = owners.Rights.of_owner(store / "new" / "one")
    with rights:
        with pytest.raises(PermissionError):
            secret.read_text()
        (store / "made").touch()
        with owners.Rights.of_owner(reached), rights, owners.Rights.of_owner(reached):
            assert secret.read_text() == "root's"
        with pytest.raises(PermissionError):
            (reached / "made").touch()
    with pytest.raises(PermissionError) as caught, rights, rights:
        secret.read_text()
    assert caught.value.strerror == "Permission denied to the user 1234, with whose rights root works there"
    assert ((store / "made").stat().st_uid, (store / "made").stat().st_gid) == (1234, 1235)
    assert (secret.read_text(), os.getgroups()) == ("root's", groups)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of others")
def test_where_the_owner_cannot_get_nobody_but_root_has_a_hand_in_it(reached: Path) -> None:
    store = reached / "shut" / "store"
    store.mkdir(parents=True)
    store.parent.chmod(0o700)
    os.chown(store, 1234, 1235)
    with owners.as_owner(store):
        (store / "made").touch()
    assert ((store / "made").stat().st_uid, (store / "made").stat().st_gid) == (1234, 1235)


def test_without_root_rights_are_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with owners.Rights.of_owner(tmp_path), owners.as_owner(tmp_path):
        (tmp_path / "file").touch()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the folders of others")
def test_files_may_go_while_root_gives_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server's do that merges them while root makes a backup."""
    walk = os.fwalk

    def late(top: str, dir_fd: int) -> Iterator[tuple[str, list[str], list[str], int]]:
        for found in walk(top, dir_fd=dir_fd):
            (tmp_path / "merged").unlink(missing_ok=True)
            yield found

    for name in ("merged", "other"):
        (tmp_path / name).touch()
    os.chown(tmp_path, 1234, 1235)
    monkeypatch.setattr(os, "fwalk", late)
    with owners.left_to_owner(tmp_path):
        pass
    assert (tmp_path / "other").stat().st_uid == 1234


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the folders of others")
def test_what_root_gives_is_in_the_folder_that_was_meant_at_first(tmp_path: Path) -> None:
    store, roots = tmp_path / "home" / "cron.d", tmp_path / "etc" / "cron.d"
    for folder in (store, roots):
        folder.mkdir(parents=True)
    os.chown(store, 1234, 1235)
    (roots / "job").write_text("root's")
    with owners.left_to_owner(store):
        (store / "made").touch()
        store.parent.rename(tmp_path / "moved")
        (tmp_path / "home").symlink_to(roots.parent)
    assert (tmp_path / "moved" / "cron.d" / "made").stat().st_uid == 1234
    assert roots.stat().st_uid == (roots / "job").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of others")
def test_roots_own_rights_are_not_for_a_place_that_another_can_lead_elsewhere(reached: Path) -> None:
    store = reached / "home" / "store"
    store.mkdir(parents=True)
    os.chown(store, 1234, 1235)
    store.parent.chmod(0o700)
    os.chown(store.parent, 4321, 4321)
    with pytest.raises(IstatError, match=f"{store.parent} belongs to 4321:4321, mode 0700, and the user 1234, with "):
        owners.Rights.of_owner(store)
    with owners.Rights.of_owner(store, only_looks=True):
        assert list(store.iterdir()) == []
    os.chown(store.parent, 0, 4321)
    store.parent.chmod(0o770)
    with pytest.raises(IstatError, match="let that user enter it, or name another place"):
        owners.Rights.of_owner(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of others")
def test_root_that_may_not_set_groups_works_in_its_own_folders(reached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a user namespace, or a container without that capability."""
    def refused(groups: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refused)
    monkeypatch.setattr(os, "getgrouplist", lambda name, group: [group, 4, 27])
    with owners.as_owner(reached):
        (reached / "made").touch()
    other = owners.Rights(owners.User(1234, 1235, (os.getgid() + 1,)))
    with pytest.raises(IstatError, match="root cannot take the rights of the user 1234 here; run it as"), other:
        pass
    (reached / "made").unlink()         # its rights are root's again
