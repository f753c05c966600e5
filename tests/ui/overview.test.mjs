import assert from "node:assert/strict";
import { test } from "node:test";
import { figures, presence, standing, whence } from "../../istat_server/ui/panels/agents.js";
import { hostLabels, hostOf, overviewCharts, plainCharts } from "../../istat_server/ui/overview/overview.js";
import { OverviewSource } from "../../istat_server/ui/overview/source.js";

/** @param {...string} bases */
const of = (...bases) => bases.map((base) => `${base}.host.h1`);

test("the overview of a host: what it sends, interesting devices first", () => {
  const charts = overviewCharts("h1", [
    ...of("cpu.user", "cpu.system", "cpu.idle", "load.min1", "load.min5", "memory.used_bytes", "memory.total_bytes"),
    ...of("network.lo.rx_bytes", "network.lo.tx_bytes", "network.eth0.rx_bytes", "network.eth0.tx_bytes"),
    ...of("disk.sda.read_bytes", "disk.sda.write_bytes", "disk.sda.busy_ms", "disk.sda1.read_bytes", "disk.sda1.busy_ms"),
    ...of("disk.space.root.used_percent", "disk.space.var.used_percent", "processes.total"),
    "cpu.user.host.h2", "cpu.user.class.web",
  ]);
  assert.deepEqual(charts, [
    of("cpu.user", "cpu.system"), of("load.min1", "load.min5"), of("memory.used_bytes", "memory.total_bytes"),
    of("network.eth0.rx_bytes", "network.eth0.tx_bytes"), of("disk.sda.read_bytes", "disk.sda.write_bytes"),
    of("disk.sda.busy_ms"), of("disk.space.root.used_percent", "disk.space.var.used_percent"), of("processes.total"),
  ]);
});

test("a host whose agent has istatd's names shows the same charts", () => {
  const mixed = of("cpu.steal", "localstat.cpu.user", "localstat.cpu.kernel", "localstat.cpu.iowait", "localstat.load.min1",
    "localstat.load.min5", "memory.used_bytes", "memory.available_bytes", "localstat.mem.used", "localstat.mem.total",
    "localstat.net.lo.rx", "localstat.net.lo.tx", "localstat.net.eth0.rx", "localstat.net.eth0.tx",
    "localstat.disk.sda.read", "localstat.disk.sda.write", "disk.sda.busy_ms", "localstat.process.running", "processes.blocked");
  assert.deepEqual(overviewCharts("h1", mixed), [
    of("localstat.cpu.user", "localstat.cpu.kernel", "localstat.cpu.iowait", "cpu.steal"),
    of("localstat.load.min1", "localstat.load.min5"), of("memory.used_bytes", "memory.available_bytes", "localstat.mem.total"),
    of("localstat.net.eth0.rx", "localstat.net.eth0.tx"), of("localstat.disk.sda.read", "localstat.disk.sda.write"),
    of("disk.sda.busy_ms"), of("localstat.process.running", "processes.blocked"),
  ]);
  const both = of("cpu.user", "localstat.cpu.user", "network.eth0.rx_bytes", "localstat.net.eth0.rx");
  assert.deepEqual(overviewCharts("h1", both), [of("cpu.user"), of("network.eth0.rx_bytes")], "ours where both are");
});

test("a host of istatd's alone is found", async () => {
  const source = serving(["localstat.cpu.user.host.old", "localstat.cpu.idle.host.old"], { lively: ["localstat.cpu.user.host.old"] });
  assert.deepEqual(await source.charts(""), [["localstat.cpu.user.host.old"]]);
  assert.equal(source.host, "old");
});

test("a machine with a loop-back only shows that; unknown counters are shown one by one", () => {
  assert.deepEqual(overviewCharts("h1", of("network.lo.rx_bytes")), [of("network.lo.rx_bytes")]);
  assert.deepEqual(overviewCharts("h1", of("b", "a")), [of("a"), of("b")]);
});

test("a replica says whose it is and how old what it has is", () => {
  const replica = { master: "https://stats1:8000", lag: 0, following: true, problem: "" };
  const told = (/** @type {any} */ more) => standing({ store: { replica: { ...replica, ...more } } });
  assert.deepEqual(told({}), { text: "replica of stats1:8000, up to date", why: "", bad: false });
  const late = told({ lag: 90.2, following: false, problem: "it is away" });
  assert.deepEqual({ ...late, text: late.text.replaceAll("\u00a0", " ") },
    { text: "replica of stats1:8000, 1 min 30 s behind", why: "it is away", bad: true });
  assert.equal(told({ lag: -1 }).text, "replica of stats1:8000, not known how far behind");
  assert.deepEqual(standing({ store: { fenced: "http://stats2:8000", replica: {} } }),
    { text: "fenced", why: "http://stats2:8000 has taken this server's place", bad: true });
  assert.equal(standing({ store: { replica: {} } }).text + standing({}).text, "");
});

