#!/bin/sh
# Make a signed apt repository of packages, so that `apt install istatd` works:
#
#   sh packaging/make-repo.sh REPOSITORY DEB-OR-FOLDER...
#
# REPOSITORY is made anew. Its signing key is in ISTAT_REPO_KEYS (a GnuPG home, REPOSITORY.keys beside it unless told
# otherwise; keep it to yourself), and is made when there is none. What a machine needs then stands in the repository:
#   istatd-archive-keyring.gpg   to copy to /usr/share/keyrings/
#   istatd.sources               to copy to /etc/apt/sources.list.d/; write another URI there when it is served elsewhere
# Needs apt-utils, gpg and xz-utils.
set -eu
fail() { printf '%s\n' "$*" >&2; exit 1; }
[ $# -ge 2 ] || fail "usage: sh packaging/make-repo.sh REPOSITORY DEB-OR-FOLDER..."
for tool in apt-ftparchive:apt-utils gpg:gpg xz:xz-utils; do
    command -v "${tool%:*}" >/dev/null || fail "${tool%:*} is missing; install it by: apt install ${tool#*:}"
done

mkdir -p "$1"
repository=$(cd "$1" && pwd)
keys=${ISTAT_REPO_KEYS:-$repository.keys}
who="istatd archive <istatd@localhost.localdomain>"
shift
mkdir -p -m 0700 "$keys"
GNUPGHOME=$(cd "$keys" && pwd)
export GNUPGHOME
trap 'gpgconf --kill gpg-agent >/dev/null 2>&1 || :' EXIT
gpg --batch --quiet --list-secret-keys "$who" >/dev/null 2>&1 ||
    gpg --batch --quiet --passphrase '' --quick-gen-key "$who" ed25519 sign never

rm -rf "$repository/pool" "$repository/dists"
mkdir -p "$repository/pool"
for from in "$@"; do
    if [ -d "$from" ]; then cp "$from"/*.deb "$repository/pool/"; else cp "$from" "$repository/pool/"; fi
done

cd "$repository"
machine=$(dpkg --print-architecture)
lists=dists/stable/main/binary-$machine
mkdir -p "$lists"
apt-ftparchive packages pool >"$lists/Packages"
xz -kf "$lists/Packages"
option=APT::FTPArchive::Release
apt-ftparchive -o $option::Origin=istatd -o $option::Label=istatd -o $option::Suite=stable -o $option::Codename=stable \
    -o $option::Components=main -o $option::Architectures="$machine" release dists/stable >Release.new
mv Release.new dists/stable/Release
gpg --batch --yes --quiet --local-user "$who" --clearsign -o dists/stable/InRelease dists/stable/Release
gpg --batch --yes --quiet --local-user "$who" --armor --detach-sign -o dists/stable/Release.gpg dists/stable/Release
gpg --batch --yes --quiet --output istatd-archive-keyring.gpg --export "$who"
cat >istatd.sources <<END
Types: deb
URIs: file://$repository
Suites: stable
Components: main
Signed-By: /usr/share/keyrings/istatd-archive-keyring.gpg
END
printf '%s packages in %s\n' "$(find pool -name '*.deb' | wc -l)" "$repository"
