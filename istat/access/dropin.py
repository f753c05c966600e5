"""Which files of a drop-in folder may be used: shared by the agent (`*.py`) and the plugin `exec` (scripts).

It looks at names and modes, and at the first two bytes of what looks like a forgotten script; whether others could
change a file is for `istat.access.trust` to say, each time that it is loaded or run.
"""

from __future__ import annotations

import fnmatch
import functools
import os
from collections.abc import Container, Iterator, Sequence

from istat import owners

# What editors, version control and package managers leave beside a file.
COPIES = (
    "*~", "#*#", "*.bak", "*.bak.*", "*.backup", "*.old", "*.orig", "*.rej", "*.save", "*.save.*", "*.tmp", "*.sw[a-p]",
    "*.dpkg-*", "*.ucf-*", "*.rpmnew", "*.rpmsave", "*.rpmorig", "*.pacnew", "*.pacsave", "*.pacsave.*", "*.pacorig",
    "*.apk-new",
)  # fmt: skip
HIDDEN = "._"  # first characters of what is nobody's collector: `.git`, `_helpers.py`
LANGUAGES = (".sh", ".bash", ".pl", ".rb")  # names of what is a script, or is read by scripts
TEST = "test_"  # how the name of a plugin's test begins
ANYBODY = 0o111  # rights to execute
MOST_NAMES = 1000  # of which it is remembered whether they are copies: folders are looked at every few seconds


def python_files(folders: Sequence[str]) -> list[str]:
    """The `*.py` files: each is loaded as a plugin."""
    return [path for path in _files(folders) if path.endswith(".py")]


def scripts(folders: Sequence[str]) -> list[str]:
    """The executable files that are no `*.py`: each is run by `exec`."""
    return [path for path in _files(folders) if not path.endswith(".py") and os.access(path, os.X_OK)]


def left_out(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, why, and what to do) of what somebody may have meant to be used, and is not.

    Copies beside the file that they are copies of are nobody's surprise. OSError when a folder cannot be read.
    """
    for folder in folders:
        entries = _entries(folder)
        for entry in entries:
            path = os.path.join(folder, entry)
            if os.path.isfile(path):
                why = _orphan(path, entries) if is_copy(entry) else _unused(path)
            else:
                why = _nowhere(path)
            if why:
                yield path, why


@functools.lru_cache(maxsize=MOST_NAMES)
def is_copy(name: str) -> bool:
    """Whether a file's name says that it is an older or unfinished version of another."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in COPIES)


def _nowhere(path: str) -> str | None:
    if os.path.islink(path) and not os.path.exists(path):
        return f"it links to {os.readlink(path)}, which is not there"
    return None


def _orphan(path: str, entries: Sequence[str]) -> str | None:
    """A copy without what it is a copy of."""
    stem = os.path.basename(path).strip("#~").partition(".")[0]
    if stem in {entry.partition(".")[0] for entry in entries if not is_copy(entry)}:
        return None
    if not _executable_for_some(path) and not _begins_as_script(path):
        return None
    return "by its name it is a copy of another file, and those are not run; if it is to be, give it another name"


def _unused(path: str) -> str | None:
    if path.endswith(".py") or os.access(path, os.X_OK):
        return None
    if _executable_for_some(path):
        return f"{owners.name_of(os.geteuid())}, who runs it, may not execute it (chmod a+rx {path})"
    if _begins_as_script(path):
        return f"it is not executable (chmod +x {path})"
    name = os.path.basename(path)
    if name.endswith(LANGUAGES) or ("." not in name and name != name.upper()):  # README and the like are none
        return f"it is not executable (chmod +x {path}; if only scripts read it, let its name begin with `_`)"
    return None


def _executable_for_some(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & ANYBODY)
    except FileNotFoundError:
        return False    # gone meanwhile


def _begins_as_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False    # not for us, or gone meanwhile


def candidates(folder: str) -> list[str]:
    """Paths of all that is neither hidden, nor a copy, nor the test of what stands beside it, by name. A folder that is
    not there is an empty one; OSError."""
    entries = _entries(folder)
    stems = {os.path.splitext(entry)[0] for entry in entries}
    return [os.path.join(folder, entry) for entry in entries if not is_copy(entry) and not _is_test(entry, stems)]


def _is_test(entry: str, stems: Container[str]) -> bool:
    """Whether it is `test_NAME.py` where there is a NAME, too: its author keeps them together."""
    return entry.startswith(TEST) and entry.endswith(".py") and entry[len(TEST):-len(".py")] in stems


def _files(folders: Sequence[str]) -> list[str]:
    """Plain files by folder and name, without hidden ones, `_helpers.py` and copies.

    A folder that is not there is an empty one; OSError when one cannot be read.
    """
    paths = [path for folder in folders for path in candidates(folder)]
    return [path for path in paths if os.path.isfile(path)]


def _entries(folder: str) -> list[str]:
    try:
        return sorted(entry for entry in os.listdir(folder) if entry[0] not in HIDDEN)
    except FileNotFoundError:
        return []
