"""Make the documentation as a site in build/site, without a warning, and make sure that it is complete in itself.

Its pages must not fetch fonts, scripts, pictures or anything else from other hosts: they are read on machines without a
way out, and nobody else has to know who reads them. Links that a reader may follow can lead anywhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build/site"
ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
# What a browser fetches by itself when it meets the attribute.
FETCHED = {"src", "srcset", "poster", "data", "action", "background"}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//[^"')\s]*""", re.IGNORECASE)


class Fetches(HTMLParser):
    """Collects what a page fetches from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag's attributes."""
        values = {name: value or "" for name, value in attrs}
        names = FETCHED & values.keys()
        if tag == "link" and FETCHED_LINKS & set(values.get("rel", "").lower().split()):
            names.add("href")
        self.found += [f"<{tag} {name}={values[name]!r}>" for name in sorted(names) if ELSEWHERE.match(values[name])]
        self.found += IN_STYLES.findall(values.get("style", ""))


def fetches(html: str) -> list[str]:
    """What the text of a page fetches from other hosts."""
    parser = Fetches()
    parser.feed(html)
    return parser.found + [found for style in re.findall(r"<style.*?</style>", html, re.DOTALL)
                           for found in IN_STYLES.findall(style)]


def problems(site: Path) -> Iterator[str]:
    """A sentence for each thing that a made site fetches from elsewhere."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            found = fetches(path.read_text())
        elif path.suffix == ".css":
            found = IN_STYLES.findall(path.read_text())
        else:
            continue
        for one in found:
            yield f"{path.relative_to(site)} fetches from another host: {one}"


def main() -> int:
    """Build and look; 1 when something is wrong."""
    # The theme tells of its own future with every build otherwise.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(SITE)]
    if subprocess.run(command, cwd=ROOT, env=environment).returncode:
        return 1
    found = list(problems(SITE))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
