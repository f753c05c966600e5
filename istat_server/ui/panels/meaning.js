/**
 * What a counter is, as its sender declares it: shown beside its name while the pointer is there or it has the focus.
 * What is declared was written by strangers: text is text, and a link leads to http or https only.
 */

/** @import {Meaning} from "../api.js" */
import { el } from "../dom.js";

/** The pointer rests so long before anything is shown, and may be away so long, as on its way to the link [ms]. */
const REST = 350;
const LEAVE = 250;
/** What is declared may change: asked again after this time [ms]. */
const FRESH = 60000;
/** Counters that are remembered. */
const MOST = 2000;
/** Between the name and the box, and from the window's edge [px]. */
const GAP = 6;
/** Schemes that a link may have; URL would take others too. */
const LINK = /^https?:\/\//;

/** A link, if it is one to follow. @param {string} text @returns {URL | null} */
export function linkOf(text) {
  if (!LINK.test(text)) return null;
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** Kind and unit in words. @param {Meaning} meaning */
export function unitText({ kind, unit }) {
  const word = kind === "event" ? "events" : "gauge";
  if (!unit) return kind === "event" ? "events, per second" : "gauge";
  return kind === "event" ? `events: ${unit}, per second` : `${word}, ${unit}`;
}

/** Where the box goes: below its name if there is room, else above, or beside it, where other names are below; never
 * beyond the window's edges.
 * @param {{left: number, top: number, bottom: number, right: number}} at @param {{width: number, height: number}} box
 * @param {{width: number, height: number}} window @param {boolean} beside */
export function placeOf(at, box, window, beside = false) {
  if (beside && at.right + GAP + box.width + GAP <= window.width) {
    return { left: at.right + GAP, top: Math.max(GAP, Math.min(at.top, window.height - box.height - GAP)) };
  }
  const below = at.bottom + GAP;
  const fits = below + box.height + GAP <= window.height;
  return {
    left: Math.max(GAP, Math.min(at.left, window.width - box.width - GAP)),
    top: fits ? below : Math.max(GAP, at.top - box.height - GAP),
  };
}

export class Meanings {
  /** @type {Map<string, {at: number, told: Promise<Meaning | null>}>} */
  #known = new Map();
  /** @type {HTMLElement | null} */
  #of = null;
  #timer = 0;

  /** @param {(name: string) => Promise<Meaning | null>} ask  may reject @param {HTMLElement} root */
  constructor(ask, root = document.body) {
    this.ask = ask;
    this.box = el("div", { class: "meaning", id: "meaning", role: "tooltip", hidden: true });
    root.append(this.box);
    root.addEventListener("pointerover", (event) => this.#over(event, REST));
    root.addEventListener("focusin", (event) => this.#over(event, 0));
    root.addEventListener("focusout", (event) => { if (!this.#isInside(/** @type {Node | null} */ (event.relatedTarget))) this.#later(() => this.hide(), LEAVE); });
    root.addEventListener("keydown", (event) => { if (event.key === "Escape") this.hide(); }, true);
    root.addEventListener("pointerdown", (event) => { if (!this.box.contains(/** @type {Node} */ (event.target))) this.hide(); }, true);
    addEventListener("scroll", (event) => { if (event.target !== this.box) this.hide(); }, true);
  }

  hide() {
    clearTimeout(this.#timer);
    this.box.hidden = true;
    this.#of?.removeAttribute("aria-describedby");
    this.#of = null;
  }

  /** @param {Node | null} node */
  #isInside(node) {
    return node !== null && (this.box.contains(node) || Boolean(this.#of?.contains(node)));
  }

  /** @param {() => void} act @param {number} wait */
  #later(act, wait) {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(act, wait);
  }

  /** @param {Event} event @param {number} wait */
  #over(event, wait) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (this.box.contains(target)) {
      clearTimeout(this.#timer);
      return;
    }
    const item = /** @type {HTMLElement | null} */ (target.closest("[data-name]"));
    const name = item && item.dataset.kind !== "" ? item.dataset.name : "";
    if (!item || !name) {
      if (!this.box.hidden) this.#later(() => this.hide(), LEAVE);
      else clearTimeout(this.#timer);
    } else if (item === this.#of) clearTimeout(this.#timer);
    else this.#later(() => this.#show(item, name), wait);
  }

  /** @param {HTMLElement} item @param {string} name */
  async #show(item, name) {
    this.hide();
    this.#of = item;
    const told = await this.#told(name);
    if (this.#of !== item) return;
    if (!told || !told.metric || !item.isConnected) {
      this.#of = null;
      return;
    }
    this.box.replaceChildren(...this.#lines(told));
    this.#quiet(item);
    item.setAttribute("aria-describedby", "meaning");
    this.box.hidden = false;
    const row = item.querySelector(":scope > .tree-row") ?? item;
    const { left, top } = placeOf(row.getBoundingClientRect(), this.box.getBoundingClientRect(), { width: innerWidth, height: innerHeight },
      item.closest(".side") !== null);
    this.box.style.left = `${left}px`;
    this.box.style.top = `${top}px`;
  }

  /** The browser's own tooltip would lie over ours. What it says is in ours. @param {HTMLElement} item */
  #quiet(item) {
    for (const node of [item, ...item.querySelectorAll(":scope > button, .legend-toggle")]) {
      const title = node.getAttribute("title");
      if (title === null || title.includes("last sample")) continue;
      node.removeAttribute("title");
    }
  }

  /** @param {Meaning} told */
  #lines(told) {
    const link = linkOf(told.link);
    return [
      el("p", { class: "meaning-name mono" }, told.name),
      told.help ? el("p", { class: "meaning-help" }, told.help) : null,
      el("p", { class: "meaning-unit" }, unitText(told)),
      link ? el("a", { href: link.href, target: "_blank", rel: "noopener noreferrer", title: link.href }, `More at ${link.host}`) : null,
    ].filter((line) => line !== null);
  }

  /** @param {string} name @returns {Promise<Meaning | null>} */
  #told(name) {
    const known = this.#known.get(name);
    if (known && performance.now() - known.at < FRESH) return known.told;
    if (this.#known.size >= MOST) this.#known.clear();
    const told = this.ask(name).catch(() => {
      this.#known.delete(name);         // an older server, or one that is away: the page says so elsewhere
      return null;
    });
    this.#known.set(name, { at: performance.now(), told });
    return told;
  }
}
