#!/bin/sh
# All tests: style, types, the documentation, units, and functional tests with real daemons and a browser.
# Arguments go to pytest, for instance: sh runtests.sh --slow tests/istat
#
# Two processes of pytest's take one module after the other, in random order; --randomly-seed=NUMBER, with the seed that
# is printed, repeats it. The checks run beside them; what each says comes at the end.
set -u
cd "$(dirname "$0")" || exit 1
. packaging/setup-machine.sh

prepare_machine "tests $*"
prepare_python dev
prepare_page dev

PATH=$PWD/$VENV/bin:$PATH
export PATH
told=$(mktemp -d) || exit 1
trap 'rm -rf "$told"' EXIT

# check NAME COMMAND...: what it says is kept in a file, and its exit status in another.
check() {
    name=$1
    shift
    "$@" >"$told/$name" 2>&1
    echo $? >"$told/$name.status"
}

# The unit tests with the kernels' plain-Python twins, which carry the whole product too. Left out is what uses no kernel,
# and tests/kernels, where each test is for both builds anyway.
twins() {
    ISTAT_KERNELS=python python -m pytest -q -p no:cacheprovider --ignore=tests/kernels --ignore=tests/agent \
        --ignore=tests/packaging --ignore=tests/ui --ignore=tests/bench/test_bench_report.py \
        --ignore-glob="$PWD/tests/test_*.py" tests
}

# Whether only some tests are asked for; then the twins are not.
some() {
    for word; do case $word in -*) ;; *) return 0 ;; esac; done
    return 1
}

run_checks() {
    check ruff ruff check .
    check mypy mypy
    check docs python docs/make_site.py
    some "$@" || check twins twins
}

say "== pytest"
run_checks "$@" &
{
    python -m pytest -n "${ISTAT_TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
    echo $? >"$told/pytest.status"
} | tee "$told/pytest"
wait
result=$(cat "$told/pytest.status")

failed=''
some "$@" && wanted='ruff mypy docs' || wanted='ruff mypy docs twins'
for name in $wanted; do
    say "== $name"
    cat "$told/$name"
    [ "$(cat "$told/$name.status")" = 0 ] || failed="$failed $name" # one that did not come to its end, too
done
say "== pytest, as above"
tail -n 1 "$told/pytest"
[ -z "$failed" ] || say "== FAILED:$failed"
[ -z "$failed" ] || exit 1
exit "$result"
