"""Building the Debian packages, a repository of them, and a "next version": what the tests of packages install.

Built in a throw-away tree of the release of Debian that they are for, by the command that the documentation names, from
a clone of the last commit. ISTAT_TREES names a folder that keeps the bare trees between runs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ftest.debian import debiantree

ROOT = Path(__file__).parents[2]
# Codename -> number of each release that packages are built on.
RELEASES = {codename: number for number, codename in
            (line.split() for line in (ROOT / "packaging/debian-releases").read_text().splitlines())}
BUILD_SECONDS, FETCH_SECONDS = 1500, 300
# A tree to build in needs no manuals.
PREPARE = """
printf 'path-exclude=/usr/share/%s/*\\n' man doc locale > /etc/dpkg/dpkg.cfg.d/lean
echo man-db man-db/auto-update boolean false | debconf-set-selections
apt-get -qq update
apt-get -qq install -y --no-install-recommends git python3 >/dev/null
git config --global --add safe.directory '*'
"""
BUILD = PREPARE + """
cd /srv/shared/clone
sh packaging/build-deb.sh --no-tests --output /srv/shared/first
chmod -R a+rX /srv/shared
"""
# What two builds have in common is the source.
BUILD_AGAIN = PREPARE + """
mkdir -p /srv/elsewhere/deep
cp -R /srv/shared/clone /srv/elsewhere/deep/istatd
cd /srv/elsewhere/deep/istatd
umask 027
TMPDIR=/srv/elsewhere TZ=Asia/Tokyo sh packaging/build-deb.sh --no-tests --no-lintian --output /srv/shared/second
chmod -R a+rX /srv/shared
"""
# What a machine without network needs: everything that the packages depend on.
FETCH = """
apt-get -qq update
cp /srv/shared/first/*.deb /tmp/
rm -f /etc/apt/apt.conf.d/docker-clean
apt-get -qq install -y --download-only --no-install-recommends \\
    /tmp/istatd_*.deb /tmp/istatd-*.deb /tmp/python3-istat_*.deb
mkdir -p /srv/shared/needed
cp /var/cache/apt/archives/*.deb /srv/shared/needed/
"""
NEXT = "2.0.1~next"     # higher than any version built from the repository as it is
FIND = ("find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' "
        "-not -path '/srv/*' | sort")
# What Debian's own tools leave behind.
NOT_OURS = ("/var/lib/dpkg", "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/systemd", "/etc/passwd", "/etc/group",
            "/etc/shadow", "/etc/gshadow", "/var/tmp")
# From the packages of one release to those of the next, with all of Debian, and what is there then.
UPGRADE = """
cp /srv/shared/repository/istatd-archive-keyring.gpg /usr/share/keyrings/
sed 's,^URIs:.*,URIs: file:///srv/shared/repository,' /srv/shared/repository/istatd-OLD.sources \
    > /etc/apt/sources.list.d/istatd.sources
apt-get -qq update
apt-get -qq install -y --no-install-recommends istatd >/dev/null
sed -i 's/^#max-connections = .*/max-connections = 77/' /etc/istatd/server.toml
sed -i 's/OLD/NEW/g' $(find /etc/apt/sources.list /etc/apt/sources.list.d -type f)
apt-get -qq update
apt-get -qq full-upgrade -y --no-install-recommends -o Dpkg::Options::=--force-confold >/dev/null
echo "version $(dpkg-query -W -f '${Version} ${db:Status-Status}' python3-istat)"
echo "kernels $(python3 -c 'import istat.kernels; print(istat.kernels.IMPLEMENTATION)')"
echo "advice $(istat fadvise run --random -- grep -c preload/advice /proc/self/maps | grep -c '^[1-9]')"
echo "units $(dpkg -L istatd-server | grep '/istat-server[.]s' | xargs ls | paste -s -d' ')"
grep '^max-connections =' /etc/istatd/server.toml
istat-server --config /etc/istatd/server.toml --check-config
"""


def releases() -> list[Any]:
    """Parameters of a test that is for each release: this machine's by default, the others where slow tests run."""
    try:
        here = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        here = ""
    default = here if here in RELEASES else next(iter(RELEASES))
    return [pytest.param(release, marks=() if release == default else pytest.mark.slow) for release in RELEASES]


