/** The panel of senders and the status line at the foot: what the server says of itself. */

/** @import {Agent, Api} from "../api.js" */
import { byId, el } from "../dom.js";
import { formatAge, formatDateTime, formatValue } from "../format.js";
import { formatLag } from "./status.js";

/** Period of the status line [ms]. */
const PERIOD = 10000;
/** Rows of the table: a browser draws these in a moment. */
const MOST_ROWS = 1000;
const COUNT = { symbol: "", base: /** @type {1000} */ (1000), perSecond: false };

/** The figures of the status line, out of the server's status; a rate of null: not known yet.
 * @param {any} status @returns {{counters: number, rate: number | null, refused: number, version: string}} */
export function figures(status) {
  const refused = status.refused ?? {};
  return {
    counters: Number(status.counters ?? 0),
    rate: status.ingest?.samples_per_second ?? null,
    refused: Object.values(refused).reduce((/** @type {number} */ sum, count) => sum + Number(count), 0),
    version: String(status.version ?? ""),
  };
}

/** Whose replica it is and how old what it has is, or who has taken its place; "" of a master that nobody has.
 * @param {any} status @returns {{text: string, why: string, bad: boolean}} */
export function standing(status) {
  const { replica, fenced } = status.store ?? {};
  if (fenced) return { text: "fenced", why: `${fenced} has taken this server's place`, bad: true };
  if (!replica?.master) return { text: "", why: "", bad: false };
  const host = String(replica.master).replace(/^https?:\/\//, "");
  return { text: `replica of ${host}, ${formatLag(Number(replica.lag))}`, why: String(replica.problem ?? ""), bad: !replica.following };
}

/** Whether a sender is there, or kept out. @param {Agent} agent @returns {string} */
export function presence(agent) {
  if (agent.blacklisted) return "on the blacklist";
  return agent.online ? "online" : "offline";
}

/** Where it sends from, or who tells of it. @param {Agent} agent @returns {string} */
export function whence(agent) {
  const from = agent.via ? `${agent.address} via ${agent.via}` : agent.address;
  return agent.blacklisted ? `${from} (on the blacklist)` : from;
}

export class ServerPanel {
  #timer = 0;
  /** @type {Agent[]} */
  agents = [];

  /** @param {Api} api @param {{host: (name: string) => void, status: (status: any) => void, error: (error: unknown) => void}} on */
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
      this.#standing(standing(status));
      this.on.status(status);
      if (this.dialog.open) this.#table();
    } catch (error) {
      byId("status-rate").textContent = "";
      this.on.error(error);
    }
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.poll(), PERIOD);
  }

  /** @param {ReturnType<typeof figures>} now */
  #line(now) {
    // An agent that was started anew has another port: two entries for a while, one agent.
    const online = new Set(this.agents.filter((agent) => agent.online).map((agent) => agent.name)).size;
    byId("status-counters").textContent = `${now.counters.toLocaleString("en")} counters`;
    byId("status-rate").textContent = now.rate === null ? "" : `${formatValue(now.rate, COUNT)} samples/s`;
    byId("status-refused").textContent = `${now.refused.toLocaleString("en")} refused`;
    byId("status-refused").classList.toggle("bad", now.refused > 0);
    byId("status-version").textContent = now.version ? `istatd ${now.version}` : "";
    byId("agents-count").textContent = String(online);
    byId("agents-button").setAttribute("aria-label", `Agents: ${online} online`);
  }

  /** @param {ReturnType<typeof standing>} how */
  #standing({ text, why, bad }) {
    byId("status-replica").textContent = text;
    byId("status-replica").title = why;
    byId("status-replica").classList.toggle("bad", bad);
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
    const online = sorted.filter((agent) => agent.online).length;
    byId("agents-count-all").textContent = sorted.length ? `${online.toLocaleString("en")} online, ${sorted.length.toLocaleString("en")} known${
      sorted.length > MOST_ROWS ? `; the first ${MOST_ROWS} are shown` : ""}.` : "";
    byId("agents-rows").replaceChildren(...sorted.slice(0, MOST_ROWS).map((agent) => el("tr", {},
      el("td", {}, el("span", { class: agent.online ? "dot online" : "dot" }), el("span", { class: "visually-hidden" }, presence(agent))),
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: `Charts of ${agent.name}`, onclick: () => {
        this.dialog.close();
        this.on.host(agent.name);
      } }, agent.name)),
      el("td", { class: "mono" }, whence(agent)),
      el("td", {}, agent.transport.toUpperCase()),
      el("td", {}, agent.version || "–"),
      el("td", { title: formatDateTime(agent.last_seen) }, formatAge(now - agent.last_seen)))));
  }
}
