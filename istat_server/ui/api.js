/**
 * The server's /api/v1, as functions. Knows addresses, status codes and the server's clock; shows nothing.
 */

/** @import {Grid} from "./charts/grid.js" */
/** @import {Token} from "./token.js" */

/**
 * @typedef {{name: string, kind: "gauge" | "event"}} Name
 * @typedef {{label: string, name: string, kind: "gauge" | "event" | null, branches: boolean}} Child
 * @typedef {{prefix: string, children: Child[], token: string}} Below  a part of what is below a prefix; a token: there is more
 * @typedef {{name: string, address: string, version: string, last_seen: number, online: boolean, transport: string, via?: string | null,
 *   blacklisted?: boolean}} Agent
 * @typedef {{name: string, kind: "gauge" | "event", metric: string | null, unit: string, help: string, link: string}} Meaning
 */

/** Longest wait for an answer [ms]; a year of 1,000 counters takes the server a few seconds. */
const TIMEOUT = 20000;
/** Most names in one series request; the server takes 1,000. */
const NAMES_PER_REQUEST = 1000;
/** Most numbers wanted in one answer; the server gives 2,000,000. */
const NUMBERS_PER_REQUEST = 1500000;
/** Children of a prefix that are fetched at once; the server gives 10,000. */
const CHILDREN_PER_REQUEST = 1000;
const COLUMNS = ["avg", "min", "max"];

/** The server is not there, or answers nonsense: worth another try. */
export class ServerAway extends Error {}

/** Why there is no answer, in our words: browsers' own differ, and say less. @param {unknown} error */
function whyAway(error) {
  if (error instanceof SyntaxError) return "its answer cannot be read";
  return error instanceof DOMException && error.name === "TimeoutError" ? `nothing within ${TIMEOUT / 1000} s` : "no connection";
}

/** The server said no, with a reason. */
export class Refused extends Error {
  /** @param {number} status @param {string} message @param {boolean} wantsToken  another token would do */
  constructor(status, message, wantsToken = false) {
    super(message);
    this.status = status;
    this.wantsToken = wantsToken;
  }
}

export class Api {
  /** Seconds that the server's clock is ahead of ours; small differences are latency and rounding. */
  skew = 0;

  /** @param {URL} base  ends in /api/v1/ @param {Token} token @param {() => number} clock  [s] */
  constructor(base, token, clock = () => Date.now() / 1000) {
    this.base = base;
    this.token = token;
    this.clock = clock;
  }

  /** The server's time [s]. */
  now() {
    return this.clock() + this.skew;
  }

  /** Ask the server; when it wants another token, ask the reader for one and then again.
   * @param {Record<string, string | number>} query @param {string} path @param {RequestInit} [init] */
  async request(path, query = {}, init = {}) {
    for (;;) {
      const sent = this.token.value;
      try {
        return await this.#once(path, query, init);
      } catch (error) {
        const want = error instanceof Refused && error.wantsToken;
        if (!want || !await this.token.another(sent, error.message)) throw error;
      }
    }
  }

  /** @param {Record<string, string | number>} query @param {string} path @param {RequestInit} init */
  async #once(path, query, init) {
    const url = new URL(path, this.base);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
    const limit = AbortSignal.timeout(TIMEOUT);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    let response;
    let body;
    try {
      response = await fetch(url, { cache: "no-store", ...init, headers: { ...init.headers, ...this.token.headers() }, signal });
      body = await response.json();
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new ServerAway(whyAway(error));
    }
    if (response.status >= 500) throw new ServerAway(body?.error ?? `status ${response.status}`);
    if (!response.ok) {
      const wantsToken = response.headers.has("www-authenticate");
      throw new Refused(response.status, body?.error ?? `status ${response.status}`, wantsToken);
    }
    this.#compareClocks(response.headers.get("date"));
    return body;
  }

  /** @param {string | null} date  the Date header */
  #compareClocks(date) {
    const theirs = date ? Date.parse(date) / 1000 : NaN;
    if (Number.isNaN(theirs)) return;
    const skew = theirs + 0.5 - this.clock();
    this.skew = Math.abs(skew) > 3 ? skew : 0;
  }

  /** Average, minimum and maximum of each counter over one grid; at least one name.
   * @param {string[]} names @param {number} from @param {number} to @param {number} points @param {AbortSignal} [signal]
   * @returns {Promise<Grid>} */
  async series(names, from, to, points, signal) {
    /** @type {Grid[]} */
    const parts = [];
    const each = Math.max(1, Math.min(NAMES_PER_REQUEST, Math.floor(NUMBERS_PER_REQUEST / (COLUMNS.length * points))));
    for (let at = 0; at < names.length; at += each) {
      const body = { names: names.slice(at, at + each), from, to, points, columns: COLUMNS };
      parts.push(await this.request("series", {}, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
      }));
    }
    return { ...parts[0], series: parts.flatMap((part) => part.series), missing: parts.flatMap((part) => part.missing) };
  }

  /** @param {string} match  a pattern: * is any run of characters @param {number} limit @returns {Promise<{names: Name[], truncated: boolean}>} */
  names(match, limit) {
    return this.request("names", { match, limit });
  }

  /** @param {string} words @param {number} limit @param {AbortSignal} signal
   * @returns {Promise<{names: Name[], truncated: boolean}>} */
  search(words, limit, signal) {
    return this.request("search", { q: words, limit }, { signal });
  }

  /** What is below a prefix; `token`, of the answer before, asks for what follows. @param {string} prefix @param {string} [token]
   * @returns {Promise<Below>} */
  async children(prefix, token) {
    const { children, token: next } = await this.request("children", { prefix, limit: CHILDREN_PER_REQUEST, ...(token ? { token } : {}) });
    return { prefix, children, token: next ?? "" };
  }

  /** What is declared of a counter. @param {string} name @returns {Promise<Meaning | null>} */
  async describe(name) {
    const { counters } = await this.request("describe", { name });
    return counters[0] ?? null;
  }

  /** All senders that the server knows, page by page. @returns {Promise<Agent[]>} */
  async agents() {
    const agents = [];
    for (let token = ""; ;) {
      const page = await this.request("agents", token ? { token } : {});
      agents.push(...page.agents);
      token = page.token ?? "";
      if (!token) return agents;
    }
  }

  /** @returns {Promise<any>} */
  status() {
    return this.request("status");
  }
}
