"""Write docs/command-line.md from the commands' own declarations; --check exits with 1 when it is stale."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "packaging")]

import programs  # noqa: E402  (packaging/programs.py, which the manual pages are made from)
from programs import Option, Program  # noqa: E402

TARGET = ROOT / "docs/command-line.md"
HEAD = """# Command line

<!-- Written by `docs/make_commands.py` from the commands' own declarations: change those. -->

All commands have `--help` and `--version`, and manual pages with the Debian packages. Every sub-command of `istat` and
of `istat-agent` has `--json`, which prints JSON in place of text for people. Those with `--server` ask a running
server; its address may stand in the variable `ISTAT_URL`. Those that need the admin token take it from the variable
`ISTAT_ADMIN_TOKEN`, or from `--token-file`. Other packages can bring sub-commands:
[Development](development.md#sub-commands-of-istat).
"""
ISTATD = """
## Programs of istatd

Scripts that call istatd's programs find them under their names, with their options. All have `--help`; their exit
status is 0 when it is done and 1 when not, unless it is told otherwise. More:
[Ring files](import-export.md#ring-files).
"""
TAIL = """
## Exit codes

Every error has a code of its own, the same for all commands that can end by it:

| code | meaning | `istat` | `istat-server` | `istat-agent` |
|---|---|---|---|---|
"""
EVERYWHERE = {"-h", "--help", "--json"}  # what all sub-commands have


def daemon(program: Program, own: set[str]) -> str:
    """One daemon's part of the page; `own` are its settings, which have a page."""
    options = [one for one in program.options if one.flags[0].removeprefix("--") not in own]
    text = f"\n## {program.name}\n\n{program.help}. {program.more}".rstrip()
    return (f"{text}\n\nEach of its [settings](settings.md#{program.name}) is a flag as well. Besides:\n"
            f"{table(options)}{examples(program)}")


def sub_command(program: Program) -> str:
    """One sub-command's part of the page."""
    options = [one for one in program.options if not EVERYWHERE & set(one.flags)]
    options.sort(key=lambda option: not option.flags)
    more = f"\n{program.more}\n" if program.more else ""
    usage = " ".join([program.name, *map(spelling, options)])
    return f"\n## {program.name}\n\n{program.help}.\n{more}\n    {usage}\n{table(options)}{examples(program)}"


def spelling(option: Option) -> str:
    """An argument as a usage line has it."""
    name = name_of(option) + (" ..." if option.many else "")
    return name if option.required else f"[{name}]"


def name_of(option: Option) -> str:
    """A flag with its value, or what stands for a word."""
    return " ".join([*option.flags[:1], *([option.value] if option.value else [])])


def table(options: list[Option]) -> str:
    """What each of them means."""
    rows = [f"| {code(name_of(one))} | {plain(one.help)} |\n" for one in options]
    return "\n| argument | meaning |\n|---|---|\n" + "".join(rows) if rows else ""


def examples(program: Program) -> str:
    """Command lines to copy, each below what it is for."""
    return "\n" + "\n".join(f"    # {purpose}\n    {line}\n" for line, purpose in program.examples)


def code(text: str) -> str:
    """Code in a cell of a table."""
    return "`" + text.replace("|", "\\|") + "`"


def plain(text: str) -> str:
    """Text in a cell of a table."""
    for sign in "|*":
        text = text.replace(sign, "\\" + sign)
    return text


def exit_codes() -> str:
    """A line for each exit code: what it means, and which commands end with it."""
    known = [programs.exit_statuses(name) for name in ("istat", "istat-server", "istat-agent")]
    lines = []
    for number in sorted(set().union(*known)):
        meaning = next(one[number] for one in known if number in one)
        marks = " | ".join("x" if number in one else "" for one in known)
        lines.append(f"| {number} | {'success' if number == 0 else plain(meaning)} | {marks} |\n")
    return "".join(lines)


def alias(program: Program, statuses: dict[int, str]) -> str:
    """One of istatd's programs on the page."""
    words = [one.value for one in program.options if not one.flags]
    options = [one for one in program.options if one.flags and "--help" not in one.flags]
    usage = " ".join([program.name, *(f"[{name_of(one)}]" for one in options), *words])
    more = f"\n{program.more}\n" if program.more else ""
    ends = "; ".join(f"{status}: {text[:1].lower()}{text[1:]}" for status, text in statuses.items() if status > 1)
    told = f"\nExit status {ends}.\n" if ends else ""
    return f"\n### {program.name}\n\n{program.help}.\n{more}\n    {usage}\n{table(options)}{told}{examples(program)}"


def page() -> str:
    """docs/command-line.md."""
    daemons = [part for one in programs.DAEMONS.values()
               for part in (daemon(programs.daemon(one), set(one.settings)),
                            *map(sub_command, programs.commands_of(one.program)))]
    ours = "".join([*daemons, *map(sub_command, programs.tool()[1])])
    others = [alias(programs.of_alias(one), programs.alias_statuses(one)) for one in programs.aliases().values()]
    return HEAD + ours + ISTATD + "".join(others) + TAIL + exit_codes()


def main(argv: list[str]) -> int:
    """Write the page, or with --check compare it."""
    text = page()
    if "--check" in argv:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    # Defaults that are told must not be those of who runs this.
    for variable in programs.command.ENVIRONMENT:
        os.environ.pop(variable, None)
    sys.exit(main(sys.argv[1:]))
