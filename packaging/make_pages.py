"""Write the manual pages, the completion for bash and the sample settings files, as packages hold them.

python3 packaging/make_pages.py FOLDER          # from a source tree; needs what the daemons need, and no network

FOLDER/man/*.{1,5,8}, FOLDER/completion/COMMAND, FOLDER/etc/{server,agent}.toml. Two runs write the same bytes: the only
date is SOURCE_DATE_EPOCH's, else that of the newest entry of packaging/debian/changelog, else none.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
# Defaults that are told must not be those of who builds.
for name in [name for name in os.environ if name.startswith("ISTAT_")]:
    del os.environ[name]

import bashcompletion  # noqa: E402
import manpages  # noqa: E402
import programs  # noqa: E402


def date() -> str:
    """The day that pages carry, as 2026-11-22; empty where none is known."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%d")
    changelog = HERE / "debian/changelog"
    if changelog.exists():
        signed = next(line for line in changelog.read_text().splitlines() if line.startswith(" -- "))
        return parsedate_to_datetime(signed.rpartition(">")[2].strip()).astimezone(UTC).strftime("%Y-%m-%d")
    return ""


def main(argv: list[str]) -> int:
    """Write all files below the folder."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: make_pages.py FOLDER", file=sys.stderr)
        return 2
    samples = {f"{name.removeprefix('istat-')}.toml": one.sample() for name, one in programs.DAEMONS.items()}
    for folder, texts in (("man", manpages.pages(date())), ("completion", bashcompletion.files()), ("etc", samples)):
        target = Path(argv[0], folder)
        target.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (target / file).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
