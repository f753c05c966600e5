#!/bin/sh
# Make a signed apt repository of packages, so that `apt install istatd` works:
#
#   sh packaging/make-repo.sh REPOSITORY DEB-OR-FOLDER...
#
# REPOSITORY then holds these packages and no others; it stays as it was when something fails. For each release of
# packaging/debian-releases there is a suite of its codename, with the packages whose version says that they were built
# there (~deb12u1) and those that say nothing; without any there is none. Its signing key is in ISTAT_REPO_KEYS (a GnuPG
# home, REPOSITORY.keys beside it unless told otherwise; keep it to yourself), and is made when there is none. What a
# machine needs then stands in the repository:
#   istatd-archive-keyring.gpg   to copy to /usr/share/keyrings/
#   istatd-CODENAME.sources      to copy to /etc/apt/sources.list.d/; write another URI there when it is served elsewhere
# Needs apt-utils, gpg and xz-utils.
set -eu
RELEASES=$(cd "$(dirname "$0")" && pwd)/debian-releases
fail() { printf '%s\n' "$*" >&2; exit 1; }
[ $# -ge 2 ] || fail "usage: sh packaging/make-repo.sh REPOSITORY DEB-OR-FOLDER..."
for tool in apt-ftparchive:apt-utils gpg:gpg xz:xz-utils; do
    command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing; install it by: apt install ${tool#*:}"
done

umask 022 # the user _apt reads it
mkdir -p "$1"
repository=$(cd "$1" && pwd)
keys=${ISTAT_REPO_KEYS:-$repository.keys}
who="istatd archive <istatd@localhost.localdomain>"
shift
mkdir -p -m 0700 "$keys"
# Through a short name: gpg's agent listens in this folder, and the path of a socket has 107 bytes at most.
short=$(mktemp -d)
ln -s "$(cd "$keys" && pwd)" "$short/keys"
GNUPGHOME=$short/keys
export GNUPGHOME
new=$repository/new.$$
trap 'gpgconf --kill gpg-agent >/dev/null 2>&1 || :; rm -rf "$new" "$short"' EXIT
trap 'exit 1' INT TERM HUP
gpg --batch --quiet --list-secret-keys "$who" >/dev/null 2>&1 ||
    gpg --batch --quiet --passphrase '' --quick-gen-key "$who" ed25519 sign never

# Aside first: packages may come from the repository itself, and there may be none.
mkdir -p "$new/pool"
for from in "$@"; do
    if [ -d "$from" ]; then set -- "$from"/*.deb; else set -- "$from"; fi
    [ -e "$1" ] || fail "There is no package at $from."
    install -m 0644 "$@" "$new/pool/"
done

cd "$new"
machine=$(dpkg --print-architecture)
apt-ftparchive packages pool >Packages.all

# The entries of Packages.all for Debian $1.
entries_for() {
    awk -v RS= -v ORS='\n\n' -v mine="~deb$1u" '{
        match($0, /(^|\n)Version: [^\n]*/)
        version = substr($0, RSTART, RLENGTH)
        if (version !~ /~deb[0-9]+u[0-9]+$/ || index(version, mine)) print
    }' Packages.all
}

# The suite $1, signed, and what a machine has to know of it.
make_suite() {
    option=APT::FTPArchive::Release
    apt-ftparchive -o $option::Origin=istatd -o $option::Label=istatd -o $option::Suite="$1" -o $option::Codename="$1" \
        -o $option::Components=main -o $option::Architectures="$machine" release "dists/$1" >Release.new
    mv Release.new "dists/$1/Release"
    gpg --batch --yes --quiet --local-user "$who" --clearsign -o "dists/$1/InRelease" "dists/$1/Release"
    gpg --batch --yes --quiet --local-user "$who" --armor --detach-sign -o "dists/$1/Release.gpg" "dists/$1/Release"
    cat >"istatd-$1.sources" <<END
Types: deb
URIs: file://$(printf '%s\n' "$repository" | sed 's/%/%25/g; s/ /%20/g')
Suites: $1
Components: main
Signed-By: /usr/share/keyrings/istatd-archive-keyring.gpg
END
}

while read -r number codename; do
    lists=dists/$codename/main/binary-$machine
    mkdir -p "$lists"
    entries_for "$number" >"$lists/Packages"
    [ -s "$lists/Packages" ] || { rm -r "dists/$codename"; continue; }
    xz -kf "$lists/Packages"
    make_suite "$codename"
done <"$RELEASES"
rm Packages.all
gpg --batch --yes --quiet --output istatd-archive-keyring.gpg --export "$who"
cd "$repository"
rm -rf pool dists ./*.sources
mv "$new"/* .
printf '%s packages in %s\n' "$(find pool -name '*.deb' | wc -l)" "$repository"
