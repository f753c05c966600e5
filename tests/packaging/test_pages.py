"""Manual pages, completion and sample files say all that the programs take, and nothing of who makes them."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.cli import command
from istat.settings.declaration import Declaration
from istat_agent.control import commands as of_agent
from istat_agent.options import DECLARATION as AGENT
from istat_server.options import DECLARATION as SERVER
from istat_server.tools import ALIASES, COMMANDS, brought

ROOT = Path(__file__).parents[2]
PARSER = command.parser([], brought())
SUB_COMMANDS = command.sub_commands([], brought())
WIDE = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def make(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """File -> text, as the script writes them."""
    subprocess.run([sys.executable, ROOT / "packaging/make_pages.py", folder], check=True, timeout=120,
                   env={"PATH": os.environ["PATH"], **environ})
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make(tmp_path_factory.mktemp("pages"), EPOCH)


def shown(page: str) -> str:
    """A page as read: without macros and escapes."""
    text = re.sub(r"\\f[BIR]", "", page)
    for escape, char in {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ga": "`", r"\(ha": "^", r"\(ti": "~",
                         r"\&": "", r"\(rs": "\\"}.items():
        text = text.replace(escape, char)
    return text


def places(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers behind a word."""
    return next(action.choices for action in parser._actions if isinstance(action.choices, dict))


def words_of(name: str) -> list[str]:
    """A sub-command as the parser has it: two words where it is one of a group, one with a blank where it is a part of
    a command."""
    return [name] if name in places(PARSER) else name.split()


def flags_of(name: str) -> list[str]:
    """The flags of a sub-command of istat."""
    parser = PARSER
    for word in words_of(name):
        parser = places(parser)[word]
    return [flag for action in parser._actions for flag in action.option_strings]


def page_of(name: str) -> str:
    return f"istat-{name.replace(' ', '-')}"


