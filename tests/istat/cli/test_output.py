"""A standard output that cannot be written to is told in a sentence, with the right status, by all our programs."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAMS = {
    "istat --help": ["-m", "istat_server.tools", "--help"],
    "istat --version": ["-m", "istat_server.tools", "--version"],
    "istat-server --sample-config": ["-m", "istat_server.main", "--sample-config"],
    "istat-agent --list-collectors": ["-m", "istat_agent.main", "--list-collectors"],
}
MUCH = "import sys; from istat.cli import output; sys.exit(output.run(lambda: print('x' * 100_000) or 0, " \
       "lambda text: print('p:', text, file=sys.stderr)))"
NONE = MUCH.replace("print('x' * 100_000) or 0", "3")


def run(words: list[str], output: str) -> subprocess.CompletedProcess[str]:
    """Run it by a shell, with its standard output led elsewhere."""
    return subprocess.run(["sh", "-c", f'exec "$@" {output}', "sh", sys.executable, *words], capture_output=True,
                          text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_full_disk_is_told(name: str) -> None:
    done = run(PROGRAMS[name], "> /dev/full")
    assert done.returncode == 1
    program = name.split()[0]
    assert done.stderr.splitlines()[-1] == \
        f"{program}: standard output cannot be written: No space left on device"


@pytest.mark.parametrize("code", [MUCH, MUCH.replace("100_000", "10")])
def test_more_and_less_than_a_buffer(code: str) -> None:
    for output, told in (("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        done = run(["-c", code], output)
        assert (done.returncode, done.stderr) == (1, f"p: standard output cannot be written: {told}\n")
    done = run(["-c", code], "| head -c 5")
    assert done.stderr == ""


@pytest.mark.parametrize("output", ["> /dev/full", ">&-", ""])
def test_who_prints_nothing_ends_as_it_would(output: str) -> None:
    done = run(["-c", NONE], output)
    assert (done.returncode, done.stderr) == (3, "")
