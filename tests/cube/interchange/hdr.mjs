// What hdr-histogram-js makes of values, and of a histogram's bytes: JSON in, JSON out.
import { readFileSync } from "node:fs";
import * as hdr from "hdr-histogram-js";

const asked = JSON.parse(readFileSync(0, "utf8"));
const histogram = asked.encoded !== undefined
  ? hdr.decodeFromCompressedBase64(asked.encoded, 64)
  : hdr.build({ numberOfSignificantValueDigits: asked.digits, highestTrackableValue: asked.highest, bitBucketSize: 64 });
for (const value of asked.values ?? []) histogram.recordValue(value);
console.log(JSON.stringify({
  encoded: hdr.encodeIntoCompressedBase64(histogram),
  count: histogram.totalCount,
  percentiles: asked.percentiles.map((q) => histogram.getValueAtPercentile(q)),
}));
