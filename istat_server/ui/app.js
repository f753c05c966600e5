/**
 * The page: joins state, loader, tree, search, charts and panels. What is shown follows from the state, the
 * state from the URL; every wish of the reader becomes a new state.
 */

/** @import {Grid} from "./charts/grid.js" */
/** @import {State} from "./state.js" */
import { ServerPanel } from "./panels/agents.js";
import { Api, ServerAway } from "./api.js";
import { ChartCard, loadLibrary } from "./charts/chart.js";
import { byId } from "./dom.js";
import { firstSample } from "./charts/grid.js";
import { lastSeen } from "./charts/lastseen.js";
import { Loader } from "./charts/loader.js";
import { OverviewSource } from "./overview/source.js";
import { Connection } from "./panels/connection.js";
import { showHosts } from "./panels/hosts.js";
import { Meanings } from "./panels/meaning.js";
import { tellSpan } from "./panels/span.js";
import { RangeControl } from "./panels/range.js";
import { Search } from "./panels/search.js";
import { defaults, formatFragment, isLive, parseFragment, pointsFor, toggleCounter, zoomTo } from "./state.js";
import { StatusPanel } from "./panels/status.js";
import { Token } from "./token.js";
import { askToken } from "./panels/token.js";
import { Tree } from "./panels/tree.js";
import { tellCommands } from "./panels/welcome.js";

/** How often an empty page looks whether something has come [ms]. */
const EMPTY_PERIOD = 3000;
/** How often an overview looks for new counters [ms], once this long has passed since it opened or grew; until then
 * it looks as often as an empty page, for an agent that has just started sends its rates one reading later. */
const OVERVIEW_PERIOD = 60000;
/** Below this the side panel lies over the charts, as in style.css [px]. */
const NARROW = 820;
const dark = matchMedia("(prefers-color-scheme: dark)");

class App {
  /** @type {State} */
  state = parseFragment(location.hash);
  /** @type {string[][]} */
  charts = [];
  /** @type {Map<string, ChartCard>} */
  cards = new Map();
  selected = 0;
  points = 0;
  /** @type {"loading" | "data" | "empty" | "unknown host"} */
  found = "loading";
  #poll = 0;
  #grown = performance.now();

