/**
 * Numbers, units, times and names as people read them. Pure. A counter carries no unit of its own, so the
 * unit is guessed from the name, and only where the name leaves no doubt.
 */

/** @typedef {{symbol: string, base: 1000 | 1024, perSecond: boolean}} Unit   symbol "" : a plain number */

const SI = ["", "k", "M", "G", "T", "P", "E"];
const SI_SMALL = ["", "m", "µ", "n"];
const IEC = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/** From here on, and below, powers of ten are written; without prefixes from so many digits on. */
const [HUGE, TINY, LONGEST] = [1e22, 1e-12, 1e10];
const SPACE = "\u00a0"; // number and unit stay on one line
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** Categories that agents append to a name with a caret. */
const SUFFIX = /\.(host|class|role|rack|zone|env)\..+$/;
/** First words of what the built-in collectors send, as a title spells them. */
const TITLES = /** @type {Record<string, string>} */ ({
  cpu: "CPU", load: "Load", memory: "Memory", swap: "Swap", disk: "Disk", space: "Disk space",
  net: "Network", network: "Network", processes: "Processes", istatd: "Server",
});
/** What istatd told of its machine, and what its first words are called by us. */
const LOCALSTAT = /^localstat\.([^.]+)/;
const OURS = /** @type {Record<string, string>} */ ({ mem: "memory", net: "network", process: "processes" });

/** `cpu.user.host.web1` -> base `cpu.user`, suffix `host.web1`. @param {string} name */
export function splitName(name) {
  const found = SUFFIX.exec(name);
  if (!found || found.index === 0) return { base: name, suffix: "" };
  return { base: name.slice(0, found.index), suffix: name.slice(found.index + 1) };
}

/** Gauges of the built-in collectors that are already rates. */
const RATE = /^(disk|net|network)\.[^.]+\.((read|write|rx|tx|busy)_|reads$|writes$)|^swap\.(in|out)_|\.forks$/;
/** First matching pattern wins: what the last words of a name say about its unit. */
const UNITS = /** @type {[RegExp, string, 1000 | 1024][]} */ ([
  [/(percent|[._]pct)$/, "%", 1000],
  [/^(localstat\.)?cpu\.(core\d+\.)?(user|nice|system|kernel|idle|iowait|irq|softirq|steal|guest|busy|swap)$/, "%", 1000],
  [/(^|[._])bytes$|vmrss$|vmsize$|[._]rss$/, "B", 1024],
  [/^(localstat\.)?(memory|mem|swap)\.(total|used|free|available|cached?|buffers|shared|slab)$/, "B", 1024],
  [/(^|[._])bits$/, "b", 1000],
  [/[._]ms$/, "ms", 1000],
  [/[._](us|usec)$/, "µs", 1000],
  [/(^|[._])(seconds|sec|uptime)$/, "s", 1000],
]);

/** @param {string} name @param {string} kind  events are rates per second @returns {Unit} */
export function unitOf(name, kind) {
  const { base } = splitName(name);
  const perSecond = kind === "event" || RATE.test(base);
  for (const [pattern, symbol, prefixes] of UNITS) {
    if (pattern.test(base)) return { symbol, base: prefixes, perSecond };
  }
  return { symbol: "", base: 1000, perSecond };
}

/** About three significant digits, no trailing zeros. @param {number} value @param {number} digits */
function plain(value, digits = 3) {
  if (value === 0) return "0";
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1;
  return String(Number(value.toFixed(Math.max(0, Math.min(12, digits - whole)))));
}

/** `1.5e30`: what no prefix is for. @param {number} size @param {number} digits */
function exponential(size, digits) {
  const [number, power] = size.toExponential(Math.min(digits, 15) - 1).split("e");
  return `${Number(number)}e${Number(power)}`;
}

/** Prefixes only where they are usual: no kilo-percent, no millisecond of milliseconds.
 * @param {number} value @param {Unit} unit @param {number} digits @returns {string} */
export function formatValue(value, unit, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const tail = unit.symbol + (unit.perSecond ? "/s" : "");
  const fixed = unit.symbol === "%" || unit.symbol === "ms" || unit.symbol === "µs" || unit.symbol === "s";
  let size = Math.abs(value);
  if (size >= (fixed ? LONGEST : HUGE) || (size > 0 && size < TINY)) {
    return (value < 0 ? "−" : "") + exponential(size, digits) + (tail ? SPACE + tail : "");
  }
  let step = 0;
  if (!fixed) {
    while (size >= unit.base * 0.9995 && step < SI.length - 1) [size, step] = [size / unit.base, step + 1];
    if (unit.symbol === "" && size > 0 && size < 0.001) {
      while (size < 0.9995 && step > 1 - SI_SMALL.length) [size, step] = [size * 1000, step - 1];
    }
  }
  const prefix = step < 0 ? SI_SMALL[-step] : unit.base === 1024 ? IEC[step] : SI[step];
  const number = (value < 0 ? "−" : "") + plain(size, digits);
  if (prefix + tail === "") return number;
  return prefix === "" && tail === "/s" ? number + "/s" : number + SPACE + prefix + tail;
}

