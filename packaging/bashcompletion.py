"""Completion for bash: a file for each command, with functions that need nothing but bash itself.

`NAME=value` after a flag is known too: bash hands the equals sign over as a word of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import programs
from programs import Option, Program

HEAD = """\
# Completion of {name} for bash. Made by packaging/make_pages.py from the program's own declarations.
"""
# Sets cur (the word to complete) and prev (the word before); helps with paths and words.
WORDS = """\
{function}_words() {{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}}

{function}_files() {{
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    compopt -o filenames 2>/dev/null
}}
"""
BEGIN = """\
{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=
    ((COMP_CWORD > 0)) && prev=${{COMP_WORDS[COMP_CWORD - 1]}}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]] && ((COMP_CWORD > 1)); then
        prev=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    COMPREPLY=()
"""


def files() -> dict[str, str]:
    """Command -> its completion."""
    made = {name: _daemon(programs.daemon(declaration)) for name, declaration in programs.DAEMONS.items()}
    made |= {name: _alias(programs.of_alias(alias)) for name, alias in programs.aliases().items()}
    made["istat"] = _tool(*programs.tool())
    return dict(sorted(made.items()))


def _begin(name: str) -> list[str]:
    function = _function(name)
    return [part.format(name=name, function=function) for part in (HEAD, WORDS, BEGIN)]


def _end(name: str) -> str:
    return f"}}\n\ncomplete -F {_function(name)} {name}\n"


def _function(name: str) -> str:
    return "_" + name.replace("-", "_").replace(".", "_")


def _alias(program: Program) -> str:
    function = _function(program.name)
    body = _values(function, program.options, "    ")
    if any(option.files and not option.flags for option in program.options):
        body += ["    if [[ $cur != -* ]]; then\n", f"        {function}_files\n", "        return\n", "    fi\n"]
    body.append(f"    {function}_words {_quoted(_flags(program.options))}\n")
    return "\n".join(_begin(program.name)) + "".join(body) + _end(program.name)


def _daemon(program: Program) -> str:
    function = _function(program.name)
    commands = programs.commands_of(program.name)
    body = [*_commands(function, commands), *_values(function, program.options, "    "),
            *_first_words(function, [one.name.partition(" ")[2] for one in commands], program.options)]
    return "\n".join(_begin(program.name)) + "".join(body) + _end(program.name)


def _first_words(function: str, commands: Sequence[str], options: Sequence[Option]) -> list[str]:
    """What to offer at the beginning of a word: flags, and commands where that is the first one."""
    offer = [f"    {function}_words {_quoted(_flags(options))}\n"]
    if not commands:
        return offer
    first = _quoted([*commands, *_flags(options)])
    return ["    if ((COMP_CWORD == 1)); then\n", f"        {function}_words {first}\n", "        return\n", "    fi\n",
            *offer]


def _commands(function: str, commands: Sequence[Program]) -> list[str]:
    """What to offer behind a daemon's commands."""
    if not commands:
        return []
    body = ["    if ((COMP_CWORD > 1)); then\n", "        case ${COMP_WORDS[1]} in\n"]
    for one in commands:
        body += [f"            {shlex.quote(one.name.partition(' ')[2])})\n", *_values(function, one.options, " " * 16)]
        if any(option.files and not option.flags for option in one.options):
            body += ["                if [[ $cur != -* ]]; then\n", f"                    {function}_files\n",
                     "                    return\n", "                fi\n"]
        body += [f"                {function}_words {_quoted(_flags(one.options))}\n", "                return\n",
                 "                ;;\n"]
    return [*body, "        esac\n", "    fi\n"]


def _tool(program: Program, sub_commands: Sequence[Program]) -> str:
    names = [one.name.partition(" ")[2] for one in sub_commands]
    first = dict.fromkeys(name.partition(" ")[0] for name in names)
    body = ["    local command=${COMP_WORDS[1]}\n", "    if ((COMP_CWORD == 1)); then\n",
            f"        _istat_words {_quoted([*first, *_flags(program.options)])}\n", "        return\n", "    fi\n",
            *_groups(names), "    case $command in\n"]
    for name, one in zip(names, sub_commands):
        words = [word for option in one.options if not option.flags for word in option.words]
        body += [f"        {shlex.quote(name)})\n", *_values("_istat", one.options, " " * 12)]
        if any(option.files and not option.flags for option in one.options):
            body += ['            if [[ $cur != -* ]]; then\n', "                _istat_files\n",
                     "                return\n", "            fi\n"]
        body += [f"            _istat_words {_quoted([*words, *_flags(one.options)])}\n", "            ;;\n"]
    return "\n".join(_begin(program.name)) + "".join([*body, "    esac\n"]) + _end(program.name)


def _groups(names: Iterable[str]) -> list[str]:
    """What to offer behind the word of a group, or of a command with parts; the command has two words then."""
    names = list(names)
    groups: dict[str, list[str]] = {}
    for group, _, part in (name.partition(" ") for name in names):
        if part:
            groups.setdefault(group, []).append(part)
    lines = []
    for group, parts in groups.items():
        if group in names:      # what else may stand behind it is the command's own affair
            known = shlex.quote(f" {' '.join(parts)} ")
            lines += [f"    if ((COMP_CWORD > 2)) && [[ $command == {group} && {known}"
                      ' == *" ${COMP_WORDS[2]} "* ]]; then\n', '        command+=" ${COMP_WORDS[2]}"\n', "    fi\n"]
            continue
        lines += [f"    if [[ $command == {group} ]]; then\n", "        if ((COMP_CWORD == 2)); then\n",
                  f"            _istat_words {_quoted(parts)}\n", "            return\n", "        fi\n",
                  '        command+=" ${COMP_WORDS[2]}"\n', "    fi\n"]
    return lines


def _values(function: str, options: Iterable[Option], indent: str) -> list[str]:
    """What to offer after a flag that takes a value: its words, paths, or nothing that we could guess."""
    cases: dict[str, list[str]] = {}
    for option in options:
        if option.flags and option.value:
            offer = f"{function}_words {_quoted(option.words)}" if option.words else \
                f"{function}_files" if option.files else ":"
            cases.setdefault(offer, []).extend(option.flags)
    if not cases:
        return []
    lines = [f"{indent}case $prev in\n"]
    for offer, flags in cases.items():
        lines += [f"{indent}    {' | '.join(flags)})\n", f"{indent}        {offer}\n", f"{indent}        return\n",
                  f"{indent}        ;;\n"]
    return [*lines, f"{indent}esac\n"]


def _flags(options: Iterable[Option]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))
