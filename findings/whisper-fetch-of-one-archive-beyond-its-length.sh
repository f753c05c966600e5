#!/bin/sh
# whisper 1.1.10: fetch of one archive over more than its length gives none of its points, and too few values.
#
# Expected: fetch(path, from, until, archiveToSelect=10) gives a value, or None, for each step that its times name; those
# that the archive of 10 s holds are among them, however much more time is asked for. Without archiveToSelect a range
# beyond an archive is answered by a coarser one, and beyond all of them it is cut.
# Seen: an archive of 60 points that is full. Asked for 60 steps it gives 60 points; for 61 it gives one value, None; for
# 150 it gives 30 values, all None, though the times it gives say 150. No error.
# Why it matters: whoever walks over the archives of a file (to copy, compare or check them) and asks each for the whole
# time of the file finds the fine ones empty, and a zip() of times and values hides that the lists differ in length. A
# range has to be asked for in pieces no longer than the archive.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check whisper==1.1.10 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import whisper

NOW = 1325404800
print("whisper", version("whisper"))
whisper.create("a.wsp", [(10, 60), (60, 600)])
whisper.update_many("a.wsp", [(NOW - 10 * age, float(age)) for age in range(60)], now=NOW)
found = {}
for steps in (50, 60, 61, 90, 120, 150):
    (begin, end, step), values = whisper.fetch("a.wsp", NOW - 10 * steps, NOW, now=NOW, archiveToSelect=10)
    found[steps] = (len(values), sum(value is not None for value in values))
    print(f"{steps} steps of {step} s: times of {(end - begin) // step}, {len(values)} values,", found[steps][1], "points")
    assert (end - begin) // step == steps
assert found[50] == (50, 50) and found[60] == (60, 60)
assert {steps: found[steps] for steps in (61, 90, 120, 150)} == {
    61: (1, 0), 90: (30, 0), 120: (60, 0), 150: (30, 0)}, "the behaviour has changed"
PYTHON
