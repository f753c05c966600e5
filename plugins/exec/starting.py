"""Why a file cannot be started, in a sentence that says what to do: execve(2) has an error number only, and the same
one whether the file is missing or the program that its first line names.

It looks at the first bytes, and at what is there; whether others could change it is for `istat.access.trust` to say.
"""

from __future__ import annotations

import os

MARK = b"\xef\xbb\xbf"  # the byte-order mark with which some editors begin a file
PROGRAM = b"\x7fELF"
ENV = "env"


def fault(path: str, head: bytes, search_path: str) -> str | None:
    """What is wrong with the file `path`, which begins with `head`; None when nothing can be seen.

    `search_path`: where `#!/usr/bin/env NAME` looks.
    """
    if not head:
        return "it is empty"
    if head.startswith(MARK):
        return f"it begins with a byte-order mark, which hides its `#!` (sed -i '1s/^\\xEF\\xBB\\xBF//' {path})"
    if not head.startswith(b"#!"):
        if b"\0" in head:  # a program, or something that the kernel was told how to run
            return None
        return "its first line does not say what runs it: let that be #!/bin/sh, or the program of its language"
    first, end, _ = head[2:].partition(b"\n")
    if end and first.endswith(b"\r"):
        return f"its lines end in CR LF, as on Windows, and no program is called so (sed -i 's/\\r$//' {path})"
    words = first.decode("utf-8", "replace").split(None, 1)
    if not words:
        return "nothing stands behind its `#!`: let that be #!/bin/sh, or the program of its language"
    return _interpreter_fault(words[0], words[1] if len(words) > 1 else "", search_path)


def not_startable(path: str, head: bytes, search_path: str, errno_text: str) -> str:
    """The sentence for a start that failed."""
    if head.startswith(PROGRAM) and errno_text == "Exec format error":
        return "it is a program for another kind of machine"
    return fault(path, head, search_path) or errno_text


def _interpreter_fault(interpreter: str, arguments: str, search_path: str) -> str | None:
    if not os.path.isabs(interpreter):
        return f"its first line names {interpreter!r} without where that is{_perhaps(interpreter, search_path)}"
    if not os.path.exists(interpreter):
        return f"there is no {interpreter}, which its first line names{_perhaps(interpreter, search_path)}"
    if os.path.isdir(interpreter) or not os.access(interpreter, os.X_OK):
        return f"{interpreter}, which its first line names, may not be executed by us"
    if os.path.basename(interpreter) == ENV:
        return _env_fault(arguments, search_path)
    return None


def _env_fault(arguments: str, search_path: str) -> str | None:
    """env(1) takes one argument from a first line, or several behind -S. Its other options are left to itself."""
    words = arguments.removeprefix("-S").split()
    wanted = next((word for word in words if "=" not in word), "")
    if not wanted or wanted.startswith("-") or which(wanted, search_path):
        return None
    return f"its first line asks for {wanted}, which is not in {search_path}; install it, or write where it is"


def _perhaps(interpreter: str, search_path: str) -> str:
    found = which(os.path.basename(interpreter), search_path)
    return f"; write #!{found}" if found else "; install it, or write another"


def which(name: str, search_path: str) -> str | None:
    """Where the shell would find a program."""
    import shutil  # only when it is asked for: it brings libraries of compression

    return shutil.which(name, path=search_path)
