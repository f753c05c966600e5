#!/bin/sh
# hdr-histogram-js 3.0.1: a V2 histogram that it writes has 1 as normalizing offset and an integer where the ratio is a double.
#
# Expected: the head of the V2 form is cookie, payload length, normalizing index offset, significant digits (32-bit each),
# lowest and highest value (64-bit), and the ratio from integer to double values, a 64-bit IEEE number. For a histogram
# of whole numbers that was never shifted the offset is 0 and the ratio 1.0, as Python's hdrhistogram 0.10.8 writes them.
# Seen: the javascript library writes an offset of 1, and the ratio as the integer 1, which read as a double is 4.9e-324.
# Python's reader looks at neither and gives the right counts.
# Why it matters: a reader that does as the form says multiplies each value by 4.9e-324, or moves the counts by one slot, or
# refuses the histogram. Whoever reads such histograms from browsers or Node has to pass over both fields.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hdrhistogram==0.10.8 2>/dev/null
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts hdr-histogram-js@3.0.1 >/dev/null
cat >write.cjs <<'SCRIPT'
const hdr = require("hdr-histogram-js");
const histogram = hdr.build({lowestDiscernibleValue: 1, highestTrackableValue: 100000, numberOfSignificantValueDigits: 2});
[1, 10, 100, 1000].forEach((value) => histogram.recordValue(value));
console.log(hdr.encodeIntoCompressedBase64(histogram));
SCRIPT
node write.cjs >js.txt
"$folder/venv/bin/python" - <<'PYTHON'
import base64
import struct
import zlib
from importlib.metadata import version

from hdrh.histogram import HdrHistogram

HEAD = ">IIIIQQ"


def head(text):
    """Normalizing offset, ratio as a double, ratio as an integer."""
    raw = zlib.decompress(base64.b64decode(text)[8:])
    offset = struct.unpack_from(HEAD, raw)[2]
    at = struct.calcsize(HEAD)
    return offset, struct.unpack_from(">d", raw, at)[0], struct.unpack_from(">Q", raw, at)[0]


print("hdr-histogram-js 3.0.1 and hdrhistogram", version("hdrhistogram"))
histogram = HdrHistogram(1, 100000, 2)
for value in (1, 10, 100, 1000):
    histogram.record_value(value)
python, script = head(histogram.encode()), head(open("js.txt").read())
print(f"python:     offset {python[0]}, ratio {python[1]}")
print(f"javascript: offset {script[0]}, ratio {script[1]} (as an integer {script[2]})")
again = HdrHistogram.decode(open("js.txt").read().strip())
print("python reads of it", again.get_total_count(), "values up to", again.get_max_value())
assert python[:2] == (0, 1.0) and script == (1, 5e-324, 1), "the behaviour has changed"
assert again.get_total_count() == 4
PYTHON
