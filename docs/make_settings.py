"""Write docs/settings.md from the programs' declarations; --check exits with 1 when it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from istat.settings.declaration import Declaration  # noqa: E402
from istat_agent.options import DECLARATION as AGENT  # noqa: E402
from istat_server.options import DECLARATION as SERVER  # noqa: E402

TARGET = ROOT / "docs/settings.md"
HEAD = """# Settings

Each can be given as a flag (`--stat-port 8111`), as an environment variable (`ISTAT_SERVER_STAT_PORT`), or
in the TOML file that `--config` names; the first of these that has it wins. `--check-config` reports all
problems at once, `--sample-config` prints a commented file. The tables `[plugins.NAME]` of the file are the settings of
[collectors](collectors.md) and of [the server's plugins](extending.md#settings). This page is made by
`docs/make_settings.py`.
"""


def section(declaration: Declaration) -> str:
    """One program's part of the page."""
    variable = declaration.env_prefix + "..."
    return (
        f"\n## {declaration.program}\n\n{declaration.about}\n\n"
        f"File: usually `{declaration.file}`; variables: `{variable}`.\n\n{declaration.table()}"
        f"\n{declaration.reload_note()}\n"
    )


def main(argv: list[str]) -> int:
    """Write the page, or with --check compare it."""
    text = HEAD + section(SERVER) + section(AGENT)
    if "--check" in argv:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
