/** What an empty page says: how to send samples to this very server. */

import { byId } from "../dom.js";

/** The setting stat-port, where the server does not say which it is. */
const STAT_PORT = 8111;

/** Commands that send samples to where a server takes them, and ask it what became of them.
 * @param {any} status  of /api/v1/status @param {string} hostname  as the page's address has it: IPv6 in brackets
 * @param {string} page  the page's address */
export function commands(status, hostname, page) {
  const port = Number(status?.listening?.["stat-port"] ?? STAT_PORT);
  const host = hostname || "localhost";
  return {
    agent: `istat-agent --server ${host}:${port}`,
    send: `istat send --to ${host}:${port} --server ${page.replace(/\/$/, "")} my.first.counter 42`,
    netcat: `echo "my.first.counter 42" | nc -q0 ${host.replace(/^\[|\]$/g, "")} ${port}`,
  };
}

/** Write them into the page. @param {any} status */
export function tellCommands(status) {
  const { agent, send, netcat } = commands(status, location.hostname, new URL(".", location.href).href);
  byId("hint-agent").textContent = agent;
  byId("hint-send").textContent = send;
  byId("hint-netcat").textContent = netcat;
}
