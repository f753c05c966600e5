#!/bin/sh
# All tests: style, types, the documentation, units, and functional tests with real daemons and a browser.
# Arguments go to pytest, for instance: sh runtests.sh --slow tests/istat
set -u
cd "$(dirname "$0")" || exit 1
. packaging/setup-machine.sh

prepare_machine tests
prepare_python dev
prepare_page dev

failed=''
check() {
    name=$1
    shift
    say "== $name"
    "$@" || failed="$failed $name"
}

PATH=$PWD/$VENV/bin:$PATH
export PATH
check ruff ruff check .
check mypy mypy
check docs python docs/make_site.py
if has node && [ -e node_modules/typescript/bin/tsc ]; then
    check page-types node node_modules/typescript/bin/tsc -p .
fi
if has node && [ -d tests/ui ]; then
    check page-tests node --test tests/ui/
fi
# The kernels' plain-Python twins carry the whole product too. Left out when only some tests are asked for.
[ $# -gt 0 ] || check twins env ISTAT_KERNELS=python python -m pytest -q tests plugins --ignore=tests/ui
[ -z "$failed" ] || say "== FAILED so far:$failed"
say "== pytest"
python -m pytest "$@"
result=$?
[ -z "$failed" ] || exit 1
exit $result
