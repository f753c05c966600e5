"""What `python -m build` makes of the tree that git knows: a wheel and an sdist, each installed in a virtual
environment of its own and used from outside the source tree. Build tools and libraries come from PyPI; without it all
is skipped.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import requests

from ftest.harness.serverprocess import ROOT, ServerProcess
from istat import __version__
from tests.skips import need

NAME = f"istatd-{__version__}"
VENDOR = "istat_server/ui/vendor"
VENDOR_FILES = ("uPlot.esm.js", "uPlot.min.css", "LICENSE")
NOT_SHIPPED = {".ci/run", ".gitignore"}
# This is about what is packed, not about how fast it runs: the optimizer would take most of the test's time. What was
# compiled for one build is taken for the other, if that comes to the same C.
COMPILER = """#!/bin/sh
case " $* " in *" -c "*) ;; *) exec gcc "$@" ;; esac
for word; do case $word in *.c) source=$word ;; *.o) object=$word ;; esac; done
kept=$0.$(cksum <"$source" | tr ' ' -)
[ -e "$kept" ] || { gcc "$@" -O0 -g0 && cp "$object" "$kept"; } || exit 1
exec cp "$kept" "$object"
"""
BUILD_SECONDS, COMMAND_SECONDS = 600, 60
pytestmark = pytest.mark.seconds(90)


def environment(**more: str) -> dict[str, str]:
    """Ours without anything that points into the source tree."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("ISTAT_") and name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # Most of what pip installs is never imported here: no bytecode of it.
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_COMPILE": "1", **more}


def run(*command: object, folder: Path, seconds: float = COMMAND_SECONDS, **more: str) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], cwd=folder, env=environment(**more), capture_output=True,
                          text=True, timeout=seconds)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files that git knows and that are there."""
    need(shutil.which("git") is not None and (ROOT / ".git").exists(), "a clone with git")
    listed = run("git", "ls-files", "-z", folder=ROOT).split("\0")
    return sorted(name for name in listed if name and (ROOT / name).exists())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the source tree, with pip's way to its index shown to be open."""
    made = tmp_path_factory.mktemp("wheel")
    fetch = "download --no-deps --no-cache-dir --quiet --retries 1 --timeout 20 --dest probe pluggy"
    probe = subprocess.run([sys.executable, "-m", "pip", *fetch.split()], cwd=made, env=environment(),
                           capture_output=True, text=True, timeout=120)
    if probe.returncode:
        pytest.skip(f"pip reaches no index of packages: {probe.stderr.strip().splitlines()[-1]}")
    return made


@dataclass(frozen=True)
class Built:
    """The two files, and the environment to build more with."""

    wheel: Path
    sdist: Path
    compiler: str


@pytest.fixture(scope="module")
def built(folder: Path, tracked: list[str]) -> Built:
    """`python -m build`: the sdist of a clean copy, and the wheel of that sdist."""
    need(shutil.which("gcc") is not None, "a C compiler")
    source = folder / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    (source / VENDOR).mkdir()
    for name in VENDOR_FILES:       # as `setup.py build_ui` leaves them, which has tests of its own
        fetched = ROOT / VENDOR / name
        (source / VENDOR / name).write_bytes(fetched.read_bytes() if fetched.exists() else b"/* stands for it */\n")
    compiler = folder / "gcc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source, folder=folder, seconds=BUILD_SECONDS,
        CC=str(compiler))
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return Built(wheel, sdist, str(compiler))


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def programs(request: pytest.FixtureRequest, built: Built, folder: Path) -> Iterator[Path]:
    """The folder of programs of a virtual environment in which one of the two was installed."""
    place = folder / request.param
    run(sys.executable, "-m", "venv", "--without-pip", place, folder=folder)
    run(sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "--quiet",
        getattr(built, request.param), folder=folder, seconds=BUILD_SECONDS, CC=built.compiler)
    yield place / "bin"
    shutil.rmtree(place)


def metadata(wheel: Path) -> Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())


