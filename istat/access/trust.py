"""Whether nobody but root and we ourselves could change a file that we are about to run.

A file is as safe as the weakest place on the way to it: whoever may write a folder can put another file under the same
name. So the way is walked from / on, by descriptors and through links: each folder is looked at before what is in it,
and what was looked at in the end is what is opened. Since nobody else can change a folder that was found safe, the name
leads to the same file from then on, until root or we change that: a script may be started by its name, as it expects
(`$0`), and not by the descriptor.

It knows users, groups, modes and POSIX access lists; not what a file is for.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from istat import owners
from istat.access.guarded import MOST_LINKS, named
from istat.errors import PluginError

ACCESS_LIST = "system.posix_acl_access"  # linux/posix_acl_xattr.h: a version of 4 bytes, then tag, rights, id each
ENTRY = struct.Struct("<HHI")
OF_USER, OF_OWNING_GROUP, OF_GROUP = 0x02, 0x04, 0x08  # tags of entries, linux/posix_acl.h
WRITE = 2
NO_LIST = (errno.ENODATA, errno.ENOTSUP)


class Place(NamedTuple):
    """A folder, a link or a file on the way: a descriptor of it (O_PATH), and how it is called."""

    descriptor: int
    name: str


def opened(path: str) -> int:
    """A descriptor (O_PATH) of the plain file that `path` leads to.

    PluginError when anybody but root and the user that we are could change what is run under this name, with what to do
    about it; OSError when the way leads nowhere."""
    ahead = _parts(path if os.path.isabs(path) else os.path.join(os.getcwd(), path))
    links = 0
    with named(path), ExitStack() as ends:
        way = [_enter(ends, None, os.sep)]
        while ahead:
            name = ahead.pop()
            if name == os.pardir:
                del way[max(1, len(way) - 1):]
                continue
            place = _enter(ends, way[-1], name)
            if stat.S_ISLNK(os.fstat(place.descriptor).st_mode):
                links += 1
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink("", dir_fd=place.descriptor)
                del way[1 if os.path.isabs(target) else len(way):]
                ahead += _parts(target)
            else:
                way.append(place)
        if not stat.S_ISREG(os.fstat(way[-1].descriptor).st_mode):
            raise PluginError(f"{way[-1].name} is no plain file")
        return os.dup(way[-1].descriptor)


def read(path: str, most: int = -1) -> bytes:
    """The first `most` bytes (or all) of a file; errors as in `opened`, and the file is the one that was looked at."""
    descriptor = opened(path)
    try:
        with named(path), open(_again(descriptor), "rb") as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def check(path: str) -> None:
    """Nothing, or the errors of `opened`."""
    os.close(opened(path))


def _parts(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split(os.sep)) if name not in ("", os.curdir)]


def _enter(ends: ExitStack, folder: Place | None, name: str) -> Place:
    """What has this name in the folder; PluginError when others could change it."""
    at = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.descriptor if folder else None)
    ends.callback(os.close, at)
    place = Place(at, os.path.join(folder.name, name) if folder else name)
    fault = next(_faults(place), None)
    if fault:
        raise PluginError(fault)
    return place


def _faults(place: Place) -> Iterator[str]:
    """Who else could change it, and what to do."""
    found, name = os.fstat(place.descriptor), place.name
    mode = found.st_mode
    trusted = {owners.ROOT, os.geteuid()}
    if found.st_uid not in trusted:
        without = " -h" if stat.S_ISLNK(mode) else ""
        yield f"{name} belongs to {owners.name_of(found.st_uid)}, who could change it (chown{without} root {name})"
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return  # a link is what its folder makes it; in a sticky folder each name is its owner's, who is looked at next
    if mode & stat.S_IWOTH:
        yield f"everybody may write {name} (chmod o-w {name})"
    if mode & stat.S_IWGRP:  # with an access list these bits are its mask: without them it lets nobody write
        yield from _writers(place, found.st_gid, trusted)


def _writers(place: Place, owning_group: int, trusted: set[int]) -> Iterator[str]:
    """As `_faults`, for groups, and for users and groups of an access list."""
    entries = _access_list(place.descriptor)
    for tag, rights, number in entries or [(OF_OWNING_GROUP, WRITE, 0)]:
        if not rights & WRITE:
            continue
        if tag == OF_USER and number not in trusted:
            yield (f"an access list lets {owners.name_of(number)} write {place.name} "
                   f"(setfacl -b {place.name})")
        elif tag == OF_OWNING_GROUP and not _is_private(owning_group, trusted):
            yield f"the group {owners.name_of_group(owning_group)} may write {place.name} (chmod g-w {place.name})"
        elif tag == OF_GROUP and not _is_private(number, trusted):
            yield (f"an access list lets the group {owners.name_of_group(number)} write {place.name} "
                   f"(setfacl -b {place.name})")


def _access_list(descriptor: int) -> list[tuple[int, int, int]]:
    """(tag, rights, id) of each entry of a file's access list; nothing where it has none."""
    try:
        found = os.getxattr(_again(descriptor), ACCESS_LIST)
    except OSError as error:
        if error.errno in NO_LIST:
            return []
        raise
    return list(ENTRY.iter_unpack(found[4:]))


def _is_private(group: int, trusted: set[int]) -> bool:
    """Whether a group is that of one of these users, by name or as its first group, and nobody else is in it."""
    names = {owners.name_of(uid) for uid in trusted}
    first = {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    try:
        entry = grp.getgrgid(group)
    except KeyError:
        return bool(first) and first <= names
    return (entry.gr_name in names or bool(first & names)) and first | set(entry.gr_mem) <= names


def _again(descriptor: int) -> str:
    """A name by which what a descriptor stands for is opened once more."""
    return f"/proc/self/fd/{descriptor}"