/** Steps between the marks of a value axis: 1-2-5, or powers of two where prefixes are binary. What is drawn is at
 * most some 1e17 (charts/scales.js).
 * @param {Unit} unit @returns {number[]} */
export function axisSteps(unit) {
  const out = [];
  if (unit.base === 1024) {
    for (let power = 0; power <= 62; power++) out.push(2 ** power);
    return out;
  }
  for (let power = -9; power <= 18; power++) {
    for (const step of [1, 2, 5]) out.push(Number(`${step}e${power}`));
  }
  return out;
}

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/** "22 Nov". @param {Date} date */
const day = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]}`;

/** Local time of day [s resolution]. @param {number} time */
export function formatTime(time, seconds = true) {
  const date = new Date(time * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}` + (seconds ? `:${two(date.getSeconds())}` : "");
}

/** "22 Nov 2026 14:05:10" in local time. @param {number} time [s] */
export function formatDateTime(time) {
  const date = new Date(time * 1000);
  return `${day(date)} ${date.getFullYear()} ${formatTime(time)}`;
}

/** From-to in as few words as possible. @param {number} from @param {number} to */
export function formatRange(from, to) {
  const [a, b] = [new Date(from * 1000), new Date(to * 1000)];
  if (a.toDateString() === b.toDateString()) return `${day(a)} ${formatTime(from)} – ${formatTime(to)}`;
  return `${day(a)} ${formatTime(from, false)} – ${day(b)} ${formatTime(to, false)}`;
}

/** Labels of a time axis; the day is written under the first mark and under each midnight.
 * @param {number[]} splits [s] @param {number} step  distance of the marks [s] @returns {string[]} */
export function timeLabels(splits, step) {
  let before = "";
  return splits.map((time) => {
    const date = new Date(time * 1000);
    if (step >= 28 * 86400) {
      const year = String(date.getFullYear());
      const label = MONTHS[date.getMonth()] + (year === before ? "" : "\n" + year);
      before = year;
      return label;
    }
    if (step >= 86400) return day(date);
    const label = formatTime(time, step < 60) + (day(date) === before ? "" : "\n" + day(date));
    before = day(date);
    return label;
  });
}

/** Distance of marks on a time axis [s]. */
export const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  86400, 2 * 86400, 7 * 86400, 14 * 86400, 28 * 86400, 2 * 28 * 86400, 4 * 28 * 86400, 365 * 86400];

/** "just now", "40 s ago", "3 h ago". @param {number} seconds */
export function formatAge(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

/** How many leading elements all lists share. @param {string[][]} lists */
function shared(lists) {
  const most = Math.min(...lists.map((list) => list.length));
  let count = 0;
  while (count < most && lists.every((list) => list[count] === lists[0][count])) count++;
  return count;
}

/** What tells the counters of one chart apart: the name without the parts that all share.
 * @param {string[]} names @returns {string[]} */
export function shortLabels(names) {
  const parts = names.map((name) => name.split("."));
  if (names.length < 2) return [splitName(names[0] ?? "").base];
  const shortest = Math.min(...parts.map((list) => list.length));
  const head = Math.min(shared(parts), shortest - 1);
  const foot = Math.min(shared(parts.map((list) => [...list].reverse())), shortest - head - 1);
  return withoutSharedEnd(parts.map((list) => list.slice(head, list.length - foot).join(".")));
}

/** `rx_bytes`, `tx_bytes` -> `rx`, `tx`: the axis says that they are bytes. @param {string[]} labels */
function withoutSharedEnd(labels) {
  const words = labels.map((label) => label.split("_"));
  const foot = Math.min(shared(words.map((list) => [...list].reverse())), Math.min(...words.map((list) => list.length)) - 1);
  const short = words.map((list) => list.slice(0, list.length - foot).join("_"));
  return short.some((label) => label === "" || label.endsWith(".")) ? labels : short;
}

/** Heading of a chart, and the smaller print beside it (the host, if there is one).
 * @param {string[]} names @returns {{title: string, detail: string}} */
export function titleOf(names) {
  const split = names.map(splitName);
  const suffixes = new Set(split.map((one) => one.suffix));
  const detail = suffixes.size === 1 ? split[0].suffix.replace(/^host\./, "") : "";
  const bases = [...new Set(split.map((one) => one.base))];
  if (bases.length === 1) return { title: bases[0], detail };
  const parts = bases.map((base) => base.replace(LOCALSTAT, (_, word) => OURS[word] ?? word).split("."));
  const common = parts[0].slice(0, shared(parts));
  if (!common.length) return { title: `${bases.length} counters`, detail };
  const known = TITLES[common[0]];
  // "disk.space" over mounts, "disk" over devices: what they share at the end says what it is about.
  const foot = shared(parts.map((list) => list.slice(common.length).reverse()));
  if (foot && foot < parts[0].length - common.length) common.push(...parts[0].slice(-foot));
  return { title: known ? [known, ...common.slice(1)].join(" ").replaceAll("_", " ") : common.join("."), detail };
}

/** "10 s", "5 min", "1 d". @param {number} seconds */
export function formatInterval(seconds) {
  if (seconds % 86400 === 0) return `${seconds / 86400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}