def test_the_wheel_has_what_runs_and_no_more(built: Built, tracked: list[str]) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    kernels = [name for name in tracked if name.startswith("istat/kernels/native/") and name.endswith(".pyx")]
    assert len(kernels) > 10
    for kernel in kernels:
        assert any(re.fullmatch(re.escape(kernel[:-4]) + r"\.[^/]*\.so", name) for name in names), kernel
    assert any(re.fullmatch(r"istat/pagecache/preload/advice\.[^/]*\.so", name) for name in names)
    ours = {name for name in tracked if name.startswith(("istat/", "istat_server/", "istat_agent/", "plugins/"))}
    wanted = re.compile(r".*(\.py|\.pxd|py\.typed)|istat_server/ui/.*|plugins/\w+/(sample\.toml|README\.md)")
    tests = re.compile(r"(.*/)?(test_\w+|conftest)\.py")
    ours = {name for name in ours if wanted.fullmatch(name) and not tests.fullmatch(name)}
    ours |= {f"{VENDOR}/{name}" for name in VENDOR_FILES}
    shipped = {re.sub(r"^istat_plugins/", "plugins/", name) for name in names
               if ".dist-info/" not in name and not name.endswith(".so")}
    assert shipped == ours


def test_the_metadata_says_what_it_is(built: Built) -> None:
    told = metadata(built.wheel)
    assert (told["Name"], told["Version"], told["License"]) == ("istatd", __version__, "MIT")
    assert told["Requires-Python"] == ">=3.11"
    assert {"systemd", "parquet", "clickhouse", "docs", "dev"} <= set(told.get_all("Provides-Extra") or [])
    assert "Typing :: Typed" in (told.get_all("Classifier") or [])
    with zipfile.ZipFile(built.wheel) as archive:
        assert any(name.endswith("/LICENSE") and ".dist-info/" in name for name in archive.namelist())


def test_the_sdist_is_all_that_git_knows(built: Built, tracked: list[str]) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive if member.isfile()}
    made = {name for name in names if name in ("PKG-INFO", "setup.cfg") or name.startswith("istatd.egg-info/")}
    assert names - made == set(tracked) - NOT_SHIPPED | {f"{VENDOR}/{name}" for name in VENDOR_FILES}


def test_the_programs_run_anywhere(programs: Path, tmp_path: Path) -> None:
    for name in ("istat", "istat-server", "istat-agent"):
        assert run(programs / name, "--version", folder=tmp_path) == f"{name} {__version__}\n"
    assert "fine" in run(programs / "istat-server", "--store", tmp_path / "store", "--check-config", folder=tmp_path)
    helped = run(programs / "istat", "import", "--help", folder=tmp_path)
    assert "Import buckets of other systems" in helped
    listed = run(programs / "istat-agent", "--list-collectors", folder=tmp_path)
    assert re.search(r"^cpu +10 s +built-in cpu ", listed, re.MULTILINE)
    advised = 'import os; print(os.environ["ISTAT_ADVICE"], "advice" in open("/proc/self/maps").read())'
    assert run(programs / "istat", "fadvise", "run", "--random", "--", programs / "python", "-c", advised,
               folder=tmp_path) == "random True\n"
    asked = "import istat.kernels as k; print(k.IMPLEMENTATION, *k.native_missing()); print(k.__file__)"
    which, place = run(programs / "python", "-c", asked, folder=tmp_path).splitlines()
    assert which == "native"
    assert Path(place).is_relative_to(programs.parent), "the source tree is used, not what was installed"


def test_a_server_takes_a_sample_and_shows_its_page(programs: Path, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.command, server.environment = [str(programs / "istat-server")], environment()
    with server:
        assert server.get("/api/v1/status")["kernels"] == "native"
        page = requests.get(server.url + "/", timeout=10)
        assert page.status_code == 200 and "<title>istatd</title>" in page.text
        for file in ("app.js", "style.css", *(f"vendor/{name}" for name in VENDOR_FILES[:2])):
            assert requests.get(f"{server.url}/ui/{file}", timeout=10).status_code == 200, file
        to = f"127.0.0.1:{server.stat_port}"
        run(programs / "istat", "send", "--to", to, "shop.queue.length", "17", folder=tmp_path)
        server.wait_until(lambda: server.ingest()["samples"] >= 1, "the sample is taken")
        table = run(programs / "istat", "query", "--server", server.url, "shop.queue.length", folder=tmp_path)
        assert table.splitlines()[-1].split()[1:] == ["17", "17", "17"]
