"""What people meet first: `istat status`, and the likeliest mistakes, made for real with real processes.

Each mistake is a section of docs/troubleshooting.md. Its messages there are what is expected here: what varies
stands in <...>, and line breaks do not count. So the page cannot say what the programs do not.
"""
from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, ServerProcess
from ftest.install.mistakes import AGENT, ISTAT, MISTAKES, run, running, status_of

pytestmark = pytest.mark.seconds(25)
PAGE = (ROOT / "docs/troubleshooting.md").read_text()


def messages(section: str) -> list[re.Pattern[str]]:
    """The indented lines of a section that are messages, as patterns."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (.+)$", text, re.MULTILINE)
    told = [line for line in lines if not line.startswith(("chown", "/"))]
    assert told, f"docs/troubleshooting.md has no section {section!r} with a message"
    return [re.compile(re.sub(r"<[A-Z]+>", ".+?", re.escape(line).replace(r"\ ", " "))) for line in told]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user can reach: pytest's own are its user's alone."""
    made = Path("/var/tmp") / f"istat-first-contact-{os.getpid()}"
    made.mkdir(mode=0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("section", MISTAKES)
def test_a_mistake_is_told_as_the_page_says(section: str, place: Path) -> None:
    said = " ".join(MISTAKES[section](place).split())
    missing = [message.pattern for message in messages(section) if not message.search(said)]
    assert not missing, f"not said: {missing}\nsaid: {said}"


def test_status_of_a_server_that_an_agent_sends_to(place: Path) -> None:
    with ServerProcess(place / "a") as one, \
            running(AGENT, place / "agent.log", "--server", f"127.0.0.1:{one.stat_port}", "--interval", 1):
        one.wait_until(lambda: one.get("/api/v1/names", match="agent.*")["names"], "samples come")
        said = status_of(one)
        assert f"runs at {one.url} since " in said
        assert re.search(rf"^Data        {re.escape(str(one.store))}: ", said, re.MULTILINE), said
        assert re.search(r"^Senders     1 now: \S+ \(istat-agent [0-9.]+, [0-9.]+ s ago\)$", said, re.MULTILINE), said
        assert "Refused" not in said
        assert f"istat ls 'cpu.*' --server {one.url}" in said
        assert run(ISTAT, "status", "--all", "--server", one.url, status=0).startswith("version ")
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 10_000:
            assert "files can be open" not in said
