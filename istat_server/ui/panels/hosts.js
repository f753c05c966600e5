/** The list of hosts at the head of the overview. */

import { byId, el } from "../dom.js";

/** It stands in the title's place; beside it where the host that was asked for is none of them.
 * @param {{hosts: string[], host: string}} source @param {boolean} overview @param {boolean} unknown */
export function showHosts({ hosts, host }, overview, unknown) {
  byId("hosts-label").hidden = !overview || hosts.length < (unknown ? 1 : 2);
  byId("title").hidden = !byId("hosts-label").hidden && !unknown;
  const wanted = unknown ? ["", ...hosts] : hosts;
  const listed = [...byId("hosts").options].map((/** @type {HTMLOptionElement} */ option) => option.value);
  if (JSON.stringify(listed) !== JSON.stringify(wanted)) {
    byId("hosts").replaceChildren(...wanted.map((name) => el("option", { value: name }, name || "Other hosts")));
  }
  byId("hosts").value = unknown ? "" : host;
}
