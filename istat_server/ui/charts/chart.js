/**
 * One card: heading, plot (min-max band behind the average line) and legend. Knows uPlot and the page's
 * colours; asks nobody for data, and tells its owner what the reader wants.
 */

/** @import {Grid, Series} from "./grid.js" */
/** @import {Scale} from "./scales.js" */
import { el, iconButton } from "../dom.js";
import {
  TIME_STEPS, axisSteps, formatAge, formatDateTime, formatTime, formatValue, shortLabels, timeLabels, titleOf, unitOf,
} from "../format.js";
import { bridged, isolated, lastSample, nearest, silence, summary, times, usualStep } from "./grid.js";
import { axisWidth, factorFor, marks, scalesFor, valueLabels, valueRange, withAxis } from "./scales.js";

const VENDOR = "../vendor/uPlot.esm.js";
const HEIGHT = 200; // of the plot with its axes [px]
const COLOURS = 8; // --series-1 ... of style.css
/** A drag shorter than this is a click [px]. */
const SHORTEST_DRAG = 5;
/** Series per counter in the plot: average, maximum, minimum (the order that a band wants). */
const PER_COUNTER = 3;

/** @typedef {import("uplot")} Plot */
/**
 * @typedef {{
 *   zoom: (from: number, to: number) => void, back: () => void, close: () => void, select: () => void,
 *   split: () => void, merge: () => void, drop: (name: string) => void, lastSeen: () => Promise<number | null>,
 * }} Wishes
 */

/** @type {any} */
let uPlot = null;

/** Fetch the chart library. @returns {Promise<boolean>} false when it was not part of the build */
export async function loadLibrary() {
  try {
    uPlot = (await import(VENDOR)).default;
    return true;
  } catch {
    return false;
  }
}

