/** The panel of senders and the status line at the foot: what the server says of itself. */

/** @import {Agent, Api} from "../api.js" */
import { byId, el } from "../dom.js";
import { formatAge, formatDateTime, formatValue } from "../format.js";

/** Period of the status line [ms]. */
const PERIOD = 10000;
const COUNT = { symbol: "", base: /** @type {1000} */ (1000), perSecond: false };

/** The figures of the status line, out of the server's status.
 * @param {any} status @returns {{counters: number, samples: number, refused: number, version: string}} */
export function figures(status) {
  const refused = status.refused ?? {};
  return {
    counters: Number(status.counters ?? 0),
    samples: Number(status.ingest?.samples ?? 0),
    refused: Object.values(refused).reduce((/** @type {number} */ sum, count) => sum + Number(count), 0),
    version: String(status.version ?? ""),
  };
}

export class ServerPanel {
  /** @type {{at: number, samples: number} | null} */
  #last = null;
  #timer = 0;
  /** @type {Agent[]} */
  agents = [];

  /** @param {Api} api @param {{host: (name: string) => void, error: (error: unknown) => void}} on */
  constructor(api, on) {
    this.api = api;
    this.on = on;
    this.dialog = byId("agents");
    byId("agents-button").addEventListener("click", () => this.open());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.poll();
    });
  }

  /** Ask now, and from then on every ten seconds while the page is visible. */
  async poll() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const [status, agents] = await Promise.all([this.api.status(), this.api.agents()]);
      this.agents = agents;
      this.#line(figures(status));
      if (this.dialog.open) this.#table();
    } catch (error) {
      this.#last = null;
      this.on.error(error);
    }
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.poll(), PERIOD);
  }

  /** @param {ReturnType<typeof figures>} now */
  #line(now) {
    const at = performance.now() / 1000;
    const rate = this.#last && at > this.#last.at ? Math.max(0, now.samples - this.#last.samples) / (at - this.#last.at) : null;
    if (!this.#last || at - this.#last.at > 1) this.#last = { at, samples: now.samples };
    // An agent that was started anew has another port: two entries for a while, one agent.
    const online = new Set(this.agents.filter((agent) => agent.online).map((agent) => agent.name)).size;
    byId("status-counters").textContent = `${now.counters.toLocaleString("en")} counters`;
    if (rate !== null) byId("status-rate").textContent = `${formatValue(rate, COUNT)} samples/s`;
    byId("status-refused").textContent = `${now.refused.toLocaleString("en")} refused`;
    byId("status-refused").classList.toggle("bad", now.refused > 0);
    byId("status-version").textContent = now.version ? `istatd ${now.version}` : "";
    byId("agents-count").textContent = String(online);
    byId("agents-button").setAttribute("aria-label", `Agents: ${online} online`);
  }

  open() {
    this.#table();
    this.dialog.showModal();
    this.poll();
  }

  #table() {
    const now = this.api.now();
    const sorted = [...this.agents].sort((a, b) => Number(b.online) - Number(a.online) || a.name.localeCompare(b.name));
    byId("agents-empty").hidden = sorted.length > 0;
    byId("agents-table").hidden = sorted.length === 0;
    byId("agents-rows").replaceChildren(...sorted.map((agent) => el("tr", {},
      el("td", {}, el("span", { class: agent.online ? "dot online" : "dot" }), el("span", { class: "visually-hidden" }, agent.online ? "online" : "offline")),
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: `Charts of ${agent.name}`, onclick: () => {
        this.dialog.close();
        this.on.host(agent.name);
      } }, agent.name)),
      el("td", { class: "mono" }, agent.address),
      el("td", {}, agent.transport.toUpperCase()),
      el("td", {}, agent.version || "–"),
      el("td", { title: formatDateTime(agent.last_seen) }, formatAge(now - agent.last_seen)))));
  }
}
