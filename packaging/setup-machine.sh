# What quickstart.sh and runtests.sh share; sourced by them, in POSIX sh, from the top of the repository.
# prepare_machine installs what the system lacks, prepare_python and prepare_page make .venv and the page.
# Everything is quick when it was done before: stamps in .venv say from what it was made.

VENV=.venv
PYTHON=${PYTHON:-python3}

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# The Debian packages that are missing for: a virtual environment, the kernels, the page, and, where the argument has
# these words in it, "tests", "--peers" (other systems' programs), "--slow".
missing_packages() {
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || printf ' python3-venv'
    if ! has gcc && ! has cc; then printf ' gcc libc6-dev'
    elif ! [ -e /usr/include/stdlib.h ]; then printf ' libc6-dev'; fi
    "$PYTHON" - <<'END' || printf ' python3-dev'
import os.path, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
END
    has npm || printf ' nodejs npm'
    case " ${1:-} " in *" --peers "*) has rrdtool || printf ' rrdtool' ;; esac
    case " ${1:-} " in *" --slow "*) has qemu-system-x86_64 || printf ' qemu-system-x86' ;; esac
    case " ${1:-} " in *" tests "*)
        has chromium || has chromium-browser || has google-chrome || printf ' chromium'
        has openssl || printf ' openssl'
        [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || printf ' fonts-dejavu-core'
        if [ "$(id -u)" = 0 ]; then # to build and boot Debian trees
            has mmdebstrap || printf ' mmdebstrap'
            has systemd-nspawn || printf ' systemd-container'
            has apt-ftparchive || printf ' apt-utils'
        fi
    esac
}

# Run a command as root, or fail when that cannot be without a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    has apt-get || return 1
    [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; } || return 1
    say "Installing$* (Debian packages)"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || return 1
    # shellcheck disable=SC2086  # the packages are words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends $* >/dev/null
}

# Install what is missing. Without root only a missing python3-venv is fatal: kernels and page have fallbacks.
prepare_machine() {
    has "$PYTHON" || fail "Please install Python 3.11 or later (Debian: apt install python3)."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "istatd needs Python 3.11 or later; set PYTHON to one (this is $("$PYTHON" -V 2>&1))."
    missing=$(missing_packages "${1:-}")
    [ -z "$missing" ] && return
    install_packages "$missing" && missing=$(missing_packages "${1:-}")
    [ -z "$missing" ] && return
    say "Please install these packages, for instance by: sudo apt install$missing"
    case "$missing" in *python3-venv*) exit 1 ;; esac
    say "Going on without them; what needs them is slower or missing."
}

# A checksum of all that the virtual environment is made from: $1 is the extra ("" or "dev").
python_stamp() {
    {
        say "$PWD ${1:-} $(has gcc && say gcc)"
        "$PYTHON" -V
        cksum setup.py pyproject.toml istat/pagecache/preload/advice.c
        find istat/kernels/native -name '*.p*' ! -name '*.pyc' -exec cksum {} +
    } | sort | cksum
}

# Make .venv, and install istatd there from this folder, with the kernels built in place.
prepare_python() {
    stamp=$(python_stamp "${1:-}")
    made=$(cat $VENV/istatd-stamp 2>/dev/null) || : # none yet; quickstart.sh runs under set -e
    # What was made for the tests has all that the rest needs.
    [ -x $VENV/bin/istat-server ] && { [ "$made" = "$stamp" ] || [ "$made" = "$(python_stamp dev)" ]; } && return
    say "Building istatd in $VENV (some minutes, the first time)"
    if ! $VENV/bin/python -c 'import pip' 2>/dev/null; then
        rm -rf $VENV
        "$PYTHON" -m venv $VENV || fail "Could not make the virtual environment $VENV."
    fi
    # What was built of kernels that have another place now.
    find istat/kernels/native -name '*.so' | while read -r built; do
        [ -e "${built%%.*}.pyx" ] || rm -f "$built"
    done
    # setuptools is for build_ui: a virtual environment of Python 3.12 has none.
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check "setuptools>=65" -e ".${1:+[$1]}" ||
        fail "pip could not install istatd; its message stands above (no way to PyPI?)."
    [ -z "$($VENV/bin/python -c 'from istat.kernels import native_missing; print(*native_missing())')" ] ||
        say "The native kernels are not built (no C compiler?): the plain-Python ones are used, which are slower."
    printf '%s\n' "$stamp" >$VENV/istatd-stamp
}

# Fetch the page's chart library, and with the argument "dev" what the page is checked with. Without npm or a
# network the page says itself what is missing.
prepare_page() {
    stamp="$(cksum package-lock.json 2>/dev/null || :) ${1:-}" # none: the build says what is missing
    made=$(cat $VENV/page-stamp 2>/dev/null) || :
    [ -e istat_server/ui/vendor/uPlot.esm.js ] && case "$made" in "$stamp"*) return ;; esac
    $VENV/bin/python setup.py -q build_ui ${1:+--$1} 2>$VENV/build_ui.log || {
        cat $VENV/build_ui.log >&2
        say "The page's chart library could not be fetched from npm: the page will show no charts."
        return
    }
    [ ! -e istat_server/ui/vendor/uPlot.esm.js ] || printf '%s\n' "$stamp" >$VENV/page-stamp
}
