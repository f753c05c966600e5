"""Building the Debian packages, a repository of them, and a "next version": what the tests of packages install.

Built in a throw-away Debian 12 tree by the command that the documentation names, from a clone of the last commit.
ISTAT_TREES names a folder that keeps the base tree between runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from ftest.debian import debiantree

ROOT = Path(__file__).parents[2]
BUILD_SECONDS, FETCH_SECONDS = 1500, 300
# Two builds that have little in common but the source.
BUILD = """
apt-get -qq update
apt-get -qq install -y --no-install-recommends git python3 >/dev/null
git config --global --add safe.directory '*'
cd /srv/shared/clone
sh packaging/build-deb.sh --no-tests --output /srv/shared/first
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
NEXT = "0.1.1~next"     # higher than any version built from the repository as it is


def trees() -> Path | None:
    """Where trees are kept; None when they are to go with the test."""
    folder = os.environ.get("ISTAT_TREES")
    return Path(folder) if folder else None


def base_tree(folder: Path) -> Path:
    """A minimal Debian 12 with systemd."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / "base"
    debiantree.make(tree)
    return tree


def build(tree: Path, folder: Path) -> str:
    """Build twice: `folder`/first and `folder`/second. What the builds said."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    vendor = ROOT / "istat_server/ui/vendor"
    if vendor.exists():     # fetched once already
        shutil.copytree(vendor, clone / "istat_server/ui/vendor")
    done = debiantree.run_in(tree, folder / "build-place", folder, BUILD, BUILD_SECONDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


def fetch_needed(tree: Path, folder: Path) -> None:
    """The packages of Debian that ours depend on: `folder`/needed."""
    done = debiantree.run_in(tree, folder / "fetch-place", folder, FETCH, FETCH_SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def make_repository(folder: Path, *sources: Path) -> None:
    """A signed repository of the packages in `sources`, by the project's own command."""
    subprocess.run(["sh", ROOT / "packaging/make-repo.sh", folder, *sources], check=True, stdout=subprocess.DEVNULL)


def version_of(deb: Path) -> str:
    """The version that a package says it has."""
    return subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True).stdout.strip()


def next_version(built: Path, target: Path) -> None:
    """The packages of `built` as a next release brings them: another version, and another sample of the settings."""
    target.mkdir()
    for deb in sorted(built.glob("*.deb")):
        if "dbgsym" in deb.name:
            continue
        files = target / "files"
        subprocess.run(["dpkg-deb", "-R", deb, files], check=True)
        control = files / "DEBIAN/control"
        old = version_of(deb)
        control.write_text(control.read_text().replace(old, NEXT))
        for init in files.glob("usr/lib/python3/dist-packages/istat/__init__.py"):
            init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{NEXT}"', init.read_text()))
        for sample in files.glob("etc/istatd/*.toml"):
            sample.write_text(sample.read_text() + "# The sample of the next version says more.\n")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", files, target / deb.name.replace(old, NEXT)],
                       check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(files)
