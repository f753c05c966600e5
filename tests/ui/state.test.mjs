import assert from "node:assert/strict";
import { test } from "node:test";
import { defaults, formatFragment, isLive, parseFragment, pointsFor, shift, toggleCounter, windowOf, zoomTo } from "../../istat_server/ui/state.js";

test("an empty fragment is the overview of the last hour, live", () => {
  assert.deepEqual(parseFragment(""), defaults());
  assert.equal(formatFragment(defaults()), "");
});

test("a fragment spells the whole view and comes back the same", () => {
  const state = { charts: [["a,b", "c&d=e#f"], ["g.h"]], host: "", range: { from: 1700000000, to: 1700003600 }, live: false, overlay: true, theme: "dark" };
  const text = formatFragment(state);
  assert.equal(text, "#c=a%2Cb,c%26d%3De%23f&c=g.h&r=1700000000-1700003600&live=0&overlay=1&theme=dark");
  assert.deepEqual(parseFragment(text), state);
});

test("no charts at all differs from the overview", () => {
  assert.deepEqual(parseFragment("#c=").charts, []);
  assert.equal(formatFragment({ ...defaults(), charts: [] }), "#c=");
  assert.equal(formatFragment({ ...defaults(), host: "web1" }), "#host=web1");
});

test("nonsense falls back to defaults", () => {
  const bad = parseFragment("#r=2h&theme=pink&zzz&c=%E0%A4%A&r=20-10&constructor=1&r=toString");
  assert.deepEqual(bad, { ...defaults(), charts: [["%E0%A4%A"]] });
});

test("a counter is named once in a chart", () => {
  assert.deepEqual(parseFragment("#c=a,b,a,").charts, [["a", "b"]]);
});

test("the moving window ends at a whole bucket", () => {
  assert.deepEqual(windowOf({ preset: "15m" }, 1700000009.9), { from: 1699999100, to: 1700000000 });
  assert.deepEqual(windowOf({ from: 5, to: 50 }, 1e9), { from: 5, to: 50 });
});

test("earlier stops the clock, later finds it again", () => {
  const now = 1700000000;
  const back = shift({ preset: "1h" }, -0.5, now);
  assert.deepEqual(back, { from: now - 5400, to: now - 1800 });
  assert.deepEqual(shift(back, 0.5, now), { preset: "1h" });
  assert.deepEqual(shift(back, 0.5, now + 100), { preset: "1h" }, "a moment later, too");
  assert.deepEqual(shift({ from: now - 110, to: now - 10 }, 0.5, now), { from: now - 100, to: now });
});

test("a zoom is in whole seconds and not too narrow", () => {
  assert.deepEqual(zoomTo(200.4, 100.6), { from: 100, to: 201 });
  assert.deepEqual(zoomTo(100, 102), { from: 91, to: 111 });
});

test("live follows the clock only", () => {
  assert.equal(isLive({ ...defaults() }), true);
  assert.equal(isLive({ ...defaults(), range: { from: 1, to: 100 } }), false);
  assert.equal(isLive({ ...defaults(), live: false }), false);
});

test("at most two points for each pixel", () => {
  for (const width of [60, 340, 1100]) assert.ok(pointsFor(width) <= 2 * width);
  assert.equal(pointsFor(1e6), 3000);
});

test("picking adds a chart in front, overlays on a target, and removes what is shown", () => {
  assert.deepEqual(toggleCounter([["a"]], "b", -1), [["b"], ["a"]]);
  assert.deepEqual(toggleCounter([["a"], ["c"]], "b", 1), [["a"], ["c", "b"]]);
  assert.deepEqual(toggleCounter([["a"], ["c", "b"]], "b", 0), [["a"], ["c"]]);
  assert.deepEqual(toggleCounter([["a"]], "a", -1), []);
});
