"""The manual pages: commands (section 1), daemons (8) and settings files (5). Knows what a page has to say, not where
it goes: `pages` returns texts by file name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path as FilePath

import programs
from programs import Option, Program
from roff import Page, bold, italic, reference

from istat import __version__
from istat.cli import command
from istat.settings.declaration import Declaration, Many, Path, Setting
from istat_agent.reference import definitions

ROOT = FilePath(__file__).resolve().parent.parent
KERNELS = "which kernels to use: `native`, or `python` for their slower twins (default: native where they were built)"
AGENT_SIGNALS = (
    ("SIGTERM, SIGINT", "What waits is sent; the agent ends with status 0."),
    ("SIGHUP", "Settings and drop-in files are read again. When they are wrong, the agent goes on as it was."),
)
#: Settings file -> page of section 5.
SETTINGS_PAGES = {"istat-server": "istatd-server.toml", "istat-agent": "istatd-agent.toml"}


def pages(date: str) -> dict[str, str]:
    """File name -> text of every page."""
    tool, sub_commands = programs.tool()
    daemons = [programs.daemon(declaration) for declaration in programs.DAEMONS.values()]
    commands = [one for name in programs.DAEMONS for one in programs.commands_of(name)]
    made = {f"{p.page}.{p.section}": _sub_command(p, date) for p in [*sub_commands, *commands]}
    made |= {f"{name}.1": _alias(programs.of_alias(alias), programs.alias_statuses(alias), date)
             for name, alias in programs.aliases().items()}
    made["istat.1"] = _tool(tool, sub_commands, date)
    for one, declaration in zip(daemons, programs.DAEMONS.values()):
        made[f"{one.page}.8"] = _daemon(one, declaration, date)
        made[f"{SETTINGS_PAGES[one.name]}.5"] = _settings_file(declaration, date)
    return dict(sorted(made.items()))


def _page(program: Program, date: str) -> Page:
    return Page(program.page, program.section, _lowered(program.help), date, __version__)


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _tool(program: Program, sub_commands: Sequence[Program], date: str) -> str:
    page = _page(program, date)
    page.section("SYNOPSIS")
    page.roff(f"{bold('istat')} {italic('COMMAND')} [{italic('OPTION')} ...]")
    page.section("DESCRIPTION")
    page.paragraph("Each command has a page of its own and takes --json, which makes it print JSON for programs.")
    page.section("COMMANDS")
    for one in sub_commands:
        page.term(reference(f"{one.page}(1)"), f"{one.help}.")
    page.section("OPTIONS")
    _options(page, program)
    page.section("EXIT STATUS")
    _exit_statuses(page, program.name)
    _environment(page, list(command.ENVIRONMENT))
    page.section("EXAMPLES")
    for one in sub_commands:
        _examples(page, one.examples[:1])
    _see_also(page, *(f"{one.page}(1)" for one in sub_commands), "istat-server(8)", "istat-agent(8)")
    return str(page)


def _sub_command(program: Program, date: str) -> str:
    page = _page(program, date)
    page.section("SYNOPSIS")
    flags_first = sorted(program.options, key=lambda option: not option.flags)
    page.roff(" ".join([bold(program.name), *(_in_synopsis(option) for option in flags_first)]))
    page.section("DESCRIPTION")
    page.paragraph(f"{program.help}.")
    if program.more:
        page.paragraph(program.more)
    page.section("OPTIONS")
    _options(page, program)
    page.section("EXIT STATUS")
    page.paragraph("0 when it was done, 2 for a command line that cannot be understood.")
    whole = "istat(1)" if program.section == 1 else f"{program.name.partition(' ')[0]}({program.section})"
    page.roff(f"All others are told in {reference(whole)}.")
    used = [name for name in command.ENVIRONMENT if any(name in option.help for option in program.options)]
    if used:
        _environment(page, used)
    page.section("EXAMPLES")
    _examples(page, program.examples)
    _see_also(page, whole, "istat-server(8)")
    return str(page)


def _alias(program: Program, statuses: dict[int, str], date: str) -> str:
    page = _page(program, date)
    page.section("SYNOPSIS")
    words = [italic(option.value) for option in program.options if not option.flags]
    flags = [_in_synopsis(option) for option in program.options if option.flags]
    page.roff(" ".join([bold(program.name), *flags, *words]))
    page.section("DESCRIPTION")
    page.paragraph(f"{program.help}, as istatd's program of this name did.")
    if program.more:
        page.paragraph(program.more)
    page.section("OPTIONS")
    for option in program.options:
        if option.flags:
            value = italic(option.value) if option.value else ""
            page.term(" ".join(filter(None, (", ".join(map(bold, option.flags)), value))), _sentence(option.help))
    page.section("EXIT STATUS")
    for status, text in statuses.items():
        page.term(bold(str(status)), _sentence(text))
    page.section("EXAMPLES")
    _examples(page, program.examples)
    _see_also(page, "istat(1)", "istat-ring(1)", "istat-server(8)")
    return str(page)


def _daemon(program: Program, declaration: Declaration, date: str) -> str:
    page = _page(program, date)
    page.section("SYNOPSIS")
    page.roff(f"{bold(program.name)} [{bold('--config')} {italic('FILE')}] [{bold('--')}{italic('SETTING VALUE')} ...]")
    page.section("DESCRIPTION")
    page.paragraph(f"{program.help}. {program.more}".strip())
    commands = programs.commands_of(program.name)
    page.paragraph("It stays in the foreground and logs to the standard error. Every setting can be given as a flag, "
                   "as an environment variable or in the settings file; the first of these that has it wins.")
    if commands:
        page.section("COMMANDS")
        page.paragraph("With one of these as its first word it does that, and ends:")
        for one in commands:
            page.term(reference(f"{one.page}({one.section})"), f"{one.help}.")
    page.section("OPTIONS")
    _options(page, program)
    page.section("SIGNALS")
    for name, text in _server_signals() if program.name == "istat-server" else AGENT_SIGNALS:
        page.term(bold(name), text)
    page.section("EXIT STATUS")
    _exit_statuses(page, program.name)
    page.section("ENVIRONMENT")
    first = next(iter(declaration.settings))
    page.term(bold(declaration.env_prefix) + italic("SETTING"),
              f"Each setting, in capital letters and with _ for -, such as `{declaration.variable(first)}`. "
              f"`{declaration.variable('config')}` names the settings file.")
    page.term(bold("ISTAT_KERNELS"), KERNELS)
    page.term(", ".join(bold(name) for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC")),
              "Set by the service manager, which is told when the daemon is ready, and that it is alive.")
    page.section("FILES")
    page.term(italic(declaration.file), "Settings, when `--config` names it, as the packaged service does.")
    for path, setting in _files(declaration):
        page.term(italic(path), f"See `--{setting.name}`.")
    page.section("EXAMPLES")
    _examples(page, program.examples)
    other = "istat-agent(8)" if program.name == "istat-server" else "istat-server(8)"
    _see_also(page, *(f"{one.page}({one.section})" for one in commands), "istat(1)", other,
              f"{SETTINGS_PAGES[program.name]}(5)", "systemd.service(5)")
    return str(page)


def _settings_file(declaration: Declaration, date: str) -> str:
    page = Page(SETTINGS_PAGES[declaration.program], 5, f"settings of {declaration.program}", date, __version__)
    page.section("SYNOPSIS")
    page.roff(italic(declaration.file))
    page.section("DESCRIPTION")
    page.paragraph(f"The settings of {declaration.program} as a TOML file: lines `NAME = VALUE`, and comments after #. "
                   "What is not in it has its default. Flags and environment variables win over the file.")
    page.paragraph(f"`{declaration.program} --config {declaration.file} --check-config` reports all problems at once.")
    page.section("SETTINGS")
    for setting in declaration.settings.values():
        default = "" if setting.secret or setting.default in (None, "", ()) else setting.toml(setting.default)
        page.term(f"{bold(setting.name)} = {italic(setting.type.word or 'true|false')}", _sentence(setting.help)
                  + (f" In {setting.unit}." if setting.unit else ""))
        page.more(f"It wants {setting.type.expects()}. " + (f"Default: `{default}`. " if default else "")
                  + f"Variable: `{declaration.variable(setting.name)}`.")
    if declaration.program == "istat-agent":
        _collectors(page)
    else:
        page.section("PLUGINS")
        page.paragraph("The table `[plugins.NAME]` has the settings of the plugin of that name.")
    page.section("RELOADING")
    page.paragraph(declaration.reload_note())
    page.section("FILES")
    page.term(italic(declaration.file), "The settings. The sample that comes with the package has every setting "
              f"commented out at its default; `{declaration.program} --sample-config` prints it.")
    page.section("EXAMPLES")
    page.example(*(f"{s.name} = {s.example or s.toml(s.default)}" for s in _telling(declaration)))
    _see_also(page, f"{declaration.program}(8)", "istat(1)")
    return str(page)


def _telling(declaration: Declaration) -> list[Setting]:
    """The first three settings, and those whose declaration has an example."""
    every = list(declaration.settings.values())
    return every[:3] + [setting for setting in every[3:] if setting.example]


def _collectors(page: Page) -> None:
    page.section("COLLECTORS")
    page.paragraph("Each collector can have a table `[plugins.NAME]` with its own `interval` (whole seconds), "
                   "`timeout` (seconds; default its interval), and these settings:")
    for name, (_folder, definition) in sorted(definitions().items()):
        page.term(bold(f"[plugins.{name}]"), definition.help)
        for setting in definition.settings:
            page.more(f"`{setting.name} = {setting.sample}`: {setting.meaning}")


def _sentence(text: str) -> str:
    ended = text.endswith(".") or (text.endswith(")") and ". (" in text)
    return text[:1].upper() + text[1:] + ("" if ended else ".")


def _in_synopsis(option: Option) -> str:
    if not option.flags:
        value = bold(option.value) if option.words else italic(option.value)
        return (value if option.required else f"[{value}]") + (" ..." if option.many else "")
    text = bold(option.flags[0]) + (f" {italic(option.value)}" if option.value else "")
    return text if option.required else f"[{text}]"


def _options(page: Page, program: Program) -> None:
    words_first = sorted(program.options, key=lambda option: bool(option.flags))
    for option in words_first:
        tag = ", ".join(bold(flag) for flag in option.flags)
        value = italic(option.value) if option.value else ""
        page.term(" ".join(part for part in (tag, value) if part), _sentence(option.help))


def _exit_statuses(page: Page, program: str) -> None:
    for status, text in programs.exit_statuses(program).items():
        page.term(bold(str(status)), _sentence(text))


def _environment(page: Page, names: Sequence[str]) -> None:
    page.section("ENVIRONMENT")
    for name in names:
        page.term(bold(name), _sentence(command.ENVIRONMENT[name]))


def _examples(page: Page, examples: Sequence[tuple[str, str]]) -> None:
    for line, purpose in examples:
        page.paragraph(purpose if purpose.endswith("?") else f"{purpose}:")
        page.example(line)


def _see_also(page: Page, *others: str) -> None:
    page.section("SEE ALSO")
    for other in others[:-1]:
        page.roff(f"{reference(other)},")
    page.roff(reference(others[-1]))


def _files(declaration: Declaration) -> list[tuple[str, Setting]]:
    """Paths that are used unless other ones are set."""
    found: list[tuple[str, Setting]] = []
    for setting in declaration.settings.values():
        inner = setting.type.of if isinstance(setting.type, Many) else setting.type
        if isinstance(inner, Path) and setting.default:
            every = setting.default if isinstance(setting.type, Many) else [setting.default]
            found += [(str(path), setting) for path in every]
    return found


def _server_signals() -> list[tuple[str, str]]:
    """The rows of the table in docs/operating.md."""
    text = (ROOT / "docs/operating.md").read_text().partition("\n## Signals\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (SIG[^|]*) \| (.*) \|$", text, re.MULTILINE)
    if not rows:
        raise ValueError("docs/operating.md has no table of signals")
    return [(names.strip(), _sentence(told)) for names, told in rows]
