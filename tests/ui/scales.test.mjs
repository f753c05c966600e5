import assert from "node:assert/strict";
import { test } from "node:test";
import { factorFor, marks, scalesFor, valueLabels, valueRange, withAxis } from "../../istat_server/ui/charts/scales.js";
import { axisSteps, unitOf } from "../../istat_server/ui/format.js";

/** @param {...string} names */
const units = (...names) => names.map((name) => unitOf(name, "gauge"));
const PLAIN = unitOf("x", "gauge");

test("a scale for each unit, an axis for each of two, none for more", () => {
  const one = scalesFor(units("cpu.user", "cpu.system"));
  assert.deepEqual([one.scales.length, one.of[0] === one.of[1], withAxis(one.scales).length], [1, true, 1]);
  const two = scalesFor(units("cpu.user", "memory.used_bytes", "cpu.system"));
  assert.deepEqual(two.scales.map(({ key, unit }) => [key, unit.symbol]), [["y", "%"], ["y1", "B"]]);
  assert.equal(two.of[2], two.scales[0]);
  assert.equal(withAxis(two.scales).length, 2);
  assert.equal(withAxis(scalesFor(units("cpu.user", "memory.used_bytes", "load.min1")).scales).length, 0);
  assert.equal(scalesFor([unitOf("a", "event"), unitOf("a", "gauge")]).scales.length, 2, "a rate is another unit");
});

test("what a double can just hold is drawn smaller, what is usual as it is", () => {
  assert.equal(factorFor([[1, 2, null], [null]]), 1);
  assert.equal(factorFor([[0, null]]), 1);
  assert.equal(factorFor([[2 ** 50]]), 1);
  for (const huge of [-1e20, 1e308, -Number.MAX_VALUE, 5e-324, 1e-300]) {
    const drawn = Math.abs(huge * factorFor([[1, huge]].map((column) => (Math.abs(huge) > 1 ? column : [huge]))));
    assert.ok(drawn >= 1e-17 && drawn < 10, `${huge} is drawn as ${drawn}`);
  }
});

test("room for values", () => {
  assert.deepEqual(valueRange(null, null, PLAIN), [0, 1]);
  assert.deepEqual(valueRange(0, 0, PLAIN), [0, 1]);
  assert.deepEqual(valueRange(0, 100, PLAIN), [0, 108]);
  assert.deepEqual(valueRange(-1, 1, PLAIN), [-1.2, 1.2]);
  assert.deepEqual(valueRange(-100, 0, PLAIN), [-108, 0], "below zero as above it");
  assert.deepEqual(valueRange(-5, -5, PLAIN), [-5.4, 0]);
  assert.deepEqual(valueRange(0, 99, unitOf("cpu.user", "gauge")), [0, 100]);
  for (const [low, high] of [[-1, -1], [-9, 9], [3, 3], [1e16, 5e16], [-5e16, 5e16]]) {
    const [bottom, top] = valueRange(low, high, PLAIN);
    assert.ok(bottom < top && bottom <= low && high <= top);
  }
});

test("marks are multiples of a step, and never too many", () => {
  assert.deepEqual(marks(0, 1, 0.5), [0, 0.5, 1]);
  assert.deepEqual(marks(-12, 12, 5), [-10, -5, 0, 5, 10]);
  assert.ok(marks(-12, 12, 5).every((mark) => !Object.is(mark, -0)));
  for (const [from, to, step] of [[0, 1e20, 1], [0, 1, 0], [0, Infinity, 1], [NaN, 1, 1]]) assert.deepEqual(marks(from, to, step), []);
  assert.ok(axisSteps(PLAIN).at(-1) >= 1e18);
});

test("marks are told as the values that they stand for", () => {
  const [scale] = scalesFor([PLAIN]).scales;
  assert.deepEqual(valueLabels([0, 500, 1000], scale).map((text) => text.replaceAll("\u00a0", " ")), ["0", "500", "1 k"]);
  assert.deepEqual(valueLabels([0, 1], { ...scale, factor: 1e-308 }), ["0", "1e308"]);
});
