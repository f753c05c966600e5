import assert from "node:assert/strict";
import { test } from "node:test";
import { linkOf, placeOf, unitText } from "../../istat_server/ui/panels/meaning.js";

test("only http and https are links", () => {
  assert.equal(linkOf("https://example.net/a#b")?.href, "https://example.net/a#b");
  assert.equal(linkOf("http://example.net")?.host, "example.net");
  for (const text of ["javascript:alert(1)", "//example.net", "data:text/html,x", "", "HTTPS://x", " https://x", "https://"]) {
    assert.equal(linkOf(text), null, text);
  }
});

test("kind and unit are told in words", () => {
  const told = (/** @type {any} */ kind, /** @type {string} */ unit) => unitText({ name: "a", metric: "a", help: "", link: "", kind, unit });
  assert.deepEqual([told("gauge", "%"), told("gauge", ""), told("event", "reads"), told("event", "")],
    ["gauge, %", "gauge", "events: reads, per second", "events, per second"]);
});

test("the box is below its name, above where there is no room, and never outside", () => {
  const window = { width: 400, height: 300 };
  const box = { width: 200, height: 80 };
  assert.deepEqual(placeOf({ left: 20, top: 40, bottom: 60, right: 90 }, box, window), { left: 20, top: 66 });
  assert.deepEqual(placeOf({ left: 300, top: 250, bottom: 270, right: 390 }, box, window), { left: 194, top: 164 });
  assert.deepEqual(placeOf({ left: -10, top: 40, bottom: 260, right: 90 }, box, window), { left: 6, top: 6 });
  const beside = { left: 20, top: 250, bottom: 270, right: 180 };
  assert.deepEqual(placeOf(beside, box, window, true), { left: 186, top: 214 });
  assert.deepEqual(placeOf(beside, box, { ...window, width: 390 }, true), { left: 20, top: 164 });
});
