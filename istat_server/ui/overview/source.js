/** Asks the server what hosts there are and what they send, for the overview; remembers the answer's hosts. */

/** @import {Api} from "../api.js" */
import { hostLabels, hostOf, overviewCharts, plainCharts } from "./overview.js";

/** Counters that agents send, whose names list many hosts at a time; what others send is found beside them. */
const WITNESSES = ["cpu.user", "load.min1", "memory.used_bytes", "memory.used", "localstat.cpu.user"];
/** Names of each of these that are looked at: hosts are offered in a list, and the tree has them all. */
const MOST_HOSTS = 1000;
/** Counters of one host, and of all hosts together, that are looked at. */
const MOST_NAMES = 3000;
/** Counters looked at when there is no host: enough to find some besides the server's own. */
const MOST_PLAIN = 300;
/** Hosts that are asked whether they live, and how long ago they may have sent [s]. */
const [MOST_ASKED, LIVELY] = [500, 600];
const LOOPBACK = /^(127\.|\[?::1\]?(:|$)|\[?::ffff:127\.)/;

export class OverviewSource {
  /** @type {string[]} */
  hosts = [];
  host = "";
  /** The host that was asked for, where no counter is of it. */
  unknown = "";

  /** @param {Pick<Api, "names" | "agents" | "series" | "now">} api */
  constructor(api) {
    this.api = api;
  }

  /** The charts for a host, or for one that lives; none when there are no counters but the server's own, or none of
   * that host. @param {string} wanted @returns {Promise<string[][]>} */
  async charts(wanted) {
    const [found, named] = await Promise.all([this.#findHosts(), wanted ? this.#named(wanted) : null]);
    this.unknown = named && !named.names.length ? wanted : "";
    if (named?.names.length) found.set(named.label, named.names[0]);
    this.hosts = [...found.keys()].sort();
    if (named) {
      this.host = named.label;
      return named.names.length ? overviewCharts(named.label, named.names) : [];
    }
    if (!found.has(this.host)) this.host = await this.#livingHost(found);
    if (this.host) return overviewCharts(this.host, await this.#namesOf(this.host));
    return plainCharts((await this.api.names("*", MOST_PLAIN)).names.map(({ name }) => name));
  }

  /** What a host sends. @param {string} label */
  async #namesOf(label) {
    const { names } = await this.api.names(`*.host.${label}`, MOST_NAMES);
    return names.map(({ name }) => name).filter((name) => name.endsWith(`.host.${label}`));
  }

  /** A host by its name, as agents may have written it. @param {string} wanted
   * @returns {Promise<{label: string, names: string[]}>} */
  async #named(wanted) {
    for (const label of hostLabels(wanted)) {
      const names = await this.#namesOf(label);
      if (names.length) return { label, names };
    }
    return { label: wanted, names: [] };
  }

  /** The server's own machine, where an agent runs there; else one whose agent runs; else one that has sent lately;
   * else the first one. @param {Map<string, string>} found */
  async #livingHost(found) {
    const [first, second] = found.keys();
    if (second === undefined) return first ?? "";
    const online = (await this.api.agents()).filter((agent) => agent.online);
    const near = online.filter((agent) => LOOPBACK.test(agent.address));
    for (const { name } of [...near, ...online.sort((a, b) => a.name.localeCompare(b.name))]) {
      const label = hostLabels(name).find((one) => found.has(one));
      if (label) return label;
    }
    const asked = [...found.keys()].slice(0, MOST_ASKED);
    const now = Math.ceil(this.api.now());
    const { series } = await this.api.series(asked.map((host) => found.get(host) ?? ""), now - LIVELY, now, 1);
    const lively = new Set(series.filter(({ avg }) => avg.some((value) => value !== null)).map(({ name }) => name));
    return asked.find((host) => lively.has(found.get(host) ?? "")) ?? first;
  }

  /** Hosts, with a counter of each: those with agents first, by name. @returns {Promise<Map<string, string>>} */
  async #findHosts() {
    const answers = await Promise.all([
      ...WITNESSES.map((base) => this.api.names(`${base}.host.*`, MOST_HOSTS)), this.api.names("*.host.*", MOST_NAMES)]);
    /** @type {Map<string, string>} */
    const found = new Map();
    for (const name of answers.flatMap(({ names }) => names.map((one) => one.name).sort())) {
      const host = hostOf(name);
      if (host && !found.has(host)) found.set(host, name);
    }
    return found;
  }
}
