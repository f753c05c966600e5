"""Write docs/command-line.md from the commands' own declarations; --check exits with 1 when it is stale."""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import istat  # noqa: E402
import istat_server  # noqa: E402
from istat import command  # noqa: E402
from istat.errors import IstatError  # noqa: E402
from istat_server.tools import COMMANDS  # noqa: E402

TARGET = ROOT / "docs/command-line.md"
HEAD = """# Command line

<!-- Written by `docs/make_commands.py` from the commands' own declarations: change those. -->

| command | what it does | options |
|---|---|---|
| `istat-server` | the server, in the foreground | its [settings](settings.md#istat-server), `--config FILE`, \
`--check-config`, `--sample-config` |
| `istat-agent` | the agent, in the foreground | its [settings](settings.md#istat-agent), `--config FILE`, \
`--check-config`, `--sample-config`, `--once`, `--list-collectors` |
| `istat` | looks at a server, sends samples, works on stores | below |

All three have `--help` and `--version`. Every sub-command of `istat` has `--json`, which prints JSON in place of
text for people. Those with `--server` ask a running server; its address may stand in the variable `ISTAT_URL`.
Those that need the admin token take it from the variable `ISTAT_ADMIN_TOKEN`, or from `--token-file`. Other packages
can bring sub-commands: [Development](development.md#sub-commands-of-istat).
"""
TAIL = """
## Exit codes

0 is success, 130 an end by Ctrl-C. Every error has a code of its own, the same for all commands:

| code | meaning |
|---|---|
"""
OTHER = "Any other error."
EVERYWHERE = ("-h", "--json")  # what all sub-commands have


def sub_commands() -> dict[str, argparse.ArgumentParser]:
    """Name -> parser of every sub-command of `istat`, as `istat --help` lists them."""
    os.environ.pop(command.URL_VARIABLE, None)  # it would show as a default
    brought = {name: partial(pkgutil.resolve_name, place) for name, place in COMMANDS.items()}
    parser = command._parser([], brought)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("istat has no sub-commands")


def section(name: str, parser: argparse.ArgumentParser) -> str:
    """One sub-command's part of the page."""
    shown = [a for a in parser._actions if not set(a.option_strings) & set(EVERYWHERE)]
    words = " ".join(spelling(action) for action in shown)
    rows = [f"| {cell(name_of(a))} | {plain(a.help or '')} |" for a in shown if a.help]
    table = "\n| argument | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"\n## istat {name}\n\n{parser.description}\n\n    istat {name} {words}".rstrip() + f"\n{table}"


def spelling(action: argparse.Action) -> str:
    """An argument as a usage line has it."""
    name = name_of(action)
    if not action.option_strings:
        return {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name)
    return name if action.required else f"[{name}]"


def name_of(action: argparse.Action) -> str:
    """An option with its value, or what stands for a positional argument."""
    value = "|".join(map(str, action.choices)) if action.choices else str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return value
    return action.option_strings[-1] + ("" if action.nargs == 0 else f" {value}")


def cell(text: str) -> str:
    """Code in a cell of a table."""
    return "`" + text.replace("|", "\\|") + "`"


def plain(text: str) -> str:
    """Text in a cell of a table."""
    for sign in "|*":
        text = text.replace(sign, "\\" + sign)
    return text


def errors(kind: type[IstatError] = IstatError) -> Iterator[type[IstatError]]:
    """IstatError and all that are derived from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from errors(derived)


def exit_codes() -> str:
    """A line for each exit code: what the errors that end so are for."""
    for package in (istat, istat_server):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if ".kernels" not in module.name and not module.name.endswith("__main__"):
                import_module(module.name)
    meanings: dict[int, list[str]] = {}
    for kind in errors():
        if "exit_code" in vars(kind):
            text = OTHER if kind is IstatError else " ".join((kind.__doc__ or "").split())
            meanings.setdefault(kind.exit_code, []).append(plain(text.split(". ")[0].rstrip(".") + "."))
    return "".join(f"| {code} | {' '.join(texts)} |\n" for code, texts in sorted(meanings.items()))


def page() -> str:
    """docs/command-line.md."""
    sections = [section(name, parser) for name, parser in sorted(sub_commands().items())]
    return HEAD + "".join(sections) + TAIL + exit_codes()


def main(argv: list[str]) -> int:
    """Write the page, or with --check compare it."""
    text = page()
    if "--check" in argv:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
