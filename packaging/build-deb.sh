#!/bin/sh
# Build the Debian packages from a clone, on a release of packaging/debian-releases and for it:
#
#   sh packaging/build-deb.sh [--output FOLDER] [--no-tests] [--no-lintian]
#
# Installs the packages it needs to build (as root or through sudo), fetches the page's chart library unless it is there,
# copies what git knows of the tree with packaging/debian as debian/, builds the copy without network, checks the result
# with lintian, and leaves packages and source in FOLDER (dist/deb). Their version ends with ~deb12u1 on Debian 12, as the
# kernels are of one Python: what is built on each release goes into one repository, and a newer release's are newer.
set -eu
CALLED_FROM=$PWD
cd "$(dirname "$0")/.."
TOP=$PWD
# Debian's own Python and tools, whatever else comes first for this user.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
PYTHON=/usr/bin/python3
. packaging/setup-machine.sh

output=$TOP/dist/deb profile='' lint=1
while [ $# -gt 0 ]; do
    case $1 in
        --output)
            [ $# -gt 1 ] && [ -n "$2" ] || fail "--output wants a folder"
            case $2 in /*) output=$2 ;; *) output=$CALLED_FROM/$2 ;; esac
            shift ;;
        --no-tests) profile=nocheck ;;
        --no-lintian) lint=0 ;;
        *) fail "usage: sh packaging/build-deb.sh [--output FOLDER] [--no-tests] [--no-lintian]" ;;
    esac
    shift
done
has apt-get || fail "Packages for Debian are built on Debian: there is no apt-get here."
has git || fail "Packages are built from a clone: git is needed."
git rev-parse --is-inside-work-tree >/dev/null || fail "Packages are built from a clone; what git says stands above."
release=$(. /etc/os-release && [ "$ID" = debian ] && printf '%s\n' "${VERSION_ID:-}") || release=none
codename=$(sed -n "s/^$release //p" packaging/debian-releases)
[ -n "$codename" ] || fail "Packages are built on Debian $(sed 's/ .*//' packaging/debian-releases | paste -s -d, |
    sed 's/,/, /g'), each for itself; this is $(. /etc/os-release && printf '%s\n' "$PRETTY_NAME")."
# In a network of its own where root may make one; else pybuild's rules keep pip from the network.
alone=''
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then alone='unshare --net --'; fi
mkdir -p "$output"
output=$(cd "$output" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
source=$work/istatd

copy_tree() {
    mkdir -p "$source"
    # A file that was deleted but not yet in git is no file.
    git ls-files -z | xargs -0 ls -d 2>/dev/null >"$work/files" || :
    tar -cf - --no-recursion -T "$work/files" | tar -xf - -C "$source"
    cp -R packaging/debian "$source/debian"
    sed -i "1s/(\(.*\)) [^;]*;/(\1~deb${release}u1) $codename;/" "$source/debian/changelog"
}

apt_get() {
    say "Installing what is needed to build"
    # shellcheck disable=SC2086  # none or one word
    as_root env DEBIAN_FRONTEND=noninteractive ${profile:+DEB_BUILD_PROFILES=$profile} apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null ||
        fail "apt-get $* failed; as another user than root it needs a sudo that asks for no password."
}

install_build_packages() {
    missing=''
    has dpkg-buildpackage || missing="$missing build-essential"
    [ $lint = 0 ] || has lintian || missing="$missing lintian"
    [ -z "$alone" ] || has ip || missing="$missing iproute2"
    [ -e istat_server/ui/vendor/uPlot.esm.js ] || has npm || missing="$missing nodejs npm"
    # shellcheck disable=SC2086  # the packages are words
    if [ -n "$missing" ]; then
        apt_get update
        apt_get install $missing
    fi
    dpkg-checkbuilddeps ${profile:+-P$profile} "$source/debian/control" 2>/dev/null && return
    [ -n "$missing" ] || apt_get update
    apt_get build-dep "$source"
}

# The only step that needs a network.
fetch_page() {
    [ -e istat_server/ui/vendor/uPlot.esm.js ] || $PYTHON setup.py -q build_ui
    [ -e istat_server/ui/vendor/uPlot.esm.js ] || fail "The page's chart library could not be fetched from npm."
    mkdir -p "$source/istat_server/ui/vendor"
    cp istat_server/ui/vendor/* "$source/istat_server/ui/vendor/"
    chmod -R u=rwX,go=rX "$source" # the same source whatever the umask
}

build() {
    cd "$source"
    # shellcheck disable=SC2086  # none or some words
    $alone env -i PATH="$PATH" HOME="$work" LC_ALL=C.UTF-8 TZ="${TZ:-UTC}" DEB_BUILD_OPTIONS="$profile" DEB_BUILD_PROFILES="$profile" \
        sh -c "${alone:+ip link set lo up && }exec dpkg-buildpackage -us -uc" || fail "The build failed."
    cd "$TOP"
}

copy_tree
install_build_packages
fetch_page
build
if [ $lint = 1 ]; then
    say "== lintian"
    # Not said: that newer releases have a newer policy, that the units are for systemd alone, which is meant, and that the
    # version without the release's ending has no entry of its own. Lintian ends where a tag is named that it does not know.
    silent=out-of-date-standards-version
    for tag in package-supports-alternative-init-but-no-init.d-script changelog-file-missing-explicit-entry; do
        [ ! -e "/usr/share/lintian/tags/${tag%"${tag#?}"}/$tag.tag" ] || silent=$silent,$tag
    done
    lintian --allow-root -I --pedantic --fail-on error,warning --suppress-tags $silent "$work"/*.changes ||
        fail "lintian found faults; they stand above."
fi
cp "$work"/istatd_*.dsc "$work"/istatd_*.tar.xz "$work"/istatd_*.changes "$work"/istatd_*.buildinfo "$work"/*.deb "$output/"
say "Built: $(cd "$output" && ls ./*.deb | tr '\n' ' ')in $output"
