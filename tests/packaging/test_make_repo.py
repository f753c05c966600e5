"""packaging/make-repo.sh with packages of a few bytes: what apt finds, what stays when something fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("apt-ftparchive", "apt-get", "dpkg-deb", "gpg", "xz")

pytestmark = pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason=f"wants {', '.join(TOOLS)}")


def package(folder: Path, version: str) -> Path:
    """A package without files."""
    control = folder / f"tree-{version}/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(f"Package: little\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: a\n")
    made = folder / "debs" / f"little_{version}_all.deb"
    made.parent.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "-b", control.parents[1], made], check=True, stdout=subprocess.DEVNULL)
    made.chmod(0o600)
    return made


def make(repository: Path, *sources: Path) -> subprocess.CompletedProcess[str]:
    """Run the script under a strict umask."""
    return subprocess.run(["sh", ROOT / "packaging/make-repo.sh", repository, *sources], umask=0o077,
                          capture_output=True, text=True, timeout=60)


def apt_versions(repository: Path, place: Path, suite: str = "bookworm") -> list[str]:
    """The versions that apt offers of a suite, after it has checked the signature."""
    text = (repository / f"istatd-{suite}.sources").read_text()
    sources = place / "istatd.sources"
    # Names of files with spaces are fine for all but this field.
    keyring = shutil.copy(repository / "istatd-archive-keyring.gpg", place / "keyring.gpg")
    sources.write_text(text.replace("/usr/share/keyrings/istatd-archive-keyring.gpg", str(keyring)))
    for name in ("lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    options = [f"-oDir::Etc::sourcelist={sources}", "-oDir::Etc::sourceparts=/dev/null", f"-oDir::Cache={place}/cache",
               f"-oDir::State::lists={place}/lists", "-oDir::State::status=/dev/null", "-oAPT::Sandbox::User=",
               "-oDebug::NoLocking=true"]
    environ = {**os.environ, "LC_ALL": "C"}
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True, env=environ, timeout=60)
    told = subprocess.run(["apt-cache", *options, "madison", "little"], check=True, env=environ, timeout=60,
                          capture_output=True, text=True).stdout
    return [line.split("|")[1].strip() for line in told.splitlines()]


def test_versions_are_added_with_the_same_key_and_a_failure_changes_nothing(tmp_path: Path) -> None:
    repository = tmp_path / ("a-long-way-down-" * 4) / "a repository"       # longer than the path of a socket
    old, new = package(tmp_path, "1"), package(tmp_path, "2")
    assert make(repository, old).returncode == 0
    key = (repository / "istatd-archive-keyring.gpg").read_bytes()
    assert apt_versions(repository, tmp_path) == ["1"]
    assert make(repository, repository / "pool", new).returncode == 0, "what it has already may be named"
    assert apt_versions(repository, tmp_path) == ["2", "1"]
    assert (repository / "istatd-archive-keyring.gpg").read_bytes() == key
    empty = tmp_path / "empty"
    empty.mkdir()
    failed = make(repository, empty)
    assert failed.returncode == 1
    assert failed.stderr == f"There is no package at {empty}.\n"
    assert apt_versions(repository, tmp_path) == ["2", "1"]
    modes = {path.stat().st_mode & 0o777 for path in [repository, *repository.rglob("*")]}
    assert modes == {0o755, 0o644}, "the user _apt reads all of it"
    assert sorted(path.name for path in repository.iterdir()) == [
        "dists", "istatd-archive-keyring.gpg", "istatd-bookworm.sources", "istatd-trixie.sources", "pool"]
    assert (repository.parent / "a repository.keys").stat().st_mode & 0o777 == 0o700


def test_each_release_has_a_suite_of_what_was_built_on_it(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for version in ("1~deb12u1", "1~deb13u1"):
        package(tmp_path, version)
    assert make(repository, tmp_path / "debs").returncode == 0
    assert apt_versions(repository, tmp_path, "bookworm") == ["1~deb12u1"]
    assert apt_versions(repository, tmp_path, "trixie") == ["1~deb13u1"]
    assert make(repository, tmp_path / "debs/little_1~deb13u1_all.deb").returncode == 0
    assert sorted(path.name for path in repository.glob("*.sources")) == ["istatd-trixie.sources"]
    assert [path.name for path in (repository / "dists").iterdir()] == ["trixie"], "and no empty one"


def test_a_newer_releases_packages_are_newer_and_a_newer_version_anyway() -> None:
    ascending = ["0.1.0~deb12u1", "0.1.0~deb13u1", "0.1.0", "0.1.1~deb12u1"]
    for older, newer in pairwise(ascending):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)
