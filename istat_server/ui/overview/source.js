/** Asks the server what hosts there are and what they send, for the overview; remembers the answer's hosts. */

/** @import {Api} from "../api.js" */
import { hostLabel, hostsOf, overviewCharts, plainCharts } from "./overview.js";

/** One counter that every agent sends, by order of likelihood: its hosts are the hosts. */
const WITNESSES = ["cpu.user", "load.min1", "memory.used_bytes", "memory.used"];
/** Hosts offered in the list; the tree has them all. */
const MOST_HOSTS = 1000;
/** Counters of one host that are looked at. */
const MOST_NAMES = 3000;
/** Counters looked at when there is no host: enough to find some besides the server's own. */
const MOST_PLAIN = 300;
const LOOPBACK = /^(127\.|\[?::1\]?(:|$)|\[?::ffff:127\.)/;

export class OverviewSource {
  /** @type {string[]} */
  hosts = [];
  host = "";

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
  }

  /** The charts for a host, or for the first one; none when there are no counters but the server's own.
   * @param {string} wanted @returns {Promise<string[][]>} */
  async charts(wanted) {
    this.hosts = await this.#findHosts();
    if (this.hosts.includes(wanted)) this.host = wanted;
    else if (!this.hosts.includes(this.host)) this.host = await this.#firstHost();
    if (this.host) {
      const { names } = await this.api.names(`*.host.${this.host}`, MOST_NAMES);
      return overviewCharts(this.host, names.map(({ name }) => name));
    }
    return plainCharts((await this.api.names("*", MOST_PLAIN)).names.map(({ name }) => name));
  }

  /** The server's own machine, where an agent runs there; else the first by name. */
  async #firstHost() {
    if (this.hosts.length < 2) return this.hosts[0] ?? "";
    const local = (await this.api.agents()).find((agent) => LOOPBACK.test(agent.address));
    const host = local && hostLabel(local.name, this.hosts);
    return host && this.hosts.includes(host) ? host : this.hosts[0];
  }

  async #findHosts() {
    for (const base of WITNESSES) {
      const { names } = await this.api.names(`${base}.host.*`, MOST_HOSTS);
      const hosts = hostsOf(names.map(({ name }) => name), base);
      if (hosts.length) return hosts;
    }
    return [];
  }
}
