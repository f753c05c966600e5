import assert from "node:assert/strict";
import { test } from "node:test";
import {
  append, bridged, closedOnly, firstSample, isolated, lastSample, nearest, silence, summary, times, usualStep,
} from "../../istat_server/ui/charts/grid.js";
import { lastSeen } from "../../istat_server/ui/charts/lastseen.js";

/** @param {number} start @param {(number | null)[]} values */
const grid = (start, values, interval = 10) => ({
  start, interval, points: values.length, missing: [],
  series: [{ name: "a", kind: "gauge", avg: values, min: values, max: values }],
});

test("a newer piece lies over the end, and what is too old goes", () => {
  const joined = append(grid(1000, [1, 2, 3, 4]), grid(1020, [30, 40, 50, null]), 1010);
  assert.equal(joined.start, 1010);
  assert.equal(joined.points, 5);
  assert.deepEqual(joined.series[0].avg, [2, 30, 40, 50, null]);
  assert.deepEqual(times(joined), [1010, 1020, 1030, 1040, 1050]);
});

test("pieces of other grids do not fit", () => {
  const old = grid(1000, [1, 2, 3]);
  assert.equal(append(old, grid(1005, [1]), 1000), null);
  assert.equal(append(old, grid(1020, [1], 20), 1000), null);
  assert.equal(append(old, grid(1040, [1]), 1000), null, "a hole between them");
  assert.equal(append(old, grid(990, [1]), 1000), null);
  assert.equal(append(old, { ...grid(1020, [1]), series: [] }, 1000), null);
  assert.equal(append(old, grid(1030, [1]), 9000), null, "all is too old");
});

test("open buckets are left out, unless a counter has no other", () => {
  assert.deepEqual(closedOnly(grid(1000, [null, null, 3]), 1029).series[0].avg, [null, null, 3]);
  assert.deepEqual(closedOnly(grid(1000, [1, 2, 3]), 1029).series[0].avg, [1, 2]);
  assert.equal(closedOnly(grid(1000, [1, 2, 3]), 1030).points, 3);
  assert.equal(closedOnly(grid(1000, [1]), 1001).points, 1);
});

test("a counter sent every minute is drawn as a line, and its lost sample as a gap", () => {
  const n = null, u = undefined;
  const values = [1, n, n, 2, n, n, 3, n, n, n, n, n, 4, n, n, 5];
  assert.equal(usualStep(values), 3);
  assert.deepEqual(bridged(values, 3), [1, u, u, 2, u, u, 3, n, n, n, n, n, 4, u, u, 5]);
  assert.deepEqual(bridged([1, n, 2], 1), [1, n, 2]);
});

test("lonely samples get a dot", () => {
  assert.deepEqual(isolated([1, null, 2, 3, null, 4]), [0, 5]);
  assert.deepEqual(isolated([undefined, 1, undefined, null]), []);
});

test("the cursor reads the nearest sample of a slow counter", () => {
  assert.equal(nearest([null, 7, null, null, null], 2, 2), 1);
  assert.equal(nearest([null, null, null, 9], 1, 2), 3);
  assert.equal(nearest([null, null], 1, 0), 1);
});

test("summary says last, extremes of the band and mean", () => {
  const one = { name: "a", kind: "gauge", avg: [1, null, 3, null], min: [0, null, 2, null], max: [5, null, 3, null] };
  assert.deepEqual(summary(one), { last: 3, min: 0, max: 5, avg: 2 });
  assert.deepEqual(summary({ ...one, avg: [null] }), { last: null, min: null, max: null, avg: null });
});

test("the first sample of any counter", () => {
  assert.equal(firstSample(grid(1000, [null, null, 3])), 1020);
  assert.equal(firstSample(grid(1000, [null])), null);
});

/** @param {(number | null)[]} values @param {"gauge" | "event"} kind */
const of = (values, kind = "gauge", start = 1000) => {
  const made = grid(start, values);
  return { grid: made, series: /** @type {const} */ ({ ...made.series[0], kind }) };
};

test("the last sample, and how long ago that is where it is long", () => {
  const live = of([1, 2, 3, null]);
  assert.equal(lastSample(live.grid, live.series), 1030);
  assert.equal(silence(live.grid, live.series, 1085), null);
  assert.equal(silence(live.grid, live.series, 1100), 70);
  const slow = of([1, null, null, 2, null, null, 3, null, null, 4, null]);
  assert.equal(silence(slow.grid, slow.series, 1180), null, "every 30 s: three of them may be late");
  assert.equal(silence(slow.grid, slow.series, 1200), 100);
  const none = of([null]);
  assert.deepEqual([lastSample(none.grid, none.series), silence(none.grid, none.series, 9999)], [null, null]);
});

test("events live while zeros are told of them", () => {
  const rare = of([5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "event");
  assert.equal(lastSample(rare.grid, rare.series), 1010);
  assert.equal(silence(rare.grid, rare.series, 1115), null);
  const dead = of([5, 0, 0, null, null], "event");
  assert.equal(silence(dead.grid, dead.series, 1200), 190, "since the last event");
  const idle = of([0, 0], "event");
  assert.equal(lastSample(idle.grid, idle.series), 1020);
});

test("the last sample of a counter with none in view: the day, then the moment", async () => {
  /** @type {number[][]} */
  const asked = [];
  const api = { series: async (/** @type {string[]} */ _, /** @type {number} */ from, /** @type {number} */ to) => {
    asked.push([from, to]);
    return asked.length === 1 ? { ...of([null, 7, null], "gauge", 0).grid, interval: 86400 } : of([1, 2, null], "gauge", 90000).grid;
  } };
  assert.equal(await lastSeen(api, ["a"], 300000), 90020);
  assert.deepEqual(asked, [[0, 300001], [86400, 172800]]);
  assert.equal(await lastSeen({ series: async () => of([null]).grid }, ["a"], 5), null);
});
