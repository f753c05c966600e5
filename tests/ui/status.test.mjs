import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSpan, problems, sections } from "../../istat_server/ui/panels/status.js";

/** @param {string} text */
const plain = (text) => text.replaceAll("\u00a0", " ");
const STATUS = {
  uptime: 90061,
  refused: { bad_number: 3, from_past: 0, name_too_long: 12000 },
  store: {
    counters: 1234567, deleted_waiting: 12, counters_gone: 5, counters_retired: 2, names_folded: 9, head_bytes: 3 << 20,
    memory_bytes: 1 << 30, cache_hits: 3, cache_misses: 1, files: 17, file_bytes: 123456789, written_per_sample: 14.26,
    unsynced_seconds: 0.4123, flush_seconds: 130.2, debt_files: 3, debt_bytes: 2048, refusing: "", expiry_problem: "the clock went on",
  },
};

test("figures are grouped, with units", () => {
  const shown = Object.fromEntries(sections(STATUS).map(({ title, rows }) =>
    [title, Object.fromEntries(rows.map(({ label, value }) => [label, plain(value)]))]));
  assert.deepEqual(shown, {
    "Counters": { "There now": "1.23 M", "Deleted, can come back": "12", "Gone for good": "7", "Spellings of known names": "9" },
    "In memory": { "Head": "3 MiB", "Names and head": "1 GiB", "Cache hits": "75 %" },
    "On disk": { "Files": "17", "Their size": "118 MiB", "Written a sample": "14.3 B", "Oldest sample not synced": "0.412 s" },
    "Work": { "Last flush took": "2 min 10 s", "Files to be merged": "3", "Their size": "2 KiB", "Up for": "1 d 1 h" },
    "Refused": { "name too long": "12 k", "bad number": "3" },
  });
});

test("a replica, a fenced server and a new master are told first", () => {
  const shown = (/** @type {any} */ store) => sections({ store }).filter(({ title }) => title === "Replica")
    .flatMap(({ rows }) => rows.map(({ label, value }) => `${label}: ${plain(value)}`));
  assert.deepEqual(shown({ replica: { master: "http://one:8000", lag: 2.5, copying: { bytes: 1 << 20, of: 3 << 20 } }, fenced: "" }),
    ["Of: http://one:8000", "It is: 2.5 s behind", "A new copy is made: 1 MiB of 3 MiB"]);
  assert.deepEqual(shown({ replica: {}, fenced: "http://two:8000", deposed: "" }), ["Its place was taken by: http://two:8000"]);
  assert.deepEqual(shown({ deposed: "http://one:8000" }), ["Former master that has not heard of it: http://one:8000"]);
  assert.deepEqual(shown({ fenced: "", deposed: "" }), []);
});

test("a master tells how far its replicas are, and who forwards how far its targets are, what is lost and how full the spool is", () => {
  const shown = (/** @type {any} */ status, /** @type {string} */ wanted) => sections(status).filter(({ title }) => title === wanted)
    .flatMap(({ rows }) => rows.map(({ label, value }) => `${label}: ${plain(value)}`));
  assert.deepEqual(shown({ replicas: { two: 0, three: 90.4 } }, "Replica"), ["Its replica two: up to date", "Its replica three: 1 min 30 s behind"]);
  const forward = {
    groups: [{ name: "a:1 | b:1", in_use: "b:1", waiting_lines: 0, waiting_seconds: 0 },
      { name: "c:1", in_use: "", waiting_lines: 1200, waiting_seconds: 61.2, lost_lines: 30 }],
    totals: { "forward.lines": 5, "forward.lost.bytes": 30, "forward.lost.age": 4 }, spool_bytes: 3 << 20, spool_most_bytes: 16 << 20,
  };
  assert.deepEqual(shown({ forward }, "Forwarding"),
    ["b:1: up to date", "c:1 is away: 1,200 lines, 1 min 1 s behind, 30 lost", "Lines lost: 34", "Spool: 3 MiB of 16 MiB"]);
  assert.deepEqual(shown({}, "Forwarding"), []);
});

test("what was refused is told with what helps", () => {
  const status = { ...STATUS, ingest: { "udp.drops": 2 }, refused_help: { bad_number: { what: "no number", cure: "write one" } } };
  const rows = sections(status).at(-1)?.rows ?? [];
  assert.deepEqual(rows.map(({ label, cure }) => [label, (cure ?? "").slice(0, 22)]), [
    ["name too long", ""], ["bad number", "No number; write one"], ["datagrams lost", "The UDP receive buffer"]]);
});

test("who was refused is told with an example and what was meant, the last three of a kind", () => {
  const row = { kind: "bad_number", sender: "web1", transport: "udp", address: "10.0.0.1:5", count: 2, last: 940,
    example: "a 1700000000 b", wrong: "the time comes first", meant: "a b 1700000000" };
  const status = { time: 1000, refused: { bad_number: 9 }, refused_by: [row, { ...row, address: "", transport: "", wrong: "" }, row, row, { ...row, kind: "x" }] };
  assert.deepEqual(sections(status).at(-1)?.rows[0].who, [
    "web1 (udp, 10.0.0.1:5): 2, the last 60 s ago: a 1700000000 b – the time comes first; write: a b 1700000000",
    "web1: 2, the last 60 s ago: a 1700000000 b",
    "web1 (udp, 10.0.0.1:5): 2, the last 60 s ago: a 1700000000 b – the time comes first; write: a b 1700000000",
    "and 1 more lately"]);
});

test("what is not told is left out, and nothing refused is said", () => {
  assert.deepEqual(sections({ store: { files: 2 } }).map(({ title }) => title), ["Counters", "On disk", "Refused"]);
  assert.equal(sections({}).at(-1)?.rows[0].label, "Nothing");
});

test("problems are the server's own words", () => {
  assert.deepEqual(problems({ problems: ["only 3 MiB of the disk are free; make room"], store: { refusing: "x" } }),
    ["Only 3 MiB of the disk are free; make room"]);
  assert.deepEqual(problems(STATUS), ["the clock went on"]);
  assert.deepEqual(problems({}), []);
});

test("spans have two units at most", () => {
  assert.deepEqual([0, 0.25, 59.96, 60, 3600, 86400 * 3].map(formatSpan).map(plain), ["0 s", "0.25 s", "60 s", "1 min", "1 h", "3 d"]);
});

test("collectors that fail at agents are told by the agents' names", () => {
  const status = { problems: ["the disk is full", "plugtest: exec:check_x fails: no such file"], failing: [{ agent: "plugtest" }] };
  assert.deepEqual(problems(status), ["The disk is full", "plugtest: exec:check_x fails: no such file"]);
});
