/**
 * What the page shows, and its spelling in the URL's fragment. Pure: knows no DOM, no server, no clock
 * but the `now` it is given. The fragment is the only place where a view is kept, so a link is a view.
 *
 * #c=cpu.user.host.a,cpu.system.host.a&c=load.min1.host.a&r=6h&live=0&overlay=1&theme=dark
 */

/**
 * @typedef {{preset: string} | {from: number, to: number}} Range   Unix seconds
 * @typedef {"auto" | "light" | "dark"} Theme
 * @typedef {object} State
 * @property {string[][] | null} charts  counters of each chart; null: the overview of `host`
 * @property {string} host  "": the first one found
 * @property {Range} range
 * @property {boolean} live
 * @property {boolean} overlay  a picked counter goes into the selected chart instead of a new one
 * @property {Theme} theme
 */

/** Offered spans [s]. A year is 366 days so that the same day last year is in it. */
export const PRESETS = /** @type {Record<string, number>} */ ({
  "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400, "7d": 604800, "30d": 2592000, "1y": 31622400,
});
export const DEFAULT_PRESET = "1h";
/** Narrowest range one can zoom to [s]: two of the finest usual buckets. */
export const MIN_SPAN = 20;
const THEMES = ["auto", "light", "dark"];

/** @returns {State} */
export function defaults() {
  return { charts: null, host: "", range: { preset: DEFAULT_PRESET }, live: true, overlay: false, theme: "auto" };
}

/** Decode one fragment part; a broken escape stays as it was typed.
 * @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} text @returns {Range} */
function parseRange(text) {
  if (Object.hasOwn(PRESETS, text)) return { preset: text };
  const custom = /^(\d{1,11})-(\d{1,11})$/.exec(text);
  if (custom) {
    const [from, to] = [Number(custom[1]), Number(custom[2])];
    if (to - from >= MIN_SPAN) return { from, to };
  }
  return { preset: DEFAULT_PRESET };
}

/** The state a fragment (with or without its #) spells; unknown keys and bad values fall back to defaults.
 * @param {string} fragment @returns {State} */
export function parseFragment(fragment) {
  const state = defaults();
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    if (at < 0) continue;
    const [key, raw] = [part.slice(0, at), part.slice(at + 1)];
    if (key === "c") {
      const names = [...new Set(raw.split(",").map(decode).filter((name) => name !== ""))];
      state.charts = state.charts ?? [];
      if (names.length) state.charts.push(names);
    } else if (key === "host") state.host = decode(raw);
    else if (key === "r") state.range = parseRange(raw);
    else if (key === "live") state.live = raw !== "0";
    else if (key === "overlay") state.overlay = raw === "1";
    else if (key === "theme" && THEMES.includes(raw)) state.theme = /** @type {Theme} */ (raw);
  }
  return state;
}

/** The shortest fragment that spells the state; "" for the defaults.
 * @param {State} state @returns {string} */
export function formatFragment(state) {
  const parts = [];
  if (state.charts !== null) {
    if (!state.charts.length) parts.push("c=");
    for (const names of state.charts) parts.push("c=" + names.map(encodeURIComponent).join(","));
  } else if (state.host) parts.push("host=" + encodeURIComponent(state.host));
  if (!("preset" in state.range)) parts.push(`r=${state.range.from}-${state.range.to}`);
  else if (state.range.preset !== DEFAULT_PRESET) parts.push("r=" + state.range.preset);
  if (!state.live) parts.push("live=0");
  if (state.overlay) parts.push("overlay=1");
  if (state.theme !== "auto") parts.push("theme=" + state.theme);
  return parts.length ? "#" + parts.join("&") : "";
}

/** First and last second shown.
 * @param {Range} range @param {number} now [s] @param {number} step  align the moving end to it [s] */
export function windowOf(range, now, step = 10) {
  if (!("preset" in range)) return { from: range.from, to: range.to };
  const to = Math.floor(now / step) * step;
  return { from: to - PRESETS[range.preset], to };
}

/** Move by a share of the span; a move that reaches now, or nearly (a tenth of the span), goes back to the moving range of that span, if it is a preset.
 * @param {Range} range @param {number} share  -0.5: half a span back @param {number} now @returns {Range} */
export function shift(range, share, now) {
  const { from, to } = windowOf(range, now);
  const span = to - from;
  const by = Math.round(span * share);
  if (by > 0 && to + by >= now - span / 10) {
    const preset = Object.keys(PRESETS).find((key) => PRESETS[key] === span);
    if (preset) return { preset };
    const end = Math.floor(now);
    return { from: end - span, to: end };
  }
  return { from: from + by, to: to + by };
}

/** Whole seconds, at least MIN_SPAN wide, around what was dragged.
 * @param {number} a @param {number} b @returns {{from: number, to: number}} */
export function zoomTo(a, b) {
  let from = Math.floor(Math.min(a, b));
  let to = Math.ceil(Math.max(a, b));
  if (to - from < MIN_SPAN) {
    from = Math.floor((from + to - MIN_SPAN) / 2);
    to = from + MIN_SPAN;
  }
  return { from, to };
}

/** Whether the range follows the clock. @param {State} state */
export function isLive(state) {
  return state.live && "preset" in state.range;
}

/** Points to ask for: three on two CSS pixels, within [50, 3000]; the server may give fewer.
 * @param {number} width [px] */
export function pointsFor(width) {
  return Math.max(50, Math.min(3000, Math.floor(width * 1.5)));
}

/** Put a counter in, or take it out if it is shown. New charts come first so that they are seen.
 * @param {string[][]} charts @param {string} name @param {number} target  chart to overlay on; -1: a new one
 * @returns {string[][]} */
export function toggleCounter(charts, name, target) {
  if (charts.some((names) => names.includes(name))) {
    return charts.map((names) => names.filter((other) => other !== name)).filter((names) => names.length);
  }
  if (target < 0 || target >= charts.length) return [[name], ...charts];
  return charts.map((names, index) => (index === target ? [...names, name] : names));
}
