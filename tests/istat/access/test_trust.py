"""Whether others could change a file: its way there, links, owners, groups, sticky folders, access lists."""

from __future__ import annotations

import os
import pwd
import struct
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from istat import owners
from istat.access import trust
from istat.errors import PluginError

STRANGER = 54321  # a user and a group that nobody is
ME = owners.name_of(os.geteuid())
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What nobody else may write, wherever the tests run."""
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def script(folder: Path) -> Path:
    return made(folder / "script")


def made(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def fault(path: Path | str) -> str:
    with pytest.raises(PluginError) as told:
        trust.check(str(path))
    return str(told.value)


def test_a_file_of_ours_and_one_of_root_are_fine(script: Path) -> None:
    trust.check(str(script))
    trust.check("/bin/sh")      # through links of root's
    assert trust.read(str(script), 5) == b"#!/bi"


def test_everybody_may_write_the_file_or_any_folder_above(folder: Path) -> None:
    path = made(folder / "a" / "b" / "script")
    for place in (path, path.parent, path.parent.parent):
        mode = place.stat().st_mode
        place.chmod(0o777)
        assert fault(path) == f"everybody may write {place} (chmod o-w {place})"
        place.chmod(mode)
    trust.check(str(path))


def test_a_link_is_as_safe_as_what_it_leads_to(folder: Path) -> None:
    target = made(folder / "open" / "script")
    target.parent.chmod(0o777)
    (folder / "safe").mkdir()
    for link, to in (("absolute", str(target)), ("relative", "../open/script"), ("twice", "absolute")):
        (folder / "safe" / link).symlink_to(to)
        assert fault(folder / "safe" / link).startswith(f"everybody may write {target.parent} (")
    (folder / "door").symlink_to("open")
    assert fault(folder / "door" / "script").startswith(f"everybody may write {target.parent} (")
    target.parent.chmod(0o755)
    trust.check(str(folder / "safe" / "twice"))
    trust.check(f"{folder}/door/../door/./script")


def test_a_link_in_a_folder_that_others_may_write_is_not_followed(folder: Path) -> None:
    target = made(folder / "safe" / "script")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "open" / "link").symlink_to(target)
    assert "everybody may write" in fault(folder / "open" / "link")


def test_a_sticky_folder_is_fine_where_what_lies_in_it_is_ours(folder: Path) -> None:
    path = made(folder / "sticky" / "script")
    path.parent.chmod(0o1777)
    trust.check(str(path))
    path.chmod(0o777)
    assert fault(path).startswith(f"everybody may write {path} (")


@as_root
def test_what_belongs_to_somebody_else_is_refused(folder: Path) -> None:
    path = made(folder / "sticky" / "d" / "script")
    path.parent.parent.chmod(0o1777)
    link = folder / "sticky" / "link"
    link.symlink_to(path)
    for place, cure in ((path, "chown"), (path.parent, "chown"), (link, "chown -h"), (path.parent.parent, "chown")):
        os.chown(place, STRANGER, 0, follow_symlinks=False)
        assert fault(link) == f"{place} belongs to {STRANGER}, who could change it ({cure} root {place})"
        os.chown(place, 0, 0, follow_symlinks=False)
    trust.check(str(link))


@as_root
def test_the_user_that_we_are_is_as_good_as_root(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(script, STRANGER, STRANGER)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    trust.check(str(script))


@pytest.mark.parametrize(("group", "first", "members", "private"), [
    (ME, False, [], True),
    (ME, False, [ME], True),
    (ME, False, ["bob"], False),
    ("other", True, [], True),
    ("other", True, ["bob"], False),
    ("other", False, [], False),    # set-gid programs may have it
    ("other", False, [ME], False),
    (None, True, [], True),
    (None, False, [], False),
])
def test_a_group_is_fine_where_it_is_the_users_own(
    script: Path, monkeypatch: pytest.MonkeyPatch, group: str | None, first: bool, members: list[str], private: bool,
) -> None:
    def by_number(number: int) -> SimpleNamespace:
        if group is None:
            raise KeyError(number)
        return SimpleNamespace(gr_name=group, gr_mem=members)

    number = script.stat().st_gid
    users = [SimpleNamespace(pw_name="bob", pw_uid=STRANGER, pw_gid=STRANGER),
             SimpleNamespace(pw_name=ME, pw_uid=os.geteuid(), pw_gid=number if first else STRANGER + 1)]
    monkeypatch.setattr(trust.grp, "getgrgid", by_number)
    monkeypatch.setattr(trust.pwd, "getpwall", lambda: users)
    script.chmod(0o775)
    if private:
        trust.check(str(script))
    else:
        assert fault(script) == f"the group {group or number} may write {script} (chmod g-w {script})"


def test_a_group_that_is_the_first_of_another_user_is_not_private(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = script.stat().st_gid
    other = pwd.struct_passwd(("bob", "x", STRANGER, number, "", "/", "/bin/sh"))
    users = [*pwd.getpwall(), other]
    monkeypatch.setattr(trust.pwd, "getpwall", lambda: users)
    script.chmod(0o775)
    assert "the group" in fault(script)


def set_access_list(path: Path, *entries: tuple[int, int, int]) -> None:
    try:
        os.setxattr(path, trust.ACCESS_LIST, struct.pack("<I", 2) + b"".join(trust.ENTRY.pack(*e) for e in entries))
    except OSError as error:
        pytest.fail(f"no access lists on this file system: {error}")


@pytest.mark.parametrize(("entry", "who"), [
    ((trust.OF_USER, 7, STRANGER), f"{STRANGER}"),
    ((trust.OF_GROUP, 7, STRANGER), f"the group {STRANGER}"),
])
def test_an_access_list_that_lets_others_write(script: Path, entry: tuple[int, int, int], who: str) -> None:
    owner, group, mask, other = (0x01, 7, 2**32 - 1), (0x04, 5, 2**32 - 1), (0x10, 7, 2**32 - 1), (0x20, 5, 2**32 - 1)
    order = [owner, entry, group, mask, other] if entry[0] == trust.OF_USER else [owner, group, entry, mask, other]
    set_access_list(script, *order)
    assert fault(script) == f"an access list lets {who} write {script} (setfacl -b {script})"
    script.chmod(0o755)     # takes writing from the mask
    trust.check(str(script))
    script.chmod(0o775)
    harmless = (entry[0], 5, STRANGER)
    set_access_list(script, *(harmless if e == entry else e for e in order))
    trust.check(str(script))


def test_what_was_looked_at_is_what_is_read(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = trust.opened

    def replaced(path: str) -> int:
        descriptor = opened(path)
        script.rename(script.with_name("old"))
        script.write_text("another")
        return descriptor

    monkeypatch.setattr(trust, "opened", replaced)
    assert trust.read(str(script)) == b"#!/bin/sh\n"


def test_what_is_no_file_or_not_there(folder: Path) -> None:
    assert fault(folder) == f"{folder} is no plain file"
    os.mkfifo(folder / "pipe")
    assert "no plain file" in fault(folder / "pipe")
    (folder / "circle").symlink_to("circle")
    for name in ("nothing", "circle", "pipe/x"):
        with pytest.raises(OSError):
            trust.check(str(folder / name))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(OSError):
            trust.check(str(folder / "circle"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_may_not_be_read_is_told_by_its_own_name() -> None:
    with tempfile.NamedTemporaryFile(prefix="istat-trust-") as file:
        os.fchmod(file.fileno(), 0)
        rights = owners.Rights(owners.User(STRANGER, STRANGER, ()))
        with rights, pytest.raises(PermissionError) as told:
            trust.read(file.name)
        assert told.value.filename == file.name


def test_whoever_has_lost_the_working_folder_can_name_a_file(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = script.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    trust.check(str(script))
    with pytest.raises(FileNotFoundError):
        trust.check(script.name)
