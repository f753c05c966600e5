/**
 * The tree over counter names: a branch is fetched when it is first opened. Follows the ARIA tree pattern:
 * one stop for Tab, arrows move, right and left open and close, Enter or Space picks.
 */

/** @import {Below, Child} from "../api.js" */
import { el, icon } from "../dom.js";

/** Children drawn at once; the rest is drawn, and fetched, on request, because a host list may hold thousands. */
const PAGE = 200;
/** A chain of only children is opened this far in one go. */
const CHAIN = 8;

export class Tree {
  /** @type {Set<string>} */
  #shown = new Set();

  /**
   * @param {HTMLElement} root  an element with role=tree
   * @param {(prefix: string, token?: string) => Promise<Below>} fetchChildren  may reject
   * @param {(name: string) => void} onPick
   */
  constructor(root, fetchChildren, onPick) {
    this.root = root;
    this.fetchChildren = fetchChildren;
    this.onPick = onPick;
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("click", (event) => this.#click(event));
  }

  /** (Re)load the first level. @returns {Promise<number>} how many entries came */
  async load() {
    const roots = await this.fetchChildren("");
    const open = new Set([...this.root.querySelectorAll('[aria-expanded="true"]')].map((item) => this.#nameOf(item)));
    this.root.replaceChildren();
    this.#fill(this.root, roots, 1, 0);
    this.#firstStop();
    for (const item of this.#items()) if (open.has(this.#nameOf(item))) await this.#open(item, 0);
    return roots.children.length;
  }

  /** Mark the counters that are in charts. @param {Set<string>} names */
  mark(names) {
    this.#shown = names;
    for (const item of this.#items()) this.#markItem(item);
  }

  /** @returns {HTMLElement[]} */
  #items(within = this.root) {
    return [...within.querySelectorAll('[role="treeitem"]')].map((item) => /** @type {HTMLElement} */ (item));
  }

  /** @param {Element} item */
  #nameOf(item) {
    return /** @type {HTMLElement} */ (item).dataset.name ?? "";
  }

  /** @param {HTMLElement} item */
  #markItem(item) {
    if (item.dataset.kind) item.setAttribute("aria-selected", String(this.#shown.has(this.#nameOf(item))));
  }

  #firstStop() {
    const items = this.#items();
    if (items.length && !items.some((item) => item.tabIndex === 0)) items[0].tabIndex = 0;
  }

  /** @param {HTMLElement} list @param {Below} below @param {number} level @param {number} from */
  #fill(list, below, level, from) {
    for (const child of below.children.slice(from, from + PAGE)) list.append(this.#item(child, level));
    const left = Math.max(0, below.children.length - from - PAGE);
    if (!left && !below.token) return;
    const more = el("li", { role: "none", class: "tree-more" },
      el("button", { type: "button", onclick: async () => {
        if (left < PAGE && below.token && !(await this.#fetchMore(below))) return;
        more.remove();
        this.#fill(list, below, level, from + PAGE);
      } }, below.token ? "Show more" : `Show ${Math.min(left, PAGE)} more of ${left}`));
    list.append(more);
  }

  /** Fetch what follows. @param {Below} below @returns {Promise<boolean>} whether it came; else the page's banner says why */
  async #fetchMore(below) {
    const { token } = below;
    try {
      const next = await this.fetchChildren(below.prefix, token);
      if (below.token !== token) return false;      // pressed twice
      below.children.push(...next.children);
      below.token = next.token;
      return true;
    } catch {
      return false;
    }
  }

  /** @param {Child} child @param {number} level */
  #item(child, level) {
    const item = el("li", {
      role: "treeitem", tabindex: -1, "aria-level": level, "data-name": child.name, "data-kind": child.kind ?? "",
      "aria-expanded": child.branches ? "false" : null,
      title: child.name + (child.kind ? ` (${child.kind})` : ""),
    });
    // Depth is drawn by a class: the content security policy allows no style attribute.
    const row = el("div", { class: `tree-row depth-${Math.min(level, 9)}` },
      el("span", { class: "twist" }, child.branches ? icon("chevron") : null),
      el("span", { class: "tree-label" }, child.label),
      child.kind ? el("span", { class: `kind kind-${child.kind}`, "aria-hidden": "true" }) : null);
    item.append(row);
    this.#markItem(item);
    return item;
  }

  /** @param {HTMLElement} item @param {number} chain  how many only children to open along */
  async #open(item, chain = CHAIN) {
    if (!item.hasAttribute("aria-expanded")) return;
    item.setAttribute("aria-expanded", "true");
    if (item.querySelector(":scope > ul")) return;
    const list = el("ul", { role: "group" });
    item.append(list);
    item.setAttribute("aria-busy", "true");
    try {
      const below = await this.fetchChildren(this.#nameOf(item));
      this.#fill(list, below, Number(item.getAttribute("aria-level")) + 1, 0);
      const only = below.children.length === 1 && chain > 0 ? list.querySelector('[role="treeitem"]') : null;
      if (only) await this.#open(/** @type {HTMLElement} */ (only), chain - 1);
    } catch {
      // The page's banner says that the server is away; closing again lets one retry.
      list.remove();
      item.setAttribute("aria-expanded", "false");
    } finally {
      item.removeAttribute("aria-busy");
    }
  }

  /** Close, and forget what was fetched: opening again shows new names. @param {HTMLElement} item */
  #close(item) {
    item.setAttribute("aria-expanded", "false");
    item.querySelector(":scope > ul")?.remove();
  }

  /** @param {HTMLElement} item */
  #toggle(item) {
    if (item.getAttribute("aria-expanded") === "true") this.#close(item);
    else this.#open(item);
  }

  /** @param {HTMLElement} item */
  #act(item) {
    if (item.dataset.kind) this.onPick(this.#nameOf(item));
    else this.#toggle(item);
  }

  /** @param {HTMLElement} item */
  #focus(item) {
    for (const other of this.#items()) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const item = /** @type {HTMLElement | null} */ (target.closest('[role="treeitem"]'));
    if (!item || target.closest(".tree-more")) return;
    this.#focus(item);
    if (target.closest(".twist") && item.hasAttribute("aria-expanded")) this.#toggle(item);
    else this.#act(item);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const item = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('[role="treeitem"]'));
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/** @type {HTMLElement} */ (event.target).closest("button")) return;
    const items = this.#items();
    const at = items.indexOf(item);
    const open = item.getAttribute("aria-expanded") === "true";
    const parent = /** @type {HTMLElement | null} */ (item.parentElement?.closest('[role="treeitem"]') ?? null);
    const moves = /** @type {Record<string, HTMLElement | null | undefined>} */ ({
      ArrowDown: items[at + 1], ArrowUp: items[at - 1], Home: items[0], End: items[items.length - 1],
      ArrowLeft: open ? null : parent, ArrowRight: open ? items[at + 1] : null,
    });
    if (event.key === "Enter" || event.key === " ") this.#act(item);
    else if (event.key === "ArrowLeft" && open) this.#close(item);
    else if (event.key === "ArrowRight" && !open) this.#open(item);
    else if (event.key in moves) {
      const next = moves[event.key];
      if (next) this.#focus(next);
    } else return;
    event.preventDefault();
  }
}
