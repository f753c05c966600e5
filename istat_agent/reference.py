"""Writes what the built-in collectors say of themselves: docs/collectors.md and each plugin's sample.toml.

python -m istat_agent.reference             # from the root of a checkout
python -m istat_agent.reference --check     # writes nothing; exits with 1 when one of them is stale
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from istat.plugin import Definition, common
from istat.settings.setting import PluginSettings
from istat_agent.collecting.finding import discover
from istat_agent.counters import Counters, self_collector

PAGE = Path("docs/collectors.md")
PLUGINS = Path("plugins")
INTRODUCTION = """\
# Collectors

<!-- Written by `python -m istat_agent.reference` from the collectors' declarations and their folders' READMEs. -->

What the agent's built-in collectors report. On the wire every name carries the host and the tags:
`cpu.user^host.web1^class.web` feeds the counters `cpu.user.host.web1` and `cpu.user.class.web`. An *event*
(its name has a `*` on the wire) is a number of things that happened, stored as a rate per second; all
others are gauges. A part in `<...>` varies. What cannot be known is absent, never zero; rates are absent
at the first reading of a device.

Every collector can have these settings in its table `[plugins.NAME]` of `agent.toml`, besides those below:

{common}

`enable` and `disable` in `agent.toml` choose collectors by name. `istat-agent --once` prints what would be sent.

With `naming = "istatd"`, which `cpu`, `disk`, `load`, `memory`, `network` and `processes` have, what istatd's daemon
told by its `local-stats` too is told by its names: `localstat.cpu.user^host.web1` instead of `cpu.user^host.web1`;
bytes, packets and errors as what came since the last reading, instead of per second. istatd read every 5 s: give
these collectors `interval = 5` where somebody compares such numbers. All other values keep the names below.

How to write one: [Writing a plugin](adding-a-collector.md).
"""
NOTES = "Names"  # how the last paragraph of a README begins, which leads to this page and to the tests


def definitions() -> dict[str, tuple[str, Definition]]:
    """Name -> (folder below plugins/, definition) of the built-in collectors, and the agent's own ("")."""
    own = self_collector(Counters())
    found = {own.name: ("", own)}
    for name, one in discover([]).found.items():
        if one.origin.startswith("built-in ") and one.definition is not None:
            found[name] = (one.origin.removeprefix("built-in "), one.definition)
    return found


def page() -> str:
    """docs/collectors.md."""
    sections = [_section(*one) for _, one in sorted(definitions().items())]
    return "\n".join([INTRODUCTION.replace("{common}", _common()), *sections])


def about(folder: str) -> str:
    """What the README of a plugin's folder tells its users: all but the title and the notes at its end."""
    paragraphs = (PLUGINS / folder / "README.md").read_text().strip().split("\n\n")
    notes = [paragraph.startswith(NOTES) for paragraph in paragraphs].index(True)
    return "\n\n".join(paragraphs[1:notes]).replace("](../../docs/", "](")  # the page lies there


def _section(folder: str, definition: Definition) -> str:
    lines = [f"## {definition.name}", "", definition.help, ""]
    if folder == definition.name:
        lines += [about(folder), ""]
    elif folder:
        lines += [f"It comes with [{folder}](#{folder}), which says why.", ""]
    if folder:
        lines += [f"Folder: `plugins/{folder}`. {_every(definition)}", ""]
    lines += ["| name | unit | what it is |", "|---|---|---|"]
    for metric in definition.metrics:
        event = ", event" if metric.event else ""
        lines.append(f"| `{metric.name}` | {(metric.unit + event).removeprefix(', ')} | {metric.help} |")
    if definition.settings:
        lines += ["", "| setting | value | default | what it does |", "|---|---|---|---|"]
        for setting in definition.settings:
            default = f"`{setting.shown_default}`" if setting.shown_default else ""
            cells = (f"`{setting.name}`", setting.type.expects(), default, setting.meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if folder:
        lines += ["", "Settings to copy:", "", "```toml", sample(definition).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _common() -> str:
    """The settings that every collector has."""
    return "\n".join(f"* `{one.name}`: {one.meaning}{_default(one.shown_default)}." for one in common())


def _default(shown: str) -> str:
    return f"; default `{shown}`" if shown else ""


def _every(definition: Definition) -> str:
    if definition.interval is None:
        return "Runs at the agent's interval."
    return f"Runs every {definition.interval} s unless told otherwise."


def sample(definition: Definition) -> str:
    """A table for agent.toml with everything commented out at its default, but for what hardly anybody needs."""
    settings = (*common(definition.interval, definition.timeout)[:2], *definition.settings)
    return PluginSettings(definition.name, settings).sample(definition.help)


def samples() -> dict[str, str]:
    """Folder below plugins/ -> its sample.toml."""
    texts: dict[str, list[str]] = {}
    for folder, definition in definitions().values():
        if folder:
            texts.setdefault(folder, []).append(sample(definition))
    return {folder: "\n".join(parts) for folder, parts in texts.items()}


def main(argv: Sequence[str] = ()) -> int:
    """Write all of them, or with --check compare them."""
    texts = {PAGE: page(), **{PLUGINS / folder / "sample.toml": text for folder, text in samples().items()}}
    if "--check" in argv:
        return 0 if all(path.exists() and path.read_text() == text for path, text in texts.items()) else 1
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
