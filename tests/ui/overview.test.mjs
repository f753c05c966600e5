import assert from "node:assert/strict";
import { test } from "node:test";
import { figures } from "../../istat_server/ui/panels/agents.js";
import { hostLabel, hostsOf, overviewCharts, plainCharts } from "../../istat_server/ui/overview/overview.js";

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

test("a machine with a loop-back only shows that; unknown counters are shown one by one", () => {
  assert.deepEqual(overviewCharts("h1", of("network.lo.rx_bytes")), [of("network.lo.rx_bytes")]);
  assert.deepEqual(overviewCharts("h1", of("b", "a")), [of("a"), of("b")]);
});

test("hosts", () => {
  assert.deepEqual(hostsOf(["cpu.user.host.b", "cpu.user.host.a", "x.cpu.user.host.c"], "cpu.user"), ["a", "b"]);
  assert.equal(hostLabel("Web1.example.net", ["web1"]), "web1");
  assert.equal(hostLabel("Web1.example.net", ["web1_example_net"]), "web1_example_net");
  assert.equal(hostLabel("nobody", []), "nobody");
});

test("a store without hosts shows its counters, not the server's own", () => {
  assert.deepEqual(plainCharts(["istatd.http.requests", "a", "b"]), [["a"], ["b"]]);
});

test("the status line's figures", () => {
  const status = { version: "0.1.0", counters: 7, ingest: { samples: 42 }, refused: { bad: 1, late: 2 } };
  assert.deepEqual(figures(status), { counters: 7, samples: 42, refused: 3, version: "0.1.0" });
  assert.deepEqual(figures({}), { counters: 0, samples: 0, refused: 0, version: "" });
});
