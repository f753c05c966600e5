import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ServerAway } from "../../istat_server/ui/api.js";
import { Token } from "../../istat_server/ui/token.js";

const api = new Api(new URL("http://server/api/v1/"), new Token(async () => "", () => { throw new Error("nothing is kept"); }));

test("all senders are there, however many pages that takes", async () => {
  /** @type {string[]} */
  const asked = [];
  globalThis.fetch = async (url) => {
    const token = new URL(String(url)).searchParams.get("token") ?? "";
    asked.push(token);
    const next = /** @type {Record<string, string>} */ ({ "": "9", 9: "4", 4: "" })[token];
    return new Response(JSON.stringify({ agents: [{ name: `after ${token}` }], truncated: next !== "", token: next }));
  };
  assert.deepEqual((await api.agents()).map(({ name }) => name), ["after ", "after 9", "after 4"]);
  assert.deepEqual(asked, ["", "9", "4"]);
});

test("why there is no answer is said in words of ours", async () => {
  const told = [
    [() => { throw new TypeError("Failed to fetch"); }, "no connection"],
    [() => { throw new DOMException("signal timed out", "TimeoutError"); }, "nothing within 20 s"],
    [() => new Response("<html>"), "its answer cannot be read"],
    [() => new Response('{"error":"too much at once"}', { status: 503 }), "too much at once"],
  ];
  for (const [answer, words] of told) {
    globalThis.fetch = async () => /** @type {() => Response} */ (answer)();
    await assert.rejects(api.status(), (error) => error instanceof ServerAway && error.message === words);
  }
});
