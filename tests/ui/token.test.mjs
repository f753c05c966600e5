import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, Refused } from "../../istat_server/ui/api.js";
import { sentence } from "../../istat_server/ui/panels/token.js";
import { Token } from "../../istat_server/ui/token.js";

/** A tab's storage. @param {Record<string, string>} kept */
const storage = (kept) => () => ({
  getItem: (/** @type {string} */ key) => kept[key] ?? null,
  setItem: (/** @type {string} */ key, /** @type {string} */ value) => { kept[key] = value; },
});

/** A reader who answers with these, one after the other. @param {...string} answers */
function reader(...answers) {
  /** @type {string[]} */
  const asked = [];
  return { asked, ask: async (/** @type {string} */ why) => { asked.push(why); return answers.shift() ?? ""; } };
}

/** A server that wants a token. @param {string} wanted */
function server(wanted) {
  /** @type {(string | undefined)[]} */
  const heard = [];
  globalThis.fetch = async (_url, init) => {
    const given = /** @type {Record<string, string>} */ (init?.headers).authorization;
    heard.push(given);
    if (given === `Bearer ${wanted}`) return new Response('{"names":[]}');
    const headers = { "www-authenticate": 'Bearer realm="istatd"' };
    return new Response('{"error":"this needs the read-token: send it as x"}', { status: 401, headers });
  };
  return heard;
}

const api = (/** @type {Token} */ token) => new Api(new URL("http://server/api/v1/"), token);

test("the reader is asked once, however many requests are refused, and the token is kept", async () => {
  const heard = server("right");
  const kept = {};
  const { ask, asked } = reader(" right ");
  const one = api(new Token(ask, storage(kept)));
  await Promise.all([one.names("*", 1), one.names("*", 1), one.status()]);
  await one.names("*", 1);
  assert.equal(asked.length, 1);
  assert.deepEqual(kept, { "istatd-token": "right" });
  assert.deepEqual(heard.slice(0, 3), [undefined, undefined, undefined]);
  assert.deepEqual(heard.slice(3), Array(4).fill("Bearer right"));
  await api(new Token(ask, storage(kept))).names("*", 1);
  assert.equal(asked.length, 1, "a page that is loaded anew has it still");
});

test("a wrong token is asked for again; who gives none is left alone", async () => {
  server("right");
  const { ask, asked } = reader("wrong", "right");
  await api(new Token(ask, storage({}))).names("*", 1);
  assert.equal(asked.length, 2);
  const none = reader();
  const token = new Token(none.ask, storage({}));
  await assert.rejects(api(token).names("*", 1), Refused);
  await assert.rejects(api(token).names("*", 1), Refused);
  assert.equal(none.asked.length, 1);
  assert.ok(token.declined);
});

test("what no token helps against is a refusal", async () => {
  globalThis.fetch = async () => new Response('{"error":"no"}', { status: 403 });
  const { ask, asked } = reader("x");
  await assert.rejects(api(new Token(ask, storage({}))).names("*", 1), Refused);
  assert.equal(asked.length, 0);
});

test("a browser that keeps nothing works all the same", async () => {
  server("right");
  const { ask } = reader("right");
  const token = new Token(ask, () => { throw new Error("SecurityError"); });
  await api(token).names("*", 1);
  assert.equal(token.value, "right");
});

test("the dialog leaves out what programs must know", () => {
  assert.equal(sentence("this needs the read-token: send it as `Authorization: Bearer TOKEN`"), "This needs the read-token.");
  assert.equal(sentence("the token is wrong: this needs the server's read-token; send it as `x`"),
    "The token is wrong: this needs the server's read-token.");
});
