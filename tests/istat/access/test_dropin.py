"""Which files of a drop-in folder are used, and what is told of the others."""

from pathlib import Path

import pytest

from istat.access import dropin

COPIES = ["check~", "check.sh~", "check.~1~", "#check#", "check.bak", "check.bak.1", "check.orig", "check.old",
          "check.rej", "check.save", "check.tmp", "check.swp", "check.dpkg-old", "check.dpkg-dist", "check.ucf-dist",
          "check.rpmsave", "check.rpmnew", "check.pacnew", "check.apk-new", "CHECK.BAK", "queue.py.dpkg-new",
          "queue.py~"]


def put(folder: Path, name: str, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def left_out(folder: Path) -> dict[str, str]:
    return {Path(path).name: why for path, why in dropin.left_out([str(folder)])}


def test_copies_are_neither_run_nor_loaded_nor_worth_a_word(tmp_path: Path) -> None:
    for name in (*COPIES, ".check.swp", "check", "CHECK", "queue.py"):
        put(tmp_path, name)
    assert dropin.scripts([str(tmp_path)]) == [f"{tmp_path}/CHECK", f"{tmp_path}/check"]
    assert dropin.python_files([str(tmp_path)]) == [f"{tmp_path}/queue.py"]
    assert left_out(tmp_path) == {}


def test_the_test_of_a_plugin_beside_it_is_none(tmp_path: Path) -> None:
    for name in ("queue.py", "test_queue.py", "check", "test_check.py", "disk.sh", "test_disk.py", "test_drive.py",
                 "test_check", "test_.py"):
        put(tmp_path, name)
    assert dropin.python_files([str(tmp_path)]) == [f"{tmp_path}/{name}" for name in ("queue.py", "test_.py",
                                                                                    "test_drive.py")]
    assert dropin.scripts([str(tmp_path)]) == [f"{tmp_path}/{name}" for name in ("check", "disk.sh", "test_check")]
    assert left_out(tmp_path) == {}


@pytest.mark.parametrize("name", ["check.sh", "old", "bak.d", "tmp.check", "orig-files", "check.swan"])
def test_names_that_only_look_like_those_of_copies_are_none(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert dropin.scripts([str(tmp_path)]) == [f"{tmp_path}/{name}"]


def test_what_will_not_run_is_told_with_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, "lonely.bak")
    put(tmp_path, "forgotten", mode=0o644)
    put(tmp_path, "bare", "echo a 1\n", 0o644)
    put(tmp_path, "bare.sh", "echo a 1\n", 0o644)
    (tmp_path / "dangling.py").symlink_to("/no/such/file")
    unlike = "if only scripts read it, let its name begin with `_`)"
    assert left_out(tmp_path) == {
        "lonely.bak": "by its name it is a copy of another file, and those are not run; if it is to be, "
                      "give it another name",
        "forgotten": f"it is not executable (chmod +x {tmp_path}/forgotten)",
        "bare": f"it is not executable (chmod +x {tmp_path}/bare; {unlike}",
        "bare.sh": f"it is not executable (chmod +x {tmp_path}/bare.sh; {unlike}",
        "dangling.py": "it links to /no/such/file, which is not there",
    }


def test_a_script_that_only_others_may_execute_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "theirs", mode=0o711)
    monkeypatch.setattr("os.access", lambda path, mode: False)     # root may execute whatever somebody may
    monkeypatch.setattr("istat.owners.name_of", lambda number: "_istat-agent")
    assert left_out(tmp_path) == {"theirs": f"_istat-agent, who runs it, may not execute it (chmod a+rx {path})"}


def test_documents_data_and_helpers_are_no_drop_ins(tmp_path: Path) -> None:
    for name in ("README", "notes.txt", "list.json", "_common.sh", ".profile", "left.old"):
        put(tmp_path, name, "words\n", 0o644)
    (tmp_path / "folder").mkdir()
    assert left_out(tmp_path) == {}
    assert list(dropin.left_out(["/no/such/folder"])) == []
