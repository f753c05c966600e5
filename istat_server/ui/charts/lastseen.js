/** Looks for the last sample of counters that have none in view. Knows the server's /api/v1/series. */

/** @import {Api} from "../api.js" */
/** @import {Grid} from "./grid.js" */
import { lastSample } from "./grid.js";

const DAY = 86400;
/** No retention rule is expected to keep more [s]. */
const LONGEST = 20 * 366 * DAY;

/** The newest of all counters of a grid [s], or null. @param {Grid} grid */
function newest(grid) {
  const times = grid.series.map((one) => lastSample(grid, one)).filter((time) => time !== null);
  return times.length ? Math.max(...times) : null;
}

/** When the last sample of any of these counters came [s], or null: the day first, then when on that day.
 * @param {Pick<Api, "series">} api @param {string[]} names @param {number} now @returns {Promise<number | null>} */
export async function lastSeen(api, names, now) {
  const to = Math.ceil(now) + 1;
  const days = await api.series(names, Math.max(0, to - LONGEST), to, LONGEST / DAY);
  const end = newest(days);
  if (end === null) return null;
  const close = await api.series(names, Math.max(0, end - days.interval), end, DAY / 10);
  return Math.min(now, newest(close) ?? end);
}