/** The value of a colour variable as the browser resolves it, with an opacity. @param {string} name @param {number} alpha */
function colour(name, alpha = 1) {
  const probe = el("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g) ?? ["0", "0", "0"];
  probe.remove();
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

export class ChartCard {
  /** @type {Plot | null} */
  plot = null;
  /** @type {Grid | null} */
  grid = null;
  window = { from: 0, to: 1 };
  /** The value scales, and which of them each counter has. @type {{scales: Scale[], of: Scale[]}} */
  #scales;
  /** @type {Set<string>} */
  #hidden = new Set();
  /** @type {Record<string, HTMLElement[]>} */
  #cells = {};
  /** @type {Record<string, HTMLElement>} */
  #rows = {};
  /** When the last sample came, where none is in view: for which range it was asked, and in words. */
  #last = { asked: "", text: "" };
  /** Usual distance of samples, by counter [buckets].
   * @type {Record<string, number>} */
  #steps = {};

  /** @param {string[]} names @param {Wishes} wishes */
  constructor(names, wishes) {
    this.names = names;
    this.wishes = wishes;
    this.#scales = scalesFor(names.map((name) => unitOf(name, "gauge")));
    this.labels = shortLabels(names);
    const { title, detail } = titleOf(names);
    this.title = title + (detail ? ` ${detail}` : "");
    this.area = el("div", {
      class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": this.title,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      ontouchmove: (/** @type {TouchEvent} */ event) => this.#touch(event),
    });
    this.note = el("p", { class: "plot-note" }, "Loading …");
    this.age = el("span", { class: "age", hidden: true });
    this.when = el("th", { scope: "col" });
    this.valueHead = el("th", { scope: "col" }, "last");
    this.body = el("tbody", {}, ...this.names.map((name, index) => this.#legendRow(name, index)));
    const several = this.names.length > 1;
    this.mergeButton = iconButton("layers", `Lay ${this.title} over the chart before it`, this.wishes.merge);
    this.element = el("article", { class: "card", "aria-label": this.title, "data-state": "loading" },
      el("header", { onclick: this.wishes.select },
        el("h2", { title: this.names.join("\n") }, title, detail ? el("small", {}, detail) : null),
        this.age,
        el("div", { class: "card-tools" },
          several ? iconButton("split", `Split ${this.title} into single charts`, this.wishes.split) : null,
          this.mergeButton, iconButton("close", `Close ${this.title}`, this.wishes.close))),
      el("div", { class: "plot-box" }, this.area, this.note),
      el("table", { class: "legend" },
        el("thead", {}, el("tr", {}, this.when, this.valueHead, el("th", { scope: "col" }, "min"), el("th", { scope: "col" }, "max"))),
        this.body));
    this.resizer = new ResizeObserver(() => this.#resize());
    this.resizer.observe(this.area);
  }

  /** @param {string} name @param {number} index */
  #legendRow(name, index) {
    const label = this.labels[index];
    const cells = [el("td"), el("td"), el("td")];
    this.#cells[name] = cells;
    const several = this.names.length > 1;
    return this.#rows[name] = el("tr", { "data-name": name },
      el("th", { scope: "row" }, el("div", { class: "legend-name" },
        el("button", {
          type: "button", class: `legend-toggle series-${(index % COLOURS) + 1}`, "aria-pressed": "true",
          title: several ? `${name}\nClick to hide or show` : name,
          onclick: (/** @type {Event} */ event) => this.#toggle(name, /** @type {HTMLElement} */ (event.currentTarget)),
        }, el("span", { class: "swatch", "aria-hidden": "true" }), el("span", { class: "legend-label" }, label)),
        several ? iconButton("close", `Remove ${name}`, () => this.wishes.drop(name)) : null)),
      ...cells);
  }

  /** Show new data. What cannot be drawn is said in this card, and is no matter of the others.
   * @param {Grid} whole  may hold other charts' counters too @param {{from: number, to: number}} window
   * @param {number | null} now  the clock, where the window's end is the present [s] */
  update(whole, window, now) {
    try {
      this.#update(whole, window, now);
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {Grid} whole @param {{from: number, to: number}} window @param {number | null} now */
  #update(whole, window, now) {
    const byName = new Map(whole.series.map((one) => [one.name, one]));
    const series = this.names.map((name) => byName.get(name) ?? this.#nothing(name, whole.points));
    const kinds = this.grid?.series.map((one) => one.kind).join();
    this.grid = { ...whole, series, missing: whole.missing.filter((name) => this.names.includes(name)) };
    this.window = window;
    this.#say(series, now);
    this.#tellAge(series, now);
    if (this.plot && kinds !== series.map((one) => one.kind).join()) this.#destroyPlot();
    if (!this.plot) this.#scales = scalesFor(series.map((one) => unitOf(one.name, one.kind)));
    const { plot } = this;
    if (plot) plot.batch(() => plot.setData(this.#columns(), true)); // a batch draws now, so that an error is ours
    else this.#draw();
    this.#legend();
  }

  /** This chart cannot be drawn. @param {unknown} error */
  fail(error) {
    this.element.dataset.state = "failed";
    this.note.textContent = `This chart cannot be drawn: ${error instanceof Error ? error.message : error}`;
    try {
      this.#destroyPlot();
    } catch {
      this.plot = null;       // a half-made plot that cannot even be taken away
    }
    this.area.replaceChildren();
  }

  /** How long nothing has come, where that is longer than usual. @param {Series[]} series @param {number | null} now */
  #tellAge(series, now) {
    const grid = /** @type {Grid} */ (this.grid);
    let newest = null;
    for (const one of series) {
      const row = this.#rows[one.name];
      const age = now === null ? null : silence(grid, one, now);
      row.classList.toggle("stale", age !== null);
      if (age !== null) row.title = `last sample ${formatAge(age)}`;
      else row.removeAttribute("title");
      const last = lastSample(grid, one);
      if (last !== null && (newest === null || last > newest.last)) newest = { last, age };
    }
    this.age.hidden = !newest || newest.age === null;
    this.age.textContent = newest && newest.age !== null ? `last sample ${formatAge(newest.age)}` : "";
  }

  /** A counter that the server does not know. @param {string} name @param {number} points @returns {Series} */
  #nothing(name, points) {
    const none = new Array(points).fill(null);
    return { name, kind: "gauge", avg: none, min: none, max: none };
  }

  /** What stands in the plot's place, if anything. @param {Series[]} series @param {number | null} now */
  #say(series, now) {
    const missing = this.grid?.missing.length ?? 0;
    const empty = series.every((one) => one.avg.every((value) => value === null));
    const [state, text] = missing === this.names.length
      ? ["missing", missing === 1 ? "The server has no counter of this name." : "The server has none of these counters."]
      : empty ? ["empty", `No samples in this time range.${this.#last.text}`] : ["data", ""];
    this.element.dataset.state = state;
    this.note.textContent = text;
    if (state === "empty") this.#sayLast(now);
    else this.#last = { asked: "", text: "" };
  }

  /** When the last sample came, asked once for a range. @param {number | null} now */
  async #sayLast(now) {
    const { from, to } = this.window;
    const asked = now === null ? `${from}-${to}` : `${to - from}`;
    if (this.#last.asked === asked) return;
    this.#last = { asked, text: "" };
    const last = await this.wishes.lastSeen().catch(() => null);
    if (this.#last.asked !== asked || last === null) return;
    this.#last.text = ` The last one is of ${formatDateTime(last)}.`;
    this.note.textContent = `No samples in this time range.${this.#last.text}`;
  }

  /** Times, then average, maximum and minimum of each counter, as they are drawn. */
  #columns() {
    const grid = /** @type {Grid} */ (this.grid);
    for (const scale of this.#scales.scales) {
      const its = grid.series.filter((_, index) => this.#scales.of[index] === scale);
      scale.factor = factorFor(its.flatMap(({ avg, min, max }) => [avg, min, max]));
    }
    /** @type {any[]} */
    const columns = [times(grid)];
    grid.series.forEach((one, index) => {
      const step = this.#steps[one.name] = usualStep(one.avg);
      const { factor } = this.#scales.of[index];
      for (const values of [one.avg, one.max, one.min]) {
        const drawn = factor === 1 ? values : values.map((value) => (value === null ? null : value * factor));
        columns.push(bridged(drawn, step));
      }
    });
    return columns;
  }

  #draw() {
    if (!uPlot || !this.area.clientWidth) return;
    this.plot = new uPlot(this.#options(), this.#columns(), this.area);
    this.#applyHidden(); // in a batch, as above
  }

  /** @returns {any} */
  #options() {
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: colour("dim"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.area.clientWidth, height: HEIGHT, legend: { show: false }, padding: [10, 18, 0, 0],
      scales: {
        x: { time: true, range: () => [this.window.from, this.window.to] },
        ...Object.fromEntries(this.#scales.scales.map(({ key, unit }) => [key, {
          range: (/** @type {Plot} */ _, /** @type {number} */ low, /** @type {number} */ high) => valueRange(low, high, unit),
        }])),
      },
      axes: [
        { ...axis, size: 38, space: 72, incrs: TIME_STEPS, gap: 6, lineGap: 1.3,
          values: (/** @type {Plot} */ _, /** @type {number[]} */ at, /** @type {number} */ __, /** @type {number} */ ___, /** @type {number} */ step) => timeLabels(at, step) },
        ...(withAxis(this.#scales.scales).length ? [] : [{ ...axis, grid: { show: false }, size: 30, values: () => [] }]),
        ...withAxis(this.#scales.scales).map((scale, index) => ({
          ...axis, ...(index ? { side: 1, grid: { show: false } } : {}), scale: scale.key, space: 34, incrs: axisSteps(scale.unit),
          size: (/** @type {Plot} */ _, /** @type {string[] | null} */ labels) => axisWidth(labels ?? []),
          splits: (/** @type {Plot} */ _, /** @type {number} */ __, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ step) => marks(low, high, step),
          values: (/** @type {Plot} */ _, /** @type {number[]} */ at) => valueLabels(at, scale),
        })),
      ],
      series: [{}, ...this.names.flatMap((_, index) => this.#seriesOptions(index))],
      bands: this.names.map((_, index) => ({
        series: [index * PER_COUNTER + 2, index * PER_COUNTER + 3],
        fill: colour(`series-${(index % COLOURS) + 1}`, this.names.length > 2 ? 0.14 : 0.22),
      })),
      cursor: {
        drag: { x: true, y: false, setScale: false },
        sync: { key: "istat", setSeries: false, filters: { pub: (/** @type {string} */ type) => type !== "mousedown" && type !== "mouseup" } },
        // Only the average gets a point: the band's edges are drawn as series, but are none to the reader.
        points: { size: (/** @type {Plot} */ _, /** @type {number} */ at) => (at % PER_COUNTER === 1 ? 7 : 0), width: 0 },
        bind: { dblclick: () => () => { this.wishes.back(); return null; } },
      },
      hooks: {
        setCursor: [() => this.#legend()],
        setSelect: [(/** @type {Plot} */ plot) => this.#selected(plot)],
      },
    };
  }

  /** @param {number} index */
  #seriesOptions(index) {
    const stroke = colour(`series-${(index % COLOURS) + 1}`);
    const scale = this.#scales.of[index].key;
    const edge = { scale, width: 0, points: { show: false }, pxAlign: 0 };
    return [
      { scale, label: this.labels[index], stroke, width: 1.5, pxAlign: 0,
        points: { size: 4, fill: stroke, width: 0, show: () => false,
          filter: (/** @type {Plot} */ plot, /** @type {number} */ at) => isolated(/** @type {any} */ (plot.data[at])) } },
      edge, edge,
    ];
  }

  /** @param {Plot} plot */
  #selected(plot) {
    const { left, width } = plot.select;
    if (width < SHORTEST_DRAG) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.wishes.zoom(from, to);
  }

  /** Values at the cursor, or those of the whole range. */
  #legend() {
    if (!this.grid) return;
    const at = this.plot?.cursor.idx ?? null;
    const inside = at !== null && at < this.grid.points && (this.plot?.cursor.left ?? -1) >= 0;
    const time = this.grid.start + (at ?? 0) * this.grid.interval;
    const withinDay = this.window.to - this.window.from <= 86400;
    this.when.textContent = !inside ? "" : withinDay ? formatTime(time) : formatDateTime(time);
    this.valueHead.textContent = inside ? "avg" : "last";
    for (const one of this.grid.series) {
      const near = inside ? nearest(one.avg, at, this.#steps[one.name] - 1) : 0;
      const { last, min, max } = inside ? { last: one.avg[near], min: one.min[near], max: one.max[near] } : summary(one);
      const unit = unitOf(one.name, one.kind);
      [last, min, max].forEach((value, column) => {
        this.#cells[one.name][column].textContent = value === null || value === undefined ? "–" : formatValue(value, unit);
      });
    }
  }

  /** @param {string} name @param {HTMLElement} button */
  #toggle(name, button) {
    if (this.names.length < 2) return;
    if (!this.#hidden.delete(name)) this.#hidden.add(name);
    button.setAttribute("aria-pressed", String(!this.#hidden.has(name)));
    this.#applyHidden();
  }

  #applyHidden() {
    const plot = this.plot;
    if (!plot) return;
    plot.batch(() => this.names.forEach((name, index) => {
      for (let k = 1; k <= PER_COUNTER; k++) {
        const show = !this.#hidden.has(name);
        if (plot.series[index * PER_COUNTER + k].show !== show) plot.setSeries(index * PER_COUNTER + k, { show });
      }
    }));
  }

  /** Arrows move the cursor, Escape takes it away, Backspace goes back. @param {KeyboardEvent} event */
  #key(event) {
    if (!this.plot || !this.grid) return;
    const step = event.shiftKey ? 10 : 1;
    const by = event.key === "ArrowRight" ? step : event.key === "ArrowLeft" ? -step : 0;
    if (by) {
      const at = this.plot.cursor.idx ?? this.grid.points - 1;
      const index = Math.max(0, Math.min(this.grid.points - 1, at + by));
      const left = this.plot.valToPos(this.grid.start + index * this.grid.interval, "x");
      this.plot.setCursor({ left, top: this.plot.over.clientHeight / 2 }, true);
    } else if (event.key === "Escape") this.plot.setCursor({ left: -10, top: -10 }, true);
    else if (event.key === "Backspace") this.wishes.back();
    else return;
    event.preventDefault();
  }

  /** A finger moved sideways reads values; up and down still scrolls the page (style.css: touch-action).
   * @param {TouchEvent} event */
  #touch(event) {
    if (!this.plot || event.touches.length !== 1) return;
    const box = this.plot.over.getBoundingClientRect();
    this.plot.setCursor({ left: event.touches[0].clientX - box.left, top: event.touches[0].clientY - box.top }, true);
  }

  #resize() {
    const width = this.area.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
    else if (!this.plot && this.grid && this.element.dataset.state !== "failed") this.#draw();
  }

  #destroyPlot() {
    this.plot?.destroy();
    this.plot = null;
  }

  /** Draw anew, in the colours of the theme that is now in force. */
  recolour() {
    if (!this.plot) return;
    this.#destroyPlot();
    this.#draw();
  }

  destroy() {
    this.resizer.disconnect();
    this.#destroyPlot();
    this.element.remove();
  }
}
