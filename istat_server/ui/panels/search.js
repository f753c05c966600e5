/** The search box: asks the server while one types and lists what it finds; arrows move, Enter picks. */

/** @import {Name} from "../api.js" */
import { el } from "../dom.js";

/** Wait after the last key before asking [ms]. */
const DEBOUNCE = 150;
/** Names asked for. */
const LIMIT = 100;

/** Split a name into text and <mark> for the words searched for. @param {string} name @param {string[]} words */
function highlighted(name, words) {
  const marks = new Array(name.length).fill(false);
  for (const word of words) {
    for (let at = name.indexOf(word); at >= 0; at = name.indexOf(word, at + 1)) marks.fill(true, at, at + word.length);
  }
  const out = el("span", { class: "result-name" });
  for (let at = 0; at < name.length;) {
    let end = at;
    while (end < name.length && marks[end] === marks[at]) end++;
    const piece = name.slice(at, end);
    out.append(marks[at] ? el("mark", {}, piece) : piece);
    at = end;
  }
  return out;
}

export class Search {
  /** @type {AbortController | null} */
  #running = null;
  #timer = 0;
  /** @type {Set<string>} */
  #shown = new Set();
  /** @type {string[]} */
  found = [];

  /**
   * @param {{input: HTMLInputElement, list: HTMLElement, note: HTMLElement, all: HTMLButtonElement}} parts
   * @param {(words: string, limit: number, signal: AbortSignal) => Promise<{names: Name[], truncated: boolean}>} find
   * @param {{onPick: (name: string) => void, onAll: (names: string[]) => void, onActive: (active: boolean) => void,
   *   onError: (error: unknown) => void}} on
   */
  constructor(parts, find, on) {
    this.parts = parts;
    this.find = find;
    this.on = on;
    parts.input.addEventListener("input", () => this.#typed());
    parts.input.addEventListener("keydown", (event) => this.#inputKey(event));
    parts.list.addEventListener("keydown", (event) => this.#listKey(event));
    parts.list.addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("button");
      if (row?.dataset.name) on.onPick(row.dataset.name);
    });
    parts.all.addEventListener("click", () => on.onAll(this.found));
  }

  /** Mark the counters that are in charts. @param {Set<string>} names */
  mark(names) {
    this.#shown = names;
    for (const row of this.#rows()) row.setAttribute("aria-pressed", String(names.has(row.dataset.name ?? "")));
  }

  clear() {
    this.parts.input.value = "";
    this.#typed();
  }

  #rows() {
    return [...this.parts.list.querySelectorAll("button")];
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#running?.abort();
    const words = this.parts.input.value.trim().toLowerCase();
    this.on.onActive(words !== "");
    if (words) this.#timer = window.setTimeout(() => this.#ask(words), DEBOUNCE);
    else this.#show([], [], "");
  }

  /** @param {string} words */
  async #ask(words) {
    const running = this.#running = new AbortController();
    try {
      const { names, truncated } = await this.find(words, LIMIT, running.signal);
      if (running.signal.aborted) return;
      const count = names.length === 1 ? "1 counter" : `${names.length} counters`;
      const note = !names.length ? "No counter has all these words in its name."
        : truncated ? `The first ${names.length}; type more to narrow it down.` : count;
      this.#show(names, words.split(/\s+/), note);
    } catch (error) {
      if (running.signal.aborted) return;
      this.#show([], [], "");
      this.on.onError(error);
    }
  }

  /** @param {Name[]} names @param {string[]} words @param {string} note */
  #show(names, words, note) {
    this.found = names.map(({ name }) => name);
    this.parts.list.replaceChildren(...names.map(({ name, kind }) => el("li", {},
      el("button", { type: "button", class: "result", "data-name": name, "aria-pressed": this.#shown.has(name), title: name },
        highlighted(name, words), el("span", { class: `kind kind-${kind}`, title: kind })))));
    this.parts.note.textContent = note;
    this.parts.all.hidden = names.length < 2 || names.length > 20;
    this.parts.all.textContent = `Chart all ${names.length} together`;
  }

  /** @param {KeyboardEvent} event */
  #inputKey(event) {
    if (event.key === "Escape") this.clear();
    else if (event.key === "ArrowDown") this.#rows()[0]?.focus();
    else if (event.key === "Enter" && this.found.length) this.on.onPick(this.found[0]);
    else return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  #listKey(event) {
    const rows = this.#rows();
    const at = rows.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? rows[at - 1] : this.parts.input).focus();
    else if (event.key === "Escape") {
      this.clear();
      this.parts.input.focus();
    } else return;
    event.preventDefault();
  }
}