def complete(script: str, name: str, *words: str) -> list[str]:
    """What bash offers for the last of these words, after sourcing the command's completion."""
    function = "_" + name.replace("-", "_").replace(".", "_")
    assert f"complete -F {function} {name}\n" in script
    line = (f"{script}\nCOMP_WORDS=({shlex.join([name, *words])}); COMP_CWORD={len(words)}; {function}; "
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", line], capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return sorted(done.stdout.split("\n")[:-1] if done.stdout != "\n" else [])


def test_two_runs_write_the_same_whoever_makes_them(made: dict[str, str], tmp_path: Path) -> None:
    other = {**EPOCH, "ISTAT_URL": "http://elsewhere:1", "COLUMNS": "30", "LC_ALL": "C", "TZ": "Asia/Tokyo",
             "HOME": str(tmp_path)}
    assert make(tmp_path / "again", other) == made
    assert "2023-11-14" in shown(made["man/istat.1"])


def test_there_is_a_page_for_each_command_and_file(made: dict[str, str]) -> None:
    pages = {name.removeprefix("man/") for name in made if name.startswith("man/")}
    assert pages == {"istat.1", "istat-server.8", "istat-agent.8", "istatd-server.toml.5", "istatd-agent.toml.5",
                     *(f"istat-agent-{name}.8" for name in of_agent.COMMANDS),
                     *(f"{page_of(name)}.1" for name in SUB_COMMANDS), *(f"{name}.1" for name in ALIASES)}
    assert COMMANDS.keys() < SUB_COMMANDS.keys()
    assert {name for name in made if not name.startswith("man/")} == {
        "completion/istat", "completion/istat-server", "completion/istat-agent", "etc/server.toml", "etc/agent.toml",
        *(f"completion/{name}" for name in ALIASES)}


def test_istats_page_leads_to_each_sub_command(made: dict[str, str]) -> None:
    page = shown(made["man/istat.1"])
    assert [name for name in SUB_COMMANDS if f"{page_of(name)}(1)" not in page] == []
    assert [name for name in SUB_COMMANDS if SUB_COMMANDS[name].help.rstrip(".") not in page] == []
    assert [name for name in command.ENVIRONMENT if name not in page] == []


@pytest.mark.parametrize("name", SUB_COMMANDS)
def test_a_sub_commands_page_has_its_flags_and_examples(name: str, made: dict[str, str]) -> None:
    page = shown(made[f"man/{page_of(name)}.1"])
    found = {flag: re.search(rf"^{flag}\b|, {flag}\b", page, re.MULTILINE) for flag in flags_of(name)}
    assert [flag for flag, place in found.items() if not place] == []
    assert SUB_COMMANDS[name].examples
    for line, purpose in SUB_COMMANDS[name].examples:
        assert line in page and shown(purpose) in page


@pytest.mark.parametrize("name", SUB_COMMANDS)
def test_the_examples_can_be_typed(name: str) -> None:
    for line, _purpose in SUB_COMMANDS[name].examples:
        words = shlex.split(line.partition(" >")[0])
        assert words[:1 + len(name.split())] == ["istat", *name.split()]
        PARSER.parse_args([*words_of(name), *words[1 + len(name.split()):]])


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_page_and_completion_have_its_flags_and_its_example_can_be_typed(
    name: str, made: dict[str, str], tmp_path: Path
) -> None:
    alias = resolve_name(ALIASES[name])
    page, script = shown(made[f"man/{name}.1"]), made[f"completion/{name}"]
    flags = [flag.name for flag in alias.flags]
    assert [flag for flag in flags if not re.search(rf"^{flag}\b", page, re.MULTILINE)] == []
    assert complete(script, name, "-") == sorted([*flags, "--help"])
    assert alias.examples
    for line, _purpose in alias.examples:
        assert line in page
        words = shlex.split(line.rpartition("| ")[2] if f"| {name}" in line else line.split(" |")[0].split(" <")[0])
        assert words[0] == name
        alias.read(words[1:])
    (tmp_path / "a file").touch()
    assert complete(script, name, f"{tmp_path}/") == [f"{tmp_path}/a file"] * alias.files


@pytest.mark.parametrize("declaration", [SERVER, AGENT], ids=lambda d: d.program)
def test_the_daemons_examples_can_be_typed(declaration: Declaration) -> None:
    for line, _purpose in declaration.examples:
        words = [word for word in shlex.split(line)[1:] if word.removeprefix("--") not in declaration.actions]
        asked = {"--sample-config", "--check-config"} & set(words)
        if not asked:
            declaration.load(words, {})


@pytest.mark.parametrize("declaration", [SERVER, AGENT], ids=lambda d: d.program)
def test_a_daemons_pages_have_every_setting(declaration: Declaration, made: dict[str, str]) -> None:
    page = shown(made[f"man/{declaration.program}.8"])
    missing = [flag.name for flag in declaration.flags() if not re.search(rf"^--{flag.name}\b", page, re.MULTILINE)]
    assert missing == []
    file = shown(made[f"man/istatd-{declaration.program.removeprefix('istat-')}.toml.5"])
    assert [name for name in declaration.settings if not re.search(rf"^{name} = ", file, re.MULTILINE)] == []
    assert [name for name in declaration.settings if declaration.variable(name) not in file] == []
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SIGNALS", "EXIT STATUS", "ENVIRONMENT", "FILES",
                    "EXAMPLES", "SEE ALSO"):
        assert f'.SH "{section}"' in made[f"man/{declaration.program}.8"]


def test_the_servers_exit_statuses_are_those_of_its_documentation(made: dict[str, str]) -> None:
    section = made["man/istat-server.8"].partition('"EXIT STATUS"')[2].partition(".SH")[0]
    told = dict(re.findall(r"^\\fB(\d+)\\fR\n(.*)$", section, re.MULTILINE))
    table = (ROOT / "docs/operating.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE))
    assert {code: shown(text).lower().rstrip(".") for code, text in told.items()} == {
        code: text.lower() for code, text in documented.items()}


def test_the_samples_are_what_the_programs_print(made: dict[str, str]) -> None:
    assert (made["etc/server.toml"], made["etc/agent.toml"]) == (SERVER.sample(), AGENT.sample())
    assert tomllib.loads(made["etc/server.toml"]) == {}


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_has_nothing_to_complain_about(made: dict[str, str], tmp_path: Path) -> None:
    for name, text in made.items():
        if name.startswith("man/"):
            file = tmp_path / name.removeprefix("man/")
            file.write_text(text)
            told = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file], timeout=60,
                                  capture_output=True, text=True, env={**os.environ, **WIDE})
            assert (told.returncode, told.stderr) == (0, ""), name


