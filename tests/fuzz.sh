#!/bin/sh
# Build the kernels with AddressSanitizer beside the normal build and fuzz them: sh tests/fuzz.sh SECONDS [SEED]
# PYTHONMALLOC=malloc puts every bytes object into its own allocation, so that reading past its end is seen.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
mkdir -p build
ISTAT_ASAN=1 "$python" setup.py -q build --build-base build/asan --build-lib build/asan/lib >build/asan.log 2>&1 ||
	{ cat build/asan.log; exit 1; }
LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 PYTHONMALLOC=malloc \
	ISTAT_KERNELS=native PYTHONPATH=build/asan/lib:. PYTHONDONTWRITEBYTECODE=1 \
	exec "$python" tests/fuzz_kernels.py "${1:-60}" ${2:+"$2"}
