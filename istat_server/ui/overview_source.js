/** Asks the server what hosts there are and what they send, for the overview; remembers the answer's hosts. */

/** @import {Api} from "./api.js" */
import { hostsOf, overviewCharts, plainCharts } from "./overview.js";

/** One counter that every agent sends, by order of likelihood: its hosts are the hosts. */
const WITNESSES = ["cpu.user", "load.min1", "memory.used_bytes", "memory.used"];
/** Hosts offered in the list; the tree has them all. */
const MOST_HOSTS = 1000;
/** Counters of one host that are looked at. */
const MOST_NAMES = 3000;
/** Counters looked at when there is no host: enough to find some besides the server's own. */
const MOST_PLAIN = 300;

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
    this.host = this.hosts.includes(wanted) ? wanted : this.hosts[0] ?? "";
    if (this.host) {
      const { names } = await this.api.names(`*.host.${this.host}`, MOST_NAMES);
      return overviewCharts(this.host, names.map(({ name }) => name));
    }
    return plainCharts((await this.api.names("*", MOST_PLAIN)).names.map(({ name }) => name));
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
