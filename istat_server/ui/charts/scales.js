/**
 * The value scales of a chart: one for each unit, so that no axis says "%" of bytes. Pure; knows no chart library.
 *
 * What is drawn is value x factor: the library computes in doubles, steps of its axes included, and gets lost where
 * values are near the ends of what a double can hold. The factor is 1 but for values that nobody would expect.
 */

/** @import {Unit} from "../format.js" */
/** @import {Values} from "./grid.js" */

import { formatValue } from "../format.js";

/** @typedef {{key: string, unit: Unit, factor: number}} Scale */

/** Two axes can be told apart, one on each side; with more units the legend alone tells values. */
const MOST_AXES = 2;
/** Values are drawn as they are between these sizes: the library wants marks of at most 17 digits. */
const [LARGEST, SMALLEST] = [5e16, 1e-6];
/** More marks than any axis has room for: its step is not meant for its range. */
const MOST_MARKS = 100;

/** @param {Unit} a @param {Unit} b */
const same = (a, b) => a.symbol === b.symbol && a.perSecond === b.perSecond;

/** The scales that counters of these units share, in order of appearance; `of[k]` is that of counter k.
 * @param {Unit[]} units @returns {{scales: Scale[], of: Scale[]}} */
export function scalesFor(units) {
  /** @type {Scale[]} */
  const scales = [];
  const of = units.map((unit) => {
    let scale = scales.find((one) => same(one.unit, unit));
    if (!scale) scales.push(scale = { key: scales.length ? `y${scales.length}` : "y", unit, factor: 1 });
    return scale;
  });
  return { scales, of };
}

/** The scales that have an axis: all, or none. @param {Scale[]} scales @returns {Scale[]} */
export function withAxis(scales) {
  return scales.length > MOST_AXES ? [] : scales;
}

/** The factor for values of these columns: a power of ten, nearly always 1. @param {Values[]} columns */
export function factorFor(columns) {
  let most = 0;
  for (const column of columns) for (const value of column) if (value !== null && Math.abs(value) > most) most = Math.abs(value);
  if (most === 0 || (most <= LARGEST && most >= SMALLEST)) return 1;
  return 10 ** -Math.max(-307, Math.floor(Math.log10(most)));
}

/** Room for a value axis: from zero, unless all values are far from it and move.
 * @param {number | null} low @param {number | null} high @param {Unit} unit @returns {[number, number]} */
export function valueRange(low, high, unit) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (high <= 0 && low < 0) { // as what is above zero, upside down
    const [bottom, top] = valueRange(-high, -low, unit);
    return [-top, bottom === 0 ? 0 : -bottom];
  }
  const span = high - low;
  if (low < 0) return [low - span * 0.1, high + span * 0.1];
  const fromZero = unit.symbol === "%" || low < high / 2 || span < high * 0.02;
  const bottom = fromZero ? 0 : Math.max(0, low - span * 0.1);
  let top = high + (high - bottom) * 0.08;
  if (unit.symbol === "%" && !unit.perSecond) top = high <= 100 ? Math.min(100, Math.max(top, 1)) : top;
  return [bottom, top > bottom ? top : bottom + 1];
}

/** The marks of an axis. @param {number} from @param {number} to @param {number} step @returns {number[]} */
export function marks(from, to, step) {
  const [first, last] = [Math.ceil(from / step), Math.floor(to / step)];
  if (!(step > 0) || !(last - first <= MOST_MARKS)) return [];
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step + 0);
}

/** What is written at the marks of an axis. @param {number[]} at  as drawn @param {Scale} scale */
export function valueLabels(at, { unit, factor }) {
  const step = at.length > 1 ? Math.abs(at[1] - at[0]) : 1;
  const most = Math.max(...at.map(Math.abs), step);
  const digits = Math.max(3, Math.ceil(Math.log10(most / step)) + 1);
  return at.map((value) => {
    if (value === 0) return "0";
    return Number.isFinite(value / factor) ? formatValue(value / factor, unit, digits) : ""; // beyond the largest double
  });
}

/** Room for these [px]. @param {string[]} labels */
export function axisWidth(labels) {
  return Math.max(44, 14 + 6.2 * Math.max(0, ...labels.map((label) => label.length)));
}
