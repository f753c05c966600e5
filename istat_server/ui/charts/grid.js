/**
 * Columns of values over one regular time grid: what the server answered, and how a newer piece is joined to it.
 * Pure; knows nothing of charts. A missing bucket is null.
 */

/**
 * @typedef {(number | null)[]} Values
 * @typedef {{name: string, kind: "gauge" | "event", avg: Values, min: Values, max: Values}} Series
 * @typedef {{start: number, interval: number, points: number, series: Series[], missing: string[]}} Grid  times in [s]
 */

const COLUMNS = /** @type {const} */ (["avg", "min", "max"]);

/** Times of the buckets' starts [s]. @param {Grid} grid @returns {number[]} */
export function times(grid) {
  return Array.from({ length: grid.points }, (_, k) => grid.start + k * grid.interval);
}

/** The buckets k0 <= k < k1; outside the grid there are gaps.
 * @param {Grid} grid @param {number} k0 @param {number} k1 @returns {Grid} */
function cut(grid, k0, k1) {
  /** @param {Values} values */
  const part = (values) => {
    const out = values.slice(Math.max(0, k0), Math.max(0, k1));
    return k0 < 0 ? [...new Array(-k0).fill(null), ...out] : out;
  };
  const series = grid.series.map((s) => ({ ...s, avg: part(s.avg), min: part(s.min), max: part(s.max) }));
  return { ...grid, start: grid.start + k0 * grid.interval, points: Math.max(0, k1 - k0), series };
}

/** Without the buckets that are still open at `now`: their rates would seem to fall. They stay when they are all
 * that a counter has: its first minutes in a view of a week.
 * @param {Grid} grid @param {number} now @returns {Grid} */
export function closedOnly(grid, now) {
  const closed = Math.floor((now - grid.start) / grid.interval);
  if (closed >= grid.points || closed < 1) return grid;
  const young = grid.series.some(({ avg }) => {
    const first = avg.findIndex((value) => value !== null);
    return first >= closed;
  });
  return young ? grid : cut(grid, 0, closed);
}

/** Lay `tail` over the end of `grid` and let go of what is before `from`.
 * @param {Grid} grid @param {Grid} tail @param {number} from [s]
 * @returns {Grid | null} null when the two do not fit and all must be asked again */
export function append(grid, tail, from) {
  const at = (tail.start - grid.start) / grid.interval;
  if (tail.interval !== grid.interval || !Number.isInteger(at) || at < 0 || at > grid.points) return null;
  if (tail.series.length !== grid.series.length) return null;
  const byName = new Map(tail.series.map((s) => [s.name, s]));
  const drop = Math.max(0, Math.floor((from - grid.start) / grid.interval));
  const series = [];
  for (const old of grid.series) {
    const fresh = byName.get(old.name);
    if (!fresh) return null;
    const joined = { ...old };
    for (const column of COLUMNS) joined[column] = [...old[column].slice(drop, at), ...fresh[column]];
    series.push(joined);
  }
  if (drop > at) return null;
  return { start: grid.start + drop * grid.interval, interval: grid.interval,
    points: at - drop + tail.points, series, missing: tail.missing };
}

/** How many buckets lie between samples, usually: a counter sent once a minute has 6 at 10 s buckets.
 * @param {Values} values @returns {number} >= 1 */
export function usualStep(values) {
  const steps = [];
  let last = -1;
  for (let k = 0; k < values.length; k++) {
    if (values[k] === null) continue;
    if (last >= 0) steps.push(k - last);
    last = k;
  }
  if (steps.length < 2) return 1;
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1];
}

/** The same values, where the nulls between samples of a slow counter are `undefined` (drawn across);
 * longer pauses stay null (a gap).
 * @param {Values} values @param {number} step  from usualStep @returns {(number | null | undefined)[]} */
export function bridged(values, step) {
  /** @type {(number | null | undefined)[]} */
  const out = values.slice();
  if (step <= 1) return out;
  const reach = Math.floor(step * 1.5); // one late sample is no gap, a lost one is
  let last = -1;
  for (let k = 0; k < out.length; k++) {
    if (values[k] === null) continue;
    if (last >= 0 && k - last <= reach) out.fill(undefined, last + 1, k);
    last = k;
  }
  return out;
}

/** Indexes of samples with a gap on both sides: no line reaches them, so they want a dot.
 * @param {ArrayLike<number | null | undefined>} values @returns {number[]} */
export function isolated(values) {
  const out = [];
  for (let k = 0; k < values.length; k++) {
    const value = values[k];
    if (value === null || value === undefined) continue;
    if ((k === 0 || values[k - 1] === null) && (k === values.length - 1 || values[k + 1] === null)) out.push(k);
  }
  return out;
}

/** The index of the sample nearest to `at`, at most `reach` buckets away; `at` itself when there is none.
 * @param {Values} values @param {number} at @param {number} reach */
export function nearest(values, at, reach) {
  for (let far = 0; far <= reach; far++) {
    if ((values[at - far] ?? null) !== null) return at - far;
    if ((values[at + far] ?? null) !== null) return at + far;
  }
  return at;
}

/** Last value, extremes and mean of what is shown; all null when there is nothing.
 * @param {Series} series */
export function summary(series) {
  let [last, low, high, total, count] = [NaN, Infinity, -Infinity, 0, 0];
  for (let k = 0; k < series.avg.length; k++) {
    const value = series.avg[k];
    if (value === null) continue;
    last = value;
    low = Math.min(low, series.min[k] ?? value);
    high = Math.max(high, series.max[k] ?? value);
    total += value;
    count++;
  }
  if (!count) return { last: null, min: null, max: null, avg: null };
  return { last, min: low, max: high, avg: total / count };
}

/** Time of the first sample of any counter [s], or null. @param {Grid} grid */
export function firstSample(grid) {
  let first = Infinity;
  for (const { avg } of grid.series) {
    const k = avg.findIndex((value) => value !== null);
    if (k >= 0) first = Math.min(first, k);
  }
  return first === Infinity ? null : grid.start + first * grid.interval;
}

/** The index of the last value that is a sample, or -1; of events zeros are none, as long as there is anything else.
 * @param {Series} series @param {boolean} zeros  count them too */
function lastIndex({ avg, kind }, zeros) {
  let any = -1;
  for (let k = avg.length - 1; k >= 0; k--) {
    if (avg[k] === null) continue;
    if (zeros || kind !== "event" || avg[k] !== 0) return k;
    if (any < 0) any = k;
  }
  return any;
}

/** The end of a counter's last bucket with samples [s], or null. @param {Grid} grid @param {Series} series */
export function lastSample(grid, series) {
  const k = lastIndex(series, false);
  return k < 0 ? null : grid.start + (k + 1) * grid.interval;
}

/** A pause of a live counter that nobody need hear of [s]. */
const SHORT_SILENCE = 60;
/** So many samples that should have come by now have not. */
const LATE = 3;

/** How long nothing has come of a counter, where it is longer than usual; null while it lives. Events live while
 * the server tells zeros of them. @param {Grid} grid @param {Series} series @param {number} now [s] @returns {number | null} */
export function silence(grid, series, now) {
  const last = lastSample(grid, series);
  if (last === null) return null;
  const lived = grid.start + (lastIndex(series, true) + 1) * grid.interval;
  const late = Math.max(SHORT_SILENCE, LATE * usualStep(series.avg) * grid.interval);
  return now - lived > late ? now - last : null;
}