test("hosts", () => {
  assert.deepEqual(["cpu.user.host.b", "a.host.b.c", "host.b", "a.hosts.b"].map(hostOf), ["b", "", "", ""]);
  assert.deepEqual(hostLabels("Web1.example.net"), ["Web1.example.net", "web1_example_net", "web1"]);
  assert.deepEqual(hostLabels("web1"), ["web1"]);
});

/** A server that has these counters. @param {string[]} names @param {{online?: any[], lively?: string[]}} [told] */
function serving(names, { online = [], lively = [] } = {}) {
  const api = {
    names: async (/** @type {string} */ match, /** @type {number} */ limit) => {
      const fits = new RegExp(`^${match.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
      return { names: names.filter((name) => fits.test(name)).slice(0, limit).map((name) => ({ name, kind: "gauge" })), truncated: false };
    },
    agents: async () => online,
    series: async (/** @type {string[]} */ asked) => ({
      series: asked.map((name) => ({ name, avg: [lively.includes(name) ? 1 : null] })), missing: [] }),
    now: () => 1000,
  };
  return new OverviewSource(/** @type {any} */ (api));
}

test("a host is what sends as one, whatever it sends", async () => {
  const source = serving(["cpu.user.host.vm", "disks.ok.host.plugtest", "disks.bad.host.plugtest"]);
  assert.deepEqual(await source.charts("plugtest"), [["disks.bad.host.plugtest"], ["disks.ok.host.plugtest"]]);
  assert.deepEqual([source.host, source.unknown, source.hosts], ["plugtest", "", ["plugtest", "vm"]]);
  assert.deepEqual(await source.charts("Plugtest.example.net"), [["disks.bad.host.plugtest"], ["disks.ok.host.plugtest"]]);
  assert.equal(source.host, "plugtest");
});

test("a host of which nothing is there is not another one", async () => {
  const source = serving(["cpu.user.host.vm"]);
  assert.deepEqual(await source.charts("gone"), []);
  assert.deepEqual([source.host, source.unknown, source.hosts], ["gone", "gone", ["vm"]]);
  assert.deepEqual(await source.charts("v*"), [], "a name is no pattern");
  source.host = "";
  assert.deepEqual(await source.charts(""), [["cpu.user.host.vm"]]);
  assert.equal(source.unknown, "");
});

test("the overview is of a host that lives", async () => {
  const names = ["cpu.user.host.a", "cpu.user.host.b", "cpu.user.host.c"];
  /** @param {{online?: any[], lively?: string[]}} told */
  const chosen = async (told) => {
    const source = serving(names, told);
    await source.charts("");
    return source.host;
  };
  const [near, far] = [{ name: "a", address: "127.0.0.1:5" }, { name: "B.example.net", address: "10.0.0.2:5" }];
  assert.equal(await chosen({ online: [{ ...far, online: true }, { ...near, online: true }] }), "a");
  assert.equal(await chosen({ online: [{ ...far, online: true }, { ...near, online: false }] }), "b");
  assert.equal(await chosen({ lively: ["cpu.user.host.c"] }), "c");
  assert.equal(await chosen({}), "a");
});

test("a store without hosts shows its counters, not the server's own", () => {
  assert.deepEqual(plainCharts(["istatd.http.requests", "a", "b"]), [["a"], ["b"]]);
});

test("the status line's figures", () => {
  const status = { version: "0.1.0", counters: 7, ingest: { samples_per_second: 4.2 }, refused: { bad: 1, late: 2 } };
  assert.deepEqual(figures(status), { counters: 7, rate: 4.2, refused: 3, version: "0.1.0" });
  assert.deepEqual(figures({}), { counters: 0, rate: null, refused: 0, version: "" });
});

test("who is told of by a forwarder, and who is kept out, is said", () => {
  const agent = { name: "db1", address: "10.1.0.7:5000", version: "2", last_seen: 0, online: true, transport: "tcp" };
  assert.deepEqual([whence(agent), presence(agent)], ["10.1.0.7:5000", "online"]);
  assert.equal(whence({ ...agent, via: "relay1" }), "10.1.0.7:5000 via relay1");
  const barred = { ...agent, online: false, blacklisted: true };
  assert.deepEqual([whence(barred), presence(barred)], ["10.1.0.7:5000 (on the blacklist)", "on the blacklist"]);
});
