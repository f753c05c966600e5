/** What is shown, in words: from when to when, how fine, and how old the last sample is. */

/** @import {Grid} from "../charts/grid.js" */
import { lastSample } from "../charts/grid.js";
import { byId } from "../dom.js";
import { formatAge, formatDateTime, formatInterval, formatRange } from "../format.js";

/** @param {Grid} grid @param {{from: number, to: number}} window
 * @param {number | null} now  null where what is shown grows old: then a time is told, and no age [s] */
export function tellSpan(grid, window, now) {
  const last = Math.max(0, ...grid.series.map((one) => lastSample(grid, one) ?? 0));
  const age = !last ? "" : ` · last sample ${now === null ? formatDateTime(last) : formatAge(now - last)}`;
  byId("span").textContent = `${formatRange(window.from, window.to)} · ${formatInterval(grid.interval)} buckets${age}`;
}