  constructor() {
    this.token = new Token(askToken);
    this.api = new Api(new URL("../api/v1/", import.meta.url), this.token);
    this.source = new OverviewSource(this.api);
    this.loader = new Loader(this.api, {
      grid: (grid, window) => this.#onGrid(grid, window),
      away: (seconds, why) => this.connection.lost(seconds, why),
      back: () => this.#back(),
      refused: (why) => this.connection.say(`The server refused: ${why}`),
    });
    this.connection = new Connection({ retry: () => this.#retry(), changed: () => { this.#controls(); this.#tellSpan(); } });
    /** @param {unknown} error */
    const failed = (error) => this.#failed(error);
    this.panel = new ServerPanel(this.api, { host: (name) => this.#showHost(name), status: tellCommands, error: failed });
    this.status = new StatusPanel(this.api, { error: failed });
    this.tree = new Tree(byId("tree"), (prefix, token) => this.api.children(prefix, token).catch((error) => { failed(error); throw error; }),
      (name) => this.pick(name));
    this.search = new Search(
      { input: byId("search"), list: byId("results"), note: byId("search-note"), all: byId("search-all") },
      (words, limit, signal) => this.api.search(words, limit, signal),
      {
        onPick: (name) => this.pick(name),
        onAll: (names) => this.change({ charts: [names, ...this.charts] }),
        onActive: (active) => { byId("search-pane").hidden = !active; byId("tree").hidden = active; },
        onError: failed,
      });
    this.meanings = new Meanings((name) => this.api.describe(name));
    this.range = new RangeControl({ now: () => this.api.now(), change: (range) => this.change({ range }) });
    this.#bind();
  }

  #bind() {
    addEventListener("popstate", () => { this.state = parseFragment(location.hash); this.render(); });
    dark.addEventListener("change", () => this.#theme());
    byId("live").addEventListener("click", () => this.#toggleLive());
    byId("theme").addEventListener("click", () => this.#toggleTheme());
    byId("into-new").addEventListener("click", () => this.change({ overlay: false }, false));
    byId("into-selected").addEventListener("click", () => this.change({ overlay: true }, false));
    byId("hosts").addEventListener("change", () => this.#showHost(byId("hosts").value));
    for (const id of ["overview", "no-charts-overview", "no-host-overview", "home"]) {
      byId(id).addEventListener("click", (/** @type {Event} */ event) => {
        event.preventDefault();
        this.change({ charts: null, host: "" });
      });
    }
    const narrow = innerWidth <= NARROW;
    this.#side(!narrow);
    byId("drawer-button").addEventListener("click", () => this.#side(document.body.dataset.side === "closed"));
    byId("shade").addEventListener("click", () => this.#side(false));
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("resize", () => this.#measure());
    new ResizeObserver(() => this.#measure()).observe(byId("charts"));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key === "/" && !target.closest("input, select, dialog") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.#side(true);
      byId("search").focus();
    } else if (event.key === "Escape" && innerWidth <= NARROW && !target.closest("dialog")) this.#side(false);
  }

  /** Show or hide the counters. @param {boolean} open */
  #side(open) {
    document.body.dataset.side = open ? "open" : "closed";
    byId("drawer-button").setAttribute("aria-expanded", String(open));
  }

  async start() {
    this.#theme();
    this.#controls();
    const library = await loadLibrary();
    byId("no-library").hidden = library;
    this.panel.poll();
    this.tree.load().then((count) => { byId("tree-empty").hidden = count > 0; }, () => {});
    await this.render();
  }

  /** A new view. @param {Partial<State>} patch @param {boolean} [step]  whether "back" should undo it */
  change(patch, step = true) {
    this.state = { ...this.state, ...patch };
    const url = location.pathname + location.search + formatFragment(this.state);
    if (step) history.pushState({ inside: true }, "", url);
    else history.replaceState(history.state, "", url);
    return this.render();
  }

  /** Bring the page in line with the state. */
  async render() {
    this.#theme();
    this.#controls();
    const state = this.state;
    if (state.charts === null && !state.host) this.source.host = "";
    if (state.charts !== null) [this.charts, this.found] = [state.charts, "data"];
    else {
      try {
        this.charts = await this.source.charts(state.host);
        this.found = this.source.unknown ? "unknown host" : this.charts.length ? "data" : "empty";
      } catch (error) {
        this.#failed(error);
        this.#ready();
        return;
      }
      if (this.state !== state) return;
    }
    this.#cards();
    this.#controls();
    this.#watchForMore();
    await this.#load();
    this.#ready();
  }

  #load() {
    const names = [...new Set(this.charts.flat())];
    this.#measure(false);
    return this.loader.show({ names, range: this.state.range, points: this.points, live: isLive(this.state) });
  }

  /** Points wanted for the widest chart; asks again when that has grown much. */
  #measure(reload = true) {
    const widths = [...this.cards.values()].map((card) => card.area.clientWidth);
    const points = pointsFor(Math.max(300, ...widths));
    if (Math.abs(points - this.points) < this.points * 0.25) return;
    const first = this.points === 0;
    this.points = points;
    if (reload && !first) this.#load();
  }

  /** Keep cards whose counters stay, make and remove the others. */
  #cards() {
    const before = this.cards;
    this.cards = new Map();
    this.charts.forEach((names, index) => {
      const key = names.join("\n");
      const card = before.get(key) ?? this.#card(names);
      before.delete(key);
      this.cards.set(key, card);
      card.mergeButton.hidden = index === 0;
      const place = byId("charts").children[index];
      if (place !== card.element) byId("charts").insertBefore(card.element, place ?? null);
    });
    for (const card of before.values()) card.destroy();
    this.#select(Math.min(this.selected, Math.max(0, this.charts.length - 1)));
    const shown = new Set(this.charts.flat());
    this.tree.mark(shown);
    this.search.mark(shown);
    if (this.loader.grid) this.#fillNew(this.loader.grid);
  }

  /** New cards with counters that are already loaded need not wait. @param {Grid} grid */
  #fillNew(grid) {
    const have = new Set(grid.series.map((one) => one.name));
    for (const card of this.cards.values()) {
      if (!card.grid && card.names.every((name) => have.has(name))) card.update(grid, this.window, this.#present());
    }
  }

  window = { from: 0, to: 1 };

  /** @param {string[]} names */
  #card(names) {
    const here = () => this.charts.findIndex((other) => other.join("\n") === names.join("\n"));
    /** @param {number} count @param {...string[]} put */
    const replace = (count, ...put) => {
      const charts = [...this.charts];
      charts.splice(here(), count, ...put);
      this.change({ charts });
    };
    return new ChartCard(names, {
      zoom: (from, to) => this.change({ range: zoomTo(from, to) }),
      back: () => this.#zoomBack(),
      close: () => replace(1),
      split: () => replace(1, ...names.map((name) => [name])),
      drop: (name) => replace(1, names.filter((other) => other !== name)),
      merge: () => {
        const at = here();
        const charts = [...this.charts];
        charts.splice(at - 1, 2, [...new Set([...charts[at - 1], ...names])]);
        this.change({ charts });
      },
      select: () => this.#select(here()),
      lastSeen: () => lastSeen(this.api, names, this.api.now()),
    });
  }

  /** @param {number} index */
  #select(index) {
    this.selected = index;
    [...this.cards.values()].forEach((card, at) => {
      if (at === index) card.element.dataset.selected = "1";
      else delete card.element.dataset.selected;
    });
  }

  /** Show a counter, or hide it. @param {string} name */
  pick(name) {
    const charts = toggleCounter(this.charts, name, this.state.overlay ? this.selected : -1);
    const added = charts.flat().length > this.charts.flat().length;
    byId("said").textContent = `${added ? "Added" : "Removed"} ${name}`;
    if (added && innerWidth <= NARROW) this.#side(false);
    if (added && !this.state.overlay) scrollTo({ top: 0 });
    this.change({ charts });
  }

  #zoomBack() {
    if (history.state?.inside && !("preset" in this.state.range)) history.back();
    else if (!("preset" in this.state.range)) this.change({ range: defaults().range });
  }

  /** @param {Grid} grid @param {{from: number, to: number}} window */
  #onGrid(grid, window) {
    if (this.#tooWide(grid, window)) return;
    this.window = window;
    for (const card of this.cards.values()) card.update(grid, window, this.#present());
    this.#tellSpan();
  }

  #tellSpan() {
    if (this.loader.grid) tellSpan(this.loader.grid, this.window, this.connection.away ? null : this.#present());
  }

  /** The time, where what is shown is of the present [s]. */
  #present() {
    return isLive(this.state) ? this.api.now() : null;
  }

  /** A store that was started minutes ago would be a sliver in an hour: begin with the finest range then.
   * Only when the URL names no range. @param {Grid} grid @param {{from: number, to: number}} window */
  #tooWide(grid, window) {
    if (/[#&]r=/.test(location.hash) || document.body.dataset.ready) return false;
    const first = firstSample(grid);
    if (first === null || window.to - first > 840) return false;
    this.change({ range: { preset: "15m" } }, false);
    return true;
  }

  /** While there is nothing to show, or an overview that may grow, look again now and then. */
  #watchForMore() {
    clearTimeout(this.#poll);
    if (this.state.charts !== null) return;
    const young = performance.now() - this.#grown < OVERVIEW_PERIOD;
    const period = this.found === "empty" || young ? EMPTY_PERIOD : OVERVIEW_PERIOD;
    this.#poll = window.setTimeout(async () => {
      if (document.hidden) return this.#watchForMore();
      const before = JSON.stringify(this.charts);
      const charts = await this.source.charts(this.state.host).catch(() => this.charts);
      if (this.state.charts === null && JSON.stringify(charts) !== before) {
        this.#grown = performance.now();
        this.tree.load().then((count) => { byId("tree-empty").hidden = count > 0; }, () => {});
        this.render();
      } else this.#watchForMore();
    }, period);
  }

  #controls() {
    const { state } = this;
    const overview = state.charts === null;
    const host = this.source.host;
    byId("title").textContent = !overview ? (this.charts.length === 1 ? "1 chart" : `${this.charts.length} charts`)
      : host || (this.found === "empty" ? "Welcome" : "Overview");
    document.title = (overview ? host || "" : this.charts.flat().slice(0, 2).join(", ")) + (host || !overview ? " · istatd" : "istatd");
    byId("overview").hidden = overview;
    const unknown = overview && this.found === "unknown host";
    showHosts(this.source, overview, unknown);
    byId("no-charts").hidden = overview || this.charts.length > 0;
    byId("no-data").hidden = this.found !== "empty" || !overview;
    byId("no-host").hidden = !unknown;
    byId("no-host-name").textContent = `.host.${host}`;
    byId("span").hidden = !this.charts.length;
    this.connection.show(isLive(state));
    byId("into-new").setAttribute("aria-checked", String(!state.overlay));
    byId("into-selected").setAttribute("aria-checked", String(state.overlay));
    document.body.dataset.overlay = state.overlay ? "1" : "0";
    this.range.show(state.range);
  }

  #toggleLive() {
    if (isLive(this.state)) this.change({ live: false }, false);
    else this.change({ live: true, range: "preset" in this.state.range ? this.state.range : defaults().range });
  }

