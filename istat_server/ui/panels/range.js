/** The time range controls: presets, a step back and forward, and the dialog for any from-to. */

/** @import {Range} from "../state.js" */
import { byId, el } from "../dom.js";
import { DEFAULT_PRESET, MIN_SPAN, PRESETS, shift, windowOf } from "../state.js";

/** How far "earlier" and "later" go, as a share of the span. */
const STEP = 0.5;

/** Local time as an input of type datetime-local spells it. @param {number} time [s] */
function toInput(time) {
  const local = new Date(time * 1000);
  return new Date((time - local.getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 19);
}

export class RangeControl {
  /** @type {Range} */
  range = { preset: DEFAULT_PRESET };

  /** @param {{now: () => number, change: (range: Range) => void}} on */
  constructor(on) {
    this.on = on;
    byId("presets").append(...Object.keys(PRESETS).map((preset) => el("button", {
      type: "button", "data-preset": preset, onclick: () => on.change({ preset }),
    }, preset)));
    byId("earlier").addEventListener("click", () => on.change(shift(this.range, -STEP, on.now())));
    byId("later").addEventListener("click", () => on.change(shift(this.range, STEP, on.now())));
    byId("custom-button").addEventListener("click", () => this.#ask());
    byId("custom-form").addEventListener("submit", (/** @type {Event} */ event) => this.#submit(event));
  }

  /** @param {Range} range */
  show(range) {
    this.range = range;
    const preset = "preset" in range ? range.preset : "";
    for (const button of byId("presets").children) button.setAttribute("aria-pressed", String(button.dataset.preset === preset));
    byId("custom-button").setAttribute("aria-pressed", String(preset === ""));
    byId("later").disabled = preset !== "";
  }

  #ask() {
    const { from, to } = windowOf(this.range, this.on.now());
    byId("custom-from").value = toInput(from);
    byId("custom-to").value = toInput(to);
    byId("custom-error").textContent = "";
    byId("custom").showModal();
  }

  /** @param {Event} event */
  #submit(event) {
    const from = Math.floor(new Date(byId("custom-from").value).getTime() / 1000);
    const to = Math.floor(new Date(byId("custom-to").value).getTime() / 1000);
    if (to - from >= MIN_SPAN && from >= 0) this.on.change({ from, to });
    else {
      event.preventDefault();
      byId("custom-error").textContent = `"To" must be at least ${MIN_SPAN} seconds after "From".`;
    }
  }
}
