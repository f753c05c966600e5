"""What a namespace may hold, and the sentences for what is refused. Knows no files."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from istat.errors import BadQuery
from istat_server.keyvalue import syntax

SHOWN = 60              # signs of a key that a refusal repeats
LONGEST_NAME = 200      # signs of a namespace's name: with what stands behind it, what a file may be called
TOO_MUCH = 413


@dataclass(frozen=True)
class Bounds:
    """What is refused beyond, and what is not kept or held beyond without any refusal."""

    namespaces: int = 1000
    keys: int = 10_000          # of one namespace, and of one change
    key: int = 256              # [bytes]
    value: int = 256 << 10      # [bytes]
    file: int = 1 << 20         # [bytes] of a `.set` file: what istatd reads
    folder: int = 256 << 20     # [bytes] of all files
    waiting: int = 200          # changes that wait for others
    # Without refusal:
    versions: int = 50          # of one key
    history: int = 4 << 20      # [bytes] of a `.versions` file
    memory: int = 32 << 20      # [bytes] of files that are held in memory


def check_name(name: str) -> str:
    """The same name. BadQuery when no namespace may be called so."""
    if not syntax.is_name(name):
        raise BadQuery("invalid settings name")
    if len(name) > LONGEST_NAME:
        raise BadQuery(f"a settings name has at most {LONGEST_NAME} signs")
    return name


def check_number(changes: Mapping[str, object], bounds: Bounds) -> None:
    """BadQuery for a change of more keys than a namespace can have: to look at each takes time from others."""
    if len(changes) > bounds.keys:
        raise BadQuery(f"a change has at most {bounds.keys:,} keys, and this one has {len(changes):,}: send several",
                       TOO_MUCH)


def checked(changes: Mapping[str, str], present: Mapping[str, str], bounds: Bounds,
            skip: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """The changes that can be made, and the keys of the others, which are left out where `skip` says so. A key that is
    there by hand can be deleted, whatever it is called. BadQuery."""
    check_number(changes, bounds)
    wanted = {key: value for key, value in changes.items()
              if syntax.is_key(key) or (value == "" and key in present)}
    skipped = tuple(key for key in changes if key not in wanted)
    if skipped and not skip:
        raise BadQuery(f"{skipped[0][:SHOWN]!a} cannot be a key: it has blanks, or signs of \\/:;*?\"'%()[]{{}}~$^#=+-")
    for key, value in wanted.items():
        if len(key.encode(errors="replace")) > bounds.key:
            raise BadQuery(f"a key has at most {bounds.key} bytes, and {key[:SHOWN]!a}... has more", TOO_MUCH)
        if not syntax.is_text(value):
            raise BadQuery(f"the value of {key[:SHOWN]!a} is no text: it has half of a surrogate pair")
        if len(value.encode()) > bounds.value:
            raise BadQuery(f"a value has at most {bounds.value:,} bytes; that of {key[:SHOWN]!a} has more", TOO_MUCH)
    return wanted, skipped


def check_file(keys: int, size: int, before: tuple[int, int], bounds: Bounds) -> None:
    """BadQuery for too many keys, or bytes of a file, where they are more than `before`."""
    if keys > max(bounds.keys, before[0]):
        raise BadQuery(f"a namespace has at most {bounds.keys:,} keys: delete some, or use another namespace", TOO_MUCH)
    if size > max(bounds.file, before[1]):
        raise BadQuery(f"all values of a namespace have at most {bounds.file:,} bytes as a file: delete some, or use "
                       "another namespace", TOO_MUCH)


def check_folder(is_new: bool, growth: int, names: int, size: int, bounds: Bounds) -> None:
    """BadQuery for one namespace too many, or where all their files are too large together."""
    if is_new and names >= bounds.namespaces:
        raise BadQuery(f"there are {names:,} namespaces, and {bounds.namespaces:,} is the most", TOO_MUCH)
    if growth > 0 and size + growth > bounds.folder:
        raise BadQuery(f"the files of all namespaces have {size:,} bytes, and {bounds.folder:,} is the most: delete "
                       "what is needed no more", TOO_MUCH)
