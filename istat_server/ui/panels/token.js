/** The dialog that asks for the server's token. It is told to nobody but who asked. */

import { byId } from "../dom.js";

/** What an HTTP header can carry. */
const CARRIED = /^[\x20-\x7e]*$/;

/** Ask for a token. @param {string} why  the server's words @returns {Promise<string>} empty when the reader gives none */
export function askToken(why) {
  const dialog = byId("token");
  byId("token-why").textContent = sentence(why);
  byId("token-error").textContent = "";
  byId("token-value").value = "";
  return new Promise((resolve) => {
    let given = "";
    const form = byId("token-form");
    /** @param {Event} event */
    const submit = (event) => {
      given = byId("token-value").value.trim();
      if (CARRIED.test(given)) return;
      event.preventDefault();
      given = "";
      byId("token-error").textContent = "A token has ASCII letters, digits and signs only.";
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", () => {
      form.removeEventListener("submit", submit);
      byId("token-value").value = "";
      resolve(given);
    }, { once: true });
    dialog.showModal();
    byId("token-value").focus();
  });
}

/** The server's words without what only programs must know of headers. @param {string} why */
export function sentence(why) {
  const said = why.replace(/[:;] send it as .*$/, "");
  return `${said.slice(0, 1).toUpperCase()}${said.slice(1)}.`;
}
