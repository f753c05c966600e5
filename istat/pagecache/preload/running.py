"""How a program is started with advice.c before its C library, and which programs that does not reach. Knows no
command line."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from istat.errors import IstatError, NotStarted
from istat.pagecache import syscalls

VARIABLE = "ISTAT_ADVICE"           # as advice.c reads it
PRELOAD = "LD_PRELOAD"              # ld.so(8)
SEPARATORS = (" ", ":", "\n")       # in LD_PRELOAD: a path cannot have them in it
# Of elf(5): in e_ident, and PT_INTERP, the program header that names the dynamic loader.
ELF, CLASS_64, LITTLE, INTERPRETER = b"\x7fELF", 2, 1, 3
HEADERS = 4096                      # read of a program [bytes]: the ELF header and its program headers, or the line #!
CAPABILITIES = "security.capability"        # the attribute of a file that has some: capabilities(7)
# What Python ignores for itself (pylifecycle.c), and a program must get as it was.
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
INTERPRETERS = 4                    # scripts run by scripts: as many as Linux goes through (BINPRM_MAX_RECURSION)


class Mode(Enum):
    """What is done to a program's advice; the values are advice.c's words."""

    RANDOM = "random"
    NO_ADVICE = "none"


@dataclass(frozen=True)
class Elf:
    """What of a program the dynamic loader looks at first."""

    kind: bytes             # class and byte order, then machine: a library must have the same
    dynamic: bool           # whether it asks for a dynamic loader


def library() -> Path:
    """The built advice.c. IstatError where it was not built."""
    folder = Path(__file__).parent
    for suffix in EXTENSION_SUFFIXES:
        if (path := folder / f"advice{suffix}").exists():
            return path
    raise IstatError("the library to be loaded before the program is not there: it was not built, as there was no C "
                     "compiler. Install one, and istatd again from its source")


def environment(mode: Mode, before: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that is to run so, and of all that it starts. What is to be loaded before it
    already stays, behind ours. IstatError where the library is missing, or in a folder that cannot be named."""
    path = str(library())
    if any(sign in path for sign in SEPARATORS):
        raise IstatError(f"{path}: the dynamic loader takes no path with a blank or colon in it (ld.so(8), "
                         "LD_PRELOAD); install istatd elsewhere")
    others = before.get(PRELOAD, "")
    return {**before, VARIABLE: mode.value, PRELOAD: f"{path}:{others}" if others else path}


def unreached(program: Path) -> str:
    """Why a program will not be run with the library; empty when nothing speaks against it. What a script names
    behind #! is looked at in its place. OSError for one that cannot be read."""
    for _ in range(INTERPRETERS):
        head = _head(program)
        if not head.startswith(b"#!"):
            break
        words = head[2:].split(b"\n")[0].split()
        if not words:
            return ""
        program = Path(os.fsdecode(words[0]))
        if program.name == "env" and len(words) > 1:
            program = Path(shutil.which(os.fsdecode(words[-1])) or program)
    if _gains_rights(program):
        return f"{program} runs with rights that the caller has not: the dynamic loader takes no library for it"
    found, ours = _elf(head), _elf(_head(library()))
    if found is None or ours is None:
        return ""
    if not found.dynamic:
        return f"{program} is linked statically: no library can stand before its functions"
    return f"{program} is for another kind of processor than our library" if found.kind != ours.kind else ""


def _gains_rights(program: Path) -> bool:
    """Whether the kernel tells the loader to be careful (AT_SECURE): of another user, another group, or with
    capabilities of its own that the caller has not. OSError."""
    about = os.stat(program)
    if about.st_mode & stat.S_ISUID and about.st_uid != os.getuid():
        return True
    if about.st_mode & stat.S_ISGID and about.st_mode & stat.S_IXGRP and about.st_gid != os.getgid():
        return True
    return os.getuid() != 0 and CAPABILITIES in os.listxattr(program)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADERS)


def _elf(head: bytes) -> Elf | None:
    """Of the first bytes of a file; None when it is no ELF file, or one whose headers are elsewhere."""
    if not head.startswith(ELF) or len(head) < 64:
        return None
    order = "<" if head[5] == LITTLE else ">"
    (machine,) = struct.unpack_from(f"{order}H", head, 18)
    wide = head[4] == CLASS_64
    (table,) = struct.unpack_from(f"{order}Q", head, 32) if wide else struct.unpack_from(f"{order}I", head, 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    if table + size * count > len(head) or size < 4:
        return None
    kinds = [struct.unpack_from(f"{order}I", head, table + index * size)[0] for index in range(count)]
    return Elf(head[4:6] + machine.to_bytes(2, "big"), INTERPRETER in kinds)


def start(mode: Mode, words: list[str], before: Mapping[str, str]) -> None:
    """Become the program: does not return. words: its name, as a shell would find it, and its arguments. NotStarted
    when it cannot be, IstatError as of `environment`."""
    made = environment(mode, before)
    if mode is Mode.RANDOM:
        _advise_input()
    mine = {number: signal.signal(number, signal.SIG_DFL) for number in IGNORED}
    try:
        os.execvpe(words[0], words, made)
    except OSError as error:
        raise NotStarted(f"{words[0]} cannot be started: {error.strerror}") from error
    except ValueError as error:         # an empty name, or a zero byte in a word
        raise NotStarted(f"{words[0]!r} cannot be started: {error}") from error
    finally:                            # only who did not become the program comes here, and goes on as it was
        for number, handler in mine.items():
            signal.signal(number, handler)


def _advise_input() -> None:
    """The file that the program gets as its standard input was opened by somebody else, such as a shell."""
    try:
        if stat.S_ISREG(os.fstat(0).st_mode):
            syscalls.fadvise(0, 0, 0, os.POSIX_FADV_RANDOM)
    except OSError:         # there is none
        return
