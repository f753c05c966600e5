/** The panel of the server's own figures: what it holds, writes, has still to do and has refused. */

/** @import {Api} from "../api.js" */
import { byId, el } from "../dom.js";
import { formatAge, formatValue } from "../format.js";

/** Period while the panel is open [ms]. */
const PERIOD = 2000;
const COUNT = { symbol: "", base: /** @type {1000} */ (1000), perSecond: false };
const BYTES = { symbol: "B", base: /** @type {1024} */ (1024), perSecond: false };

/** `note` is shown on pointing at a row, `cure` below it, and below that a line each of `who`. */
/** @typedef {{label: string, value: string, note?: string, cure?: string, who?: string[], bad?: boolean}} Row */
/** @typedef {{title: string, rows: Row[]}} Section */

/** @param {unknown} value */
const number = (value) => Number(value ?? 0);
/** Exact below ten thousand, then as short as elsewhere. @param {unknown} value */
const count = (value) => number(value) < 10000 ? number(value).toLocaleString("en") : formatValue(number(value), COUNT);
/** @param {unknown} value */
const bytes = (value) => formatValue(number(value), BYTES);

/** "0.25 s", "2 min 10 s", "3 d 4 h". @param {number} seconds */
export function formatSpan(seconds) {
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 1 ? 3 : 1))}\u00a0s`;
  const units = /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]);
  const at = units.findIndex(([, size]) => seconds >= size);
  const [unit, size] = units[at];
  const rest = at + 1 < units.length ? Math.floor((seconds % size) / units[at + 1][1]) : 0;
  return `${Math.floor(seconds / size)}\u00a0${unit}` + (rest ? ` ${rest}\u00a0${units[at + 1][0]}` : "");
}

/** How old what a replica has is. @param {number} seconds  below 0: not known */
export function formatLag(seconds) {
  if (!(seconds >= 0)) return "not known how far behind";
  return seconds === 0 ? "up to date" : `${formatSpan(seconds)} behind`;
}

/** How much of a new copy of the master is there. @param {{bytes: number, of: number}} copying */
const copied = ({ bytes: done, of: all }) => `${bytes(done)} of ${bytes(all)}`;

/** What the server says is wrong and what helps, in its own words, as `istat status` says it; an agent's name stays as it is.
 * @param {any} status @returns {string[]} */
export function problems(status) {
  const agents = (status.failing ?? []).map((/** @type {any} */ row) => `${row.agent}: `);
  if (Array.isArray(status.problems)) {
    return status.problems.map(String).map((/** @type {string} */ text) =>
      agents.some((/** @type {string} */ name) => text.startsWith(name)) ? text : sentence(text));
  }
  const store = status.store ?? {};   // of an older server: no cures
  return ["refusing", "flush_problem", "work_problem", "expiry_problem"].map((key) => String(store[key] ?? "")).filter(Boolean);
}

/** @param {string} text */
const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Senders that are told of each kind of mistake, as `istat status` does. */
const WRONG = 3;

/** Who made mistakes of a kind, with an example, and what was probably meant. @param {any} status @param {string} kind */
function complaints(status, kind) {
  const all = (status.refused_by ?? []).filter((/** @type {any} */ row) => row.kind === kind);
  const told = all.slice(0, WRONG).map((/** @type {any} */ row) => {
    const where = [row.transport, row.address].filter(Boolean).join(", ");
    const wrong = row.wrong ? ` – ${row.wrong}${row.meant ? `; write: ${row.meant}` : ""}` : "";
    return `${row.sender}${where ? ` (${where})` : ""}: ${count(row.count)}, the last ${formatAge(number(status.time) - number(row.last))}`
      + `${row.example ? `: ${row.example}` : ""}${wrong}`;
  });
  return all.length > WRONG ? [...told, `and ${all.length - WRONG} more lately`] : told;
}

/** What was refused, the most first, with what it is, what helps, and of whom. @param {any} status @returns {Row[]} */
function refusals(status) {
  const help = status.refused_help ?? {};
  const rows = Object.entries(status.refused ?? {}).filter(([, times]) => number(times) > 0)
    .sort((a, b) => number(b[1]) - number(a[1]))
    .map(([kind, times]) => {
      const { what = "", cure = "" } = help[kind] ?? {};
      return { label: kind.replaceAll("_", " "), value: count(times), bad: true, cure: sentence([what, cure].filter(Boolean).join("; ")),
        who: complaints(status, kind) };
    });
  const lost = number(status.ingest?.["udp.drops"]);
  if (lost) {
    rows.push({ label: "datagrams lost", value: count(lost), bad: true,
      who: [], cure: "The UDP receive buffer was full; make it larger (udp-buffer-size, and net.core.rmem_max of the server's machine)" });
  }
  return rows.length ? rows : [{ label: "Nothing", value: "", bad: false, cure: "", who: [] }];
}

/** @typedef {[string, string, unknown, ((value: any) => string)?, string?]} Figure  label, key, value, how it is shown, note */

/** A master's replicas, and how far each is. @param {any} status @returns {Figure[]} */
function replicas(status) {
  return Object.entries(status.replicas ?? {}).map(([name, lag]) => [`Its replica ${name}`, "replicas", number(lag), formatLag]);
}

/** What each group of targets has not acknowledged, what is lost, and how full the spool is. @param {any} status @returns {Figure[]} */
function forwarding(status) {
  const { groups = [], totals = {}, spool_bytes, spool_most_bytes: most } = status.forward ?? {};
  const lost = Object.entries(totals).filter(([name]) => name.startsWith("forward.lost.")).reduce((sum, [, lines]) => sum + number(lines), 0);
  /** @type {Figure[]} */
  const rows = groups.map((/** @type {any} */ group) => [group.in_use || `${group.name} is away`, "groups", group, waiting, "lines not acknowledged, and those lost since the spool was made"]);
  return status.forward ? [...rows, ["Lines lost", "lost", lost, count, "since the start, of all groups"],
    ["Spool", "spool_bytes", spool_bytes, (size) => bytes(size) + (most ? ` of ${bytes(most)}` : "")]] : [];
}

/** @param {any} group */
const waiting = (group) => (number(group.waiting_lines) === 0 ? "up to date"
  : `${count(group.waiting_lines)} lines, ${formatSpan(Math.round(number(group.waiting_seconds)))} behind`)
  + (number(group.lost_lines) ? `, ${count(group.lost_lines)} lost` : "");

/** The figures in groups; what the server does not tell is left out. @param {any} status @returns {Section[]} */
export function sections(status) {
  const store = status.store ?? {};
  const asked = number(store.cache_hits) + number(store.cache_misses);
  /** @type {[string, Figure[]][]} */
  const groups = [
    ["Replica", [
      ["Of", "master", store.replica?.master, String],
      ["It is", "lag", store.replica?.lag, formatLag, "what it has is so old"],
      ["A new copy is made", "copying", store.replica?.copying, copied],
      ["Its place was taken by", "fenced", store.fenced || undefined, String, "this server is fenced: it takes nothing any more"],
      ["Former master that has not heard of it", "deposed", store.deposed || undefined, String],
      ...replicas(status),
    ]],
    ["Forwarding", forwarding(status)],
    ["Counters", [
      ["There now", "counters", store.counters],
      ["Deleted, can come back", "deleted_waiting", store.deleted_waiting],
      ["Gone for good", "counters_gone", number(store.counters_gone) + number(store.counters_retired)],
      ["Spellings of known names", "names_folded", store.names_folded],
    ]],
    ["In memory", [
      ["Head", "head_bytes", store.head_bytes, bytes, "samples that are in the journal and in no file yet"],
      ["Names and head", "memory_bytes", store.memory_bytes, bytes],
      ["Cache hits", "cache_hits", asked ? number(store.cache_hits) / asked : undefined, (share) => `${Math.round(100 * share)}\u00a0%`],
    ]],
    ["On disk", [
      ["Files", "files", store.files],
      ["Their size", "file_bytes", store.file_bytes, bytes],
      ["Written a sample", "written_per_sample", store.written_per_sample, (each) => `${Number(Number(each).toFixed(1))}\u00a0B`, "journal and files, since the start"],
      ["Oldest sample not synced", "unsynced_seconds", store.unsynced_seconds, formatSpan],
    ]],
    ["Work", [
      ["Last flush took", "flush_seconds", store.flush_seconds, formatSpan],
      ["Files to be merged", "debt_files", store.debt_files],
      ["Their size", "debt_bytes", store.debt_bytes, bytes],
      ["Up for", "uptime", status.uptime, formatSpan],
    ]],
  ];
  /** @type {Section[]} */
  const made = groups.map(([title, rows]) => ({
    title,
    rows: rows.filter(([, , value]) => value !== undefined && value !== null)
      .map(([label, , value, show = count, note]) => ({ label, value: show(value), note })),
  }));
  made.push({ title: "Refused", rows: refusals(status) });
  return made.filter((section) => section.rows.length);
}

export class StatusPanel {
  #timer = 0;

  /** @param {Api} api @param {{error: (error: unknown) => void}} on */
  constructor(api, on) {
    this.api = api;
    this.on = on;
    this.dialog = byId("server-status");
    byId("status-button").addEventListener("click", () => this.open());
    this.dialog.addEventListener("close", () => clearTimeout(this.#timer));
  }

  open() {
    this.dialog.showModal();
    this.#poll();
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      this.#show(await this.api.status());
    } catch (error) {
      this.on.error(error);
    }
    if (this.dialog.open) this.#timer = window.setTimeout(() => this.#poll(), PERIOD);
  }

  /** @param {any} status */
  #show(status) {
    const wrong = problems(status);
    byId("status-problems").replaceChildren(...wrong.map((text) => el("li", {}, text)));
    byId("status-problems").hidden = wrong.length === 0;
    byId("status-sections").replaceChildren(...sections(status).map((section) => el("section", {},
      el("h3", {}, section.title),
      el("dl", {}, ...section.rows.map((row) => el("div", { title: row.note ?? "" },
        el("dt", {}, row.label), el("dd", { class: row.bad ? "bad" : "" }, row.value),
        row.cure ? el("dd", { class: "cure" }, row.cure) : null,
        ...(row.who ?? []).map((text) => el("dd", { class: "cure mono" }, text))))))));
  }
}