  #toggleTheme() {
    const now = document.documentElement.dataset.theme;
    const wanted = now === "dark" ? "light" : "dark";
    const system = dark.matches ? "dark" : "light";
    this.change({ theme: wanted === system ? "auto" : wanted }, false);
  }

  #theme() {
    const theme = this.state.theme === "auto" ? (dark.matches ? "dark" : "light") : this.state.theme;
    byId("theme").title = `Switch to ${theme === "dark" ? "light" : "dark"}`;
    byId("theme").setAttribute("aria-label", byId("theme").title);
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    for (const card of this.cards.values()) card.recolour();
  }

  /** The overview of a host, or of the host that an agent runs on. @param {string} name */
  #showHost(name) {
    this.change({ charts: null, host: name });
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof ServerAway) {
      if (!this.loader.failures) this.loader.failed(error);
    } else this.connection.say(error instanceof Error ? error.message : String(error));
  }

  /** The server answers again. */
  #back() {
    this.connection.back();
    if (this.found === "loading") this.render();
    this.panel.poll();
    if (!byId("tree").children.length) this.tree.load().then((count) => { byId("tree-empty").hidden = count > 0; }, () => {});
  }

  #retry() {
    if (this.token.declined) {
      this.token.declined = false;
      this.start();
    } else this.loader.reload();
  }

  /** The tests' sign that the first view is painted. */
  #ready() {
    requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.ready = "1"; }));
  }
}

const app = new App();
/** For tests and for the curious: the running page. */
Object.assign(globalThis, { __istat: app });
app.start();
