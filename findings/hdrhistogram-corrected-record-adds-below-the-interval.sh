#!/bin/sh
# hdrhistogram 0.10.8 (Python): record_corrected_value() adds a value below the expected interval; hdr-histogram-js does not.
#
# Expected: for a value of 25 that came where one was expected every 10, the values that the pause hid are those of the
# requests that would have begun meanwhile: 25, 15. What remains, 5, is less than an interval: no request was due then. So
# says the description of this call, and so do the libraries of other languages that share the name.
# Seen: Python's records 25, 15 and 5 (three values), and goes on down to the last positive rest: for 1000 and 300 that is
# 1000, 700, 400 and 100. npm's hdr-histogram-js 3.0.1 records 25 and 15; 1000, 700 and 400. Where the value is a whole
# multiple of the interval (30 and 10) both agree.
# Why it matters: one value too many for each pause, always among the smallest, so that the same stream has other counts,
# another mean and lower low percentiles by which language counted it; and merged histograms mix both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hdrhistogram==0.10.8 2>/dev/null
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts hdr-histogram-js@3.0.1 >/dev/null
cat >corrected.cjs <<'SCRIPT'
const hdr = require("hdr-histogram-js");
const cases = [[25, 10], [1000, 300], [30, 10]];
console.log(JSON.stringify(cases.map(([value, interval]) => {
    const histogram = hdr.build({lowestDiscernibleValue: 1, highestTrackableValue: 100000, numberOfSignificantValueDigits: 3});
    histogram.recordValueWithExpectedInterval(value, interval);
    return [histogram.totalCount, histogram.minNonZeroValue];
})));
SCRIPT
node corrected.cjs >js.json
"$folder/venv/bin/python" - <<'PYTHON'
import json
from importlib.metadata import version

from hdrh.histogram import HdrHistogram

print("hdrhistogram", version("hdrhistogram"), "and hdr-histogram-js 3.0.1")
script = json.load(open("js.json"))
seen = {}
for (value, interval), (count, least) in zip([(25, 10), (1000, 300), (30, 10)], script):
    histogram = HdrHistogram(1, 100000, 3)
    histogram.record_corrected_value(value, interval)
    seen[value, interval] = (histogram.get_total_count(), histogram.get_min_value()), (count, least)
    print(f"{value}, one expected every {interval}: python counts {histogram.get_total_count()} values, the least "
          f"{histogram.get_min_value()}; javascript {count}, the least {least}")
assert seen == {(25, 10): ((3, 5), (2, 15)), (1000, 300): ((4, 100), (3, 400)), (30, 10): ((3, 10), (3, 10))}, \
    "the behaviour has changed"
PYTHON
