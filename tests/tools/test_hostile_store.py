"""A user lays links into a store, and root runs commands on it: nothing of root's is shown, changed or gone."""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat import owners
from istat.cli import command
from istat.clock import FakeClock
from istat_server.store.files import journal
from istat_server.store.offline import backup
from istat_server.tools import COMMANDS

NOW = 1325404800
OWNER = 1234
SECRET = b"what only root may know"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")


def run(*words: object) -> int:
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    return command.main([str(word) for word in words], FakeClock(NOW), brought)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, with a folder of root's own in it."""
    with tempfile.TemporaryDirectory(prefix="istat-hostile-") as made:
        os.chmod(made, 0o755)
        roots = Path(made) / "roots"
        roots.mkdir()
        (roots / "secret").write_bytes(SECRET)
        (roots / "secret").chmod(0o600)
        yield Path(made)
        assert sorted(path.name for path in roots.iterdir()) == ["secret"], "nothing is made or removed there"
        assert (roots / "secret").read_bytes() == SECRET
        assert (roots / "secret").stat().st_uid == 0


@pytest.fixture
def store(place: Path) -> Path:
    """A user's store, with a segment of the journal."""
    folder = place / "store"
    folder.mkdir()
    os.chown(folder, OWNER, OWNER)
    source = place / "some.csv"
    source.write_text(f"name,time,value\nshop.queue,{NOW - 60},5\n")
    source.chmod(0o600)             # sources are read as root
    assert run("import", "--store", folder, source) == 0
    return folder


def lay(link: Path, target: Path) -> None:
    """A link in place of what is there, as the user would make it."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    os.chown(link, OWNER, OWNER, follow_symlinks=False)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*")
                    if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("copy", [(), ("--copy",)])
@pytest.mark.parametrize("link", ["journal", "names", "10s", "HEARD"])
def test_a_backup_holds_nothing_that_the_owner_may_not_read(place: Path, store: Path, link: str, copy: tuple[str, ...],
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    target = store / link
    if target.is_dir():
        target = max(path for path in target.iterdir() if path.suffix in (".journal", ".names", ".statfile"))
    lay(target, place / "roots" / "secret")
    assert run("backup", *copy, "--store", store, place / "backup") != 0
    assert SECRET not in all_bytes(place / "backup")
    assert "roots" not in capsys.readouterr().out


@pytest.mark.parametrize("ours", [False, True])
def test_the_owner_can_read_a_backup_that_root_made(place: Path, store: Path, ours: bool) -> None:
    backup = place / "backup"
    if ours:
        backup.mkdir()
        backup.chmod(0o755)
    for words in ((), (), ("--copy",)):
        assert run("backup", *words, "--store", store, backup) == 0
        with owners.Rights(owners.User(OWNER, OWNER, (OWNER,))):
            assert all(path.read_bytes() for path in backup.rglob("*") if path.is_file())
            assert {path.name for path in backup.iterdir()} >= {"MANIFEST", "BACKUP", "journal"}
    assert backup.stat().st_uid == (0 if ours else OWNER)


@pytest.mark.parametrize("link", ["journal", "10s", "MANIFEST.tmp", "BACKUP.tmp", "journal/00000003.tmp"])
def test_a_backup_that_is_made_again_writes_nowhere_else(place: Path, store: Path, link: str) -> None:
    assert run("backup", "--store", store, place / "backup") == 0
    lay(place / "backup" / link, place / "roots" if link in ("journal", "10s") else place / "roots" / "secret")
    run("backup", "--store", store, place / "backup")


def test_a_restored_store_holds_nothing_that_the_backups_owner_may_not_read(place: Path, store: Path) -> None:
    assert run("backup", "--store", store, place / "backup") == 0
    number = max(journal.segment_numbers(place / "backup" / "journal"))
    lay(journal.segment_path(place / "backup" / "journal", number), place / "roots" / "secret")
    (place / "restored").mkdir()
    os.chown(place / "restored", OWNER, OWNER)
    assert run("restore", place / "backup", place / "restored") != 0
    assert SECRET not in all_bytes(place / "restored")


@pytest.mark.parametrize("link", ["journal", "10s", "names", "damaged", "MANIFEST.tmp", "reserve", "FORMAT.tmp"])
@pytest.mark.parametrize("words", [("check", "--repair"), ("export", "--store"), ("import", "--store")])
def test_no_command_reaches_what_is_roots_by_a_users_store(place: Path, store: Path, link: str,
                                                           words: tuple[str, ...]) -> None:
    folder = link in ("journal", "10s", "names", "damaged")
    lay(store / link, place / "roots" if folder else place / "roots" / "secret")
    run(*words, store, *((place / "some.csv",) if words[0] == "import" else ()))
    assert SECRET not in all_bytes(store)


@pytest.mark.parametrize("form", ["csv", "istatd"])
def test_an_export_into_a_users_folder_is_that_users(place: Path, store: Path, form: str) -> None:
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, OWNER, OWNER)
    assert run("export", "--store", store, "--format", form, "--output", theirs / "out") == 0
    made = [theirs / "out", *(theirs / "out").rglob("*")]
    assert {path.stat().st_uid for path in made} == {OWNER}
    lay(theirs / "out", place / "roots" / ("secret" if form == "csv" else ""))
    assert run("export", "--store", store, "--format", form, "--output", theirs / "out") != 0


def test_a_store_behind_a_link_of_another_is_named_and_left(place: Path, store: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    lay(place / "link", store)
    for words in (("check",), ("export", "--store"), ("backup", place / "backup", "--store"), ("restore", place / "x"),
                  ("retention", "--store"), ("import", place / "some.csv", "--store")):
        assert run(*words, place / "link") != 0
        assert "a link of the user 1234 is on the way there, and root follows no link " in capsys.readouterr().err


@pytest.mark.parametrize("made", [False, True])
def test_a_backup_in_the_folder_of_a_third_user_leads_root_nowhere(place: Path, store: Path, made: bool,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Who could put a link in its place at any moment: what an older backup has too much is removed."""
    home, put = place / "home", backup._put
    home.mkdir()
    home.chmod(0o700)
    os.chown(home, 4321, 4321)
    if made:                # by an istatd of before, or by hand
        (home / "backup").mkdir()
        os.chown(home / "backup", OWNER, OWNER)

    def late(path: Path, data: bytes) -> None:
        put(path, data)
        if not (home / "backup").is_symlink():
            (home / "backup").rename(home / "moved")
            lay(home / "backup", place / "roots")

    monkeypatch.setattr(backup, "_put", late)
    assert run("backup", "--store", store, home / "backup") != 0


def test_a_backup_in_the_folder_of_a_third_user_is_that_users(place: Path, store: Path) -> None:
    home = place / "home"
    home.mkdir()
    home.chmod(0o700)
    os.chown(home, 4321, 4321)
    for _ in range(2):
        assert run("backup", "--store", store, home / "new" / "backup") == 0
    new = home / "new"
    assert {path.stat().st_uid for path in (new, new / "backup", new / "backup" / "MANIFEST")} == {4321}
    assert run("check", new / "backup") == 0