def texts(made: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((name, text) for name, text in made.items() if name.startswith("man/"))


def test_what_is_typed_has_a_minus_and_no_line_is_a_macro_by_chance(made: dict[str, str]) -> None:
    macros = {".TH", ".SH", ".PP", ".TP", ".IP", ".RS", ".RE", ".nf", ".fi", ".nh", ".ad", r".\""}
    for name, text in texts(made):
        assert text.isascii(), name
        assert {line.split(" ")[0] for line in text.splitlines() if line.startswith((".", "'"))} <= macros, name
        assert re.findall(r"(?<![\\-])-?-[a-z]+ ", re.sub(r"\w-\w", "", text)) == [], name


def test_bash_completes_sub_commands_flags_choices_and_files(made: dict[str, str], tmp_path: Path) -> None:
    script = made["completion/istat"]
    assert complete(script, "istat", "que") == ["query"]
    first = {name.split()[0] for name in SUB_COMMANDS}
    assert complete(script, "istat", "") == sorted([*first, "--help", "--version", "-h"])
    assert complete(script, "istat", "cube", "s") == ["show", "size"]
    assert complete(script, "istat", "cube", "size", "--mode", "top") == ["top_cardinality", "topk"]
    for name in SUB_COMMANDS:
        assert complete(script, "istat", *name.split(), "-") == sorted(flags_of(name))
    assert complete(script, "istat", "clock", "c") == ["confirm"]
    assert complete(script, "istat", "import", "--from", "w") == ["whisper"]
    assert complete(script, "istat", "import", "--from", "=", "w") == ["whisper"]
    (tmp_path / "a file").touch()
    assert complete(script, "istat", "dump", f"{tmp_path}/") == [f"{tmp_path}/a file"]
    assert complete(script, "istat", "backup", "--store", f"{tmp_path}/a") == [f"{tmp_path}/a file"]
    assert complete(script, "istat", "query", "--last", "") == []


@pytest.mark.parametrize("declaration", [SERVER, AGENT], ids=lambda d: d.program)
def test_bash_completes_a_daemons_flags(declaration: Declaration, made: dict[str, str], tmp_path: Path) -> None:
    script = made[f"completion/{declaration.program}"]
    offered = complete(script, declaration.program, "--")
    assert [flag.name for flag in declaration.flags() if f"--{flag.name}" not in offered] == []
    assert complete(script, declaration.program, "--log-level", "") == ["debug", "error", "info", "warning"]
    (tmp_path / "a.toml").touch()
    assert complete(script, declaration.program, "--config", f"{tmp_path}/") == [f"{tmp_path}/a.toml"]
    assert complete(script, declaration.program, "--user", "") == []


@pytest.mark.parametrize("name", of_agent.COMMANDS)
def test_a_command_of_the_agent_has_a_page_completion_and_examples_that_can_be_typed(
        name: str, made: dict[str, str], tmp_path: Path) -> None:
    parser, one = places(of_agent.parser())[name], of_agent.COMMANDS[name]
    flags = [flag for action in parser._actions for flag in action.option_strings]
    page, script = shown(made[f"man/istat-agent-{name}.8"]), made["completion/istat-agent"]
    assert [flag for flag in flags if flag not in page] == []
    assert f"istat-agent-{name}(8)" in shown(made["man/istat-agent.8"])
    assert complete(script, "istat-agent", name[:2]) == [name]
    assert complete(script, "istat-agent", name, "-") == sorted(flags)
    assert complete(script, "istat-agent", "--server", name[:2]) == []
    assert one.examples
    for line, purpose in one.examples:
        assert line in page and shown(purpose) in page
        settings, words = of_agent.apart(shlex.split(line)[1:])
        assert settings == [] and words[0] == name
        of_agent.parser().parse_args(words)
    if name == "try":
        (tmp_path / "a.py").touch()
        assert complete(script, "istat-agent", name, f"{tmp_path}/") == [f"{tmp_path}/a.py"]