def trees() -> Path | None:
    """Where trees are kept; None when they are to go with the test."""
    folder = os.environ.get("ISTAT_TREES")
    return Path(folder) if folder else None


def base_tree(folder: Path, release: str) -> Path:
    """A minimal Debian with systemd."""
    tree = folder / f"base-{release}"
    debiantree.make(tree, release)
    return tree


def build(tree: Path, folder: Path) -> str:
    """Build `folder`/first; what the build said."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    vendor = ROOT / "istat_server/ui/vendor"
    if vendor.exists():     # fetched once already
        shutil.copytree(vendor, clone / "istat_server/ui/vendor")
    return run_build(tree, folder, BUILD)


def build_again(tree: Path, folder: Path) -> None:
    """After `build`: the same once more, in another place and otherwise than there, as `folder`/second."""
    run_build(tree, folder, BUILD_AGAIN)


def run_build(tree: Path, folder: Path, script: str) -> str:
    """What a build said, which must succeed."""
    done = debiantree.run_in(tree, folder / "build-place", folder, script, BUILD_SECONDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


def fetch_needed(tree: Path, folder: Path) -> None:
    """The packages of Debian that ours depend on: `folder`/needed."""
    done = debiantree.run_in(tree, folder / "fetch-place", folder, FETCH, FETCH_SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def make_repository(folder: Path, *sources: Path) -> None:
    """A signed repository of the packages in `sources`, by the project's own command."""
    subprocess.run(["sh", ROOT / "packaging/make-repo.sh", folder, *sources], check=True, stdout=subprocess.DEVNULL)


def built_on(release: str) -> str:
    """How a version ends that was built on this release."""
    return f"~deb{RELEASES[release]}u1"


def version_of(deb: Path) -> str:
    """The version that a package says it has."""
    return subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True).stdout.strip()


def next_version(built: Path, target: Path, release: str) -> None:
    """The packages of `built` as our next release brings them: another version, another sample of the settings."""
    target.mkdir()
    new = NEXT + built_on(release)
    for deb in sorted(built.glob("*.deb")):
        if "dbgsym" in deb.name:
            continue
        files = target / "files"
        subprocess.run(["dpkg-deb", "-R", deb, files], check=True)
        control = files / "DEBIAN/control"
        old = version_of(deb)
        control.write_text(control.read_text().replace(old, new))
        for init in files.glob("usr/lib/python3/dist-packages/istat/__init__.py"):
            init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{NEXT}"', init.read_text()))
        for sample in files.glob("etc/istatd/*.toml"):
            sample.write_text(sample.read_text() + "# The sample of the next version says more.\n")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", files, target / deb.name.replace(old, new)],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(files)


class Builds:
    """The first build on each release, and repositories of it, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said: dict[str, str] = {}

    def base(self, release: str) -> Path:
        """The bare tree of a release."""
        return base_tree(trees() or self._folder, release)

    def folder(self, release: str) -> Path:
        """Where all that is built on a release lies: first/, and the repositories now/ and next/."""
        folder = self._folder / release
        folder.mkdir(exist_ok=True)
        return folder

    def said(self, release: str) -> str:
        """What the build said."""
        if release not in self._said:
            self._said[release] = build(self.base(release), self.folder(release))
        return self._said[release]

    def repositories(self, release: str) -> dict[Path, str]:
        """Two repositories, of this and of the next version, with all that is needed; and where a machine has them."""
        self.said(release)
        folder = self.folder(release)
        if not (folder / "next").exists():
            fetch_needed(self.base(release), folder)
            make_repository(folder / "now", folder / "first", folder / "needed")
            next_version(folder / "first", folder / "changed", release)
            make_repository(folder / "next", folder / "changed", folder / "needed")
        return {folder / name: f"/srv/{name}" for name in ("now", "next")}
