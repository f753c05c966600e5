"""Text as man(7) wants it: escapes, and the few macros that our manual pages are made of. Knows no program.

In the text given to it, `backquotes` mark what is typed as it stands; flags are found by themselves.
"""

from __future__ import annotations

import re

# What groff would otherwise turn into a typographic character or take for a command.
_ESCAPES = {"\\": r"\(rs", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
_MARKED = re.compile(r"`([^`]+)`|(?<![\w-])(--?[a-z][a-z0-9-]*)")


def plain(text: str) -> str:
    """Prose: a hyphen stays one."""
    return "".join(_ESCAPES.get(char, char) for char in text)


def code(text: str) -> str:
    """What is typed as it stands: a minus, straight quotes."""
    return plain(text).replace("-", r"\-").replace("'", r"\(aq")


def bold(text: str) -> str:
    """Typed as it stands."""
    return rf"\fB{code(text)}\fR"


def italic(text: str) -> str:
    """Stands for something else."""
    return rf"\fI{code(text)}\fR"


def prose(text: str) -> str:
    """A sentence or more, with `code` and flags in bold."""
    pieces, at = [], 0
    for found in _MARKED.finditer(text):
        pieces += [plain(text[at:found.start()]), bold(found[1] or found[2])]
        at = found.end()
    return "".join([*pieces, plain(text[at:])])


def reference(page: str) -> str:
    """`istat-server(8)` as pages refer to each other."""
    name, _bracket, section = page.partition("(")
    return rf"{bold(name)}({section}"


class Page:
    """A manual page that grows line by line. `date` may be empty."""

    def __init__(self, name: str, section: int, summary: str, date: str, version: str) -> None:
        self._lines = [
            f'.TH {code(name.upper())} {section} "{code(date)}" "istatd {code(version)}" "istatd manual"',
            r".\" Made by packaging/make_pages.py from the program's own declarations.",
            ".nh",
            ".ad l",
        ]
        self.section("NAME")
        self.roff(rf"{code(name)} \- {plain(summary)}")

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f'.SH "{title}"')

    def roff(self, line: str) -> None:
        """A line that is escaped already; no command, whatever it begins with."""
        self._lines.append(rf"\&{line}" if line.startswith((".", "'")) else line)

    def paragraph(self, text: str) -> None:
        """A paragraph of prose."""
        self._lines.append(".PP")
        self.roff(prose(text))

    def term(self, tag: str, text: str) -> None:
        """What is explained (escaped already), and its explanation."""
        self._lines.append(".TP")
        self.roff(tag)
        self.roff(prose(text) if text else r"\&")

    def more(self, text: str) -> None:
        """A further paragraph of the explanation before."""
        self._lines.append(".IP")
        self.roff(prose(text))

    def example(self, *lines: str) -> None:
        """Lines as they stand, set apart."""
        self._lines += [".PP", ".RS 4", ".nf"]
        for line in lines:
            self.roff(code(line))
        self._lines += [".fi", ".RE"]

    def __str__(self) -> str:
        return "\n".join([*self._lines, ""])
