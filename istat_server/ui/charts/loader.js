/**
 * Keeps one grid of all counters on the page up to date: a whole answer when the view changes, then only the
 * newest buckets. Tries again, ever more slowly, while the server is away. Knows no DOM but `document.hidden`.
 */

/** @import {Api} from "../api.js" */
/** @import {Grid} from "./grid.js" */
/** @import {Range} from "../state.js" */
import { Refused, ServerAway } from "../api.js";
import { append, closedOnly } from "./grid.js";
import { windowOf } from "../state.js";

/** Finest period of live updates [s]: the finest usual bucket. */
const FINEST = 10;
/** A bucket is asked for this long after its end [s]: samples take a moment to arrive. */
const SETTLE = 2;
/** Buckets asked for again at each update: late samples change them. */
const OVERLAP = 3;
/** Longest wait between two tries to reach the server [s]. */
const LONGEST_BACKOFF = 30;

/**
 * @typedef {{names: string[], range: Range, points: number, live: boolean}} Want
 * @typedef {{
 *   grid: (grid: Grid, window: {from: number, to: number}) => void,
 *   away: (seconds: number, why: string) => void,
 *   back: () => void,
 *   refused: (why: string) => void,
 * }} Listeners
 */

export class Loader {
  /** @type {Want} */
  want = { names: [], range: { preset: "1h" }, points: 0, live: false };
  /** @type {Grid | null} */
  grid = null;
  failures = 0;
  /** How often the whole, and only the newest part, was fetched: for tests. */
  fetched = { whole: 0, tail: 0 };
  #timer = 0;
  /** @type {AbortController | null} */
  #running = null;

  /** @param {Api} api @param {Listeners} on */
  constructor(api, on) {
    this.api = api;
    this.on = on;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.want.live) this.#run();
    });
  }

  /** Show something else. @param {Want} want @returns {Promise<void>} when it is there, or has failed */
  show(want) {
    const same = want.names.join("\n") === this.want.names.join("\n") && want.points === this.want.points
      && JSON.stringify(want.range) === JSON.stringify(this.want.range);
    this.want = want;
    if (!same) this.grid = null;
    return this.#run();
  }

  /** Ask for everything again, now. */
  reload() {
    this.grid = null;
    return this.#run();
  }

  async #run() {
    clearTimeout(this.#timer);
    this.#running?.abort();
    const running = this.#running = new AbortController();
    try {
      if (this.want.names.length) await this.#fetch(running.signal);
      else if (this.failures) await this.api.status(); // nothing to draw yet: is it there again?
      if (running.signal.aborted) return;
      if (this.failures) this.on.back();
      this.failures = 0;
      this.#plan();
    } catch (error) {
      if (running.signal.aborted) return;
      if (error instanceof ServerAway) this.failed(error);
      else if (error instanceof Refused) this.on.refused(error.message);
      else throw error;
    }
  }

  /** The server could not be reached (told by others too): try again after a while. @param {ServerAway} error */
  failed(error) {
    this.failures++;
    const seconds = Math.min(LONGEST_BACKOFF, 2 ** Math.min(this.failures, 10));
    this.on.away(seconds, error.message);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#run(), seconds * 1000);
  }

  /** @param {AbortSignal} signal */
  async #fetch(signal) {
    const { names, range, points } = this.want;
    const step = this.grid?.interval ?? FINEST;
    let window = windowOf(range, this.api.now(), Math.min(step, FINEST));
    const tail = this.grid && "preset" in range ? await this.#fetchTail(this.grid, window, signal) : null;
    if (signal.aborted) return;
    if (tail) this.grid = tail;
    else {
      const whole = await this.api.series(names, window.from, window.to, points, signal);
      window = windowOf(range, this.api.now(), FINEST); // the first answer told us the server's clock
      this.fetched.whole++;
      this.grid = closedOnly(whole, this.api.now());
    }
    if (!signal.aborted) this.on.grid(/** @type {Grid} */ (this.grid), window);
  }

  /** @param {Grid} grid @param {{from: number, to: number}} window @param {AbortSignal} signal
   * @returns {Promise<Grid | null>} null: the pieces do not fit */
  async #fetchTail(grid, window, signal) {
    const { interval } = grid;
    const from = grid.start + Math.max(0, grid.points - OVERLAP) * interval;
    const points = Math.floor((window.to - from) / interval);
    if (from < window.from || grid.points < OVERLAP) return null;
    if (points < 1) return grid;
    const tail = await this.api.series(this.want.names, from, from + points * interval, points, signal);
    this.fetched.tail++;
    const joined = append(grid, tail, window.from);
    return joined && closedOnly(joined, this.api.now());
  }

  /** Wait for the next bucket's end. */
  #plan() {
    if (!this.want.live || !("preset" in this.want.range)) return;
    const period = Math.max(FINEST, this.grid?.interval ?? FINEST);
    const now = this.api.now();
    let wait = (Math.floor((now - SETTLE) / period) + 1) * period + SETTLE - now;
    if (wait < 1) wait += period;
    this.#timer = window.setTimeout(() => {
      if (!document.hidden) this.#run();
    }, wait * 1000);
  }
}
