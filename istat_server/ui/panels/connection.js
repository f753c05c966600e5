/** Whether the server answers: one state, which the banner tells and the Live button shows. */

import { byId } from "../dom.js";

export class Connection {
  away = false;
  #countdown = 0;

  /** @param {{retry: () => void, changed: () => void}} on */
  constructor(on) {
    this.on = on;
    byId("banner-button").addEventListener("click", () => {
      clearInterval(this.#countdown);
      byId("banner").hidden = true;
      on.retry();
    });
  }

  /** The server does not answer. @param {number} seconds  until the next try @param {string} why */
  lost(seconds, why) {
    let left = seconds;
    clearInterval(this.#countdown);
    const tell = () => this.say(`The server does not answer (${why}). Next try in ${left} s.`, "Try now");
    tell();
    this.#countdown = window.setInterval(() => { if (left > 1) { left--; tell(); } }, 1000);
    this.#set(true);
  }

  /** The server answers again. */
  back() {
    clearInterval(this.#countdown);
    byId("banner").hidden = true;
    this.#set(false);
  }

  /** Something to tell above all. @param {string} text @param {string} [button] */
  say(text, button = "Try again") {
    byId("banner-text").textContent = text;
    byId("banner-button").textContent = button;
    byId("banner").hidden = false;
  }

  /** What the Live button shows. @param {boolean} live  whether the page follows the clock */
  show(live) {
    const [text, title] = this.away ? ["No server", "The server does not answer; what is shown is as old as its last answer"]
      : live ? ["Live", "Following the clock; click to pause"] : ["Paused", "Click to follow the clock"];
    byId("live").setAttribute("aria-pressed", String(live && !this.away));
    byId("live").classList.toggle("away", this.away);
    byId("live-text").textContent = text;
    byId("live").title = title;
  }

  /** @param {boolean} away */
  #set(away) {
    if (this.away === away) return;
    this.away = away;
    this.on.changed();
  }
}
