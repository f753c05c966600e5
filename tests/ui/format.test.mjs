import assert from "node:assert/strict";
import { test } from "node:test";
import { axisSteps, formatAge, formatValue, shortLabels, splitName, timeLabels, titleOf, unitOf } from "../../istat_server/ui/format.js";

/** @param {number} value @param {string} name @param {string} [kind] */
const shown = (value, name, kind = "gauge") => formatValue(value, unitOf(name, kind)).replaceAll("\u00a0", " ");

test("units follow from names where they leave no doubt", () => {
  assert.equal(shown(12.345, "cpu.user.host.web1"), "12.3 %");
  assert.equal(shown(12.345, "cpu.core12.iowait.host.web1"), "12.3 %");
  assert.equal(shown(8, "cpu.count.host.web1"), "8");
  assert.equal(shown(1536, "memory.used_bytes.host.a"), "1.5 KiB");
  assert.equal(shown(2 ** 40, "memory.total.host.a"), "1 TiB");
  assert.equal(shown(99.5, "disk.space.root.used_percent.host.a"), "99.5 %");
  assert.equal(shown(2097152, "network.eth0.rx_bytes.host.a"), "2 MiB/s");
  assert.equal(shown(1048576, "disk.space.root.used_bytes.host.a"), "1 MiB");
  assert.equal(shown(250, "disk.sda.busy_ms"), "250 ms/s");
  assert.equal(shown(1234, "web.requests", "event"), "1.23 k/s");
  assert.equal(shown(3, "web.requests", "event"), "3/s");
  assert.equal(shown(0.4, "load.min1"), "0.4");
  assert.equal(shown(1e6, "job.run_ms"), "1000000 ms");
});

test("three digits, right prefixes at the edges", () => {
  assert.equal(shown(0, "x"), "0");
  assert.equal(shown(999.7, "x"), "1 k");
  assert.equal(shown(1023.9, "x.bytes"), "1 KiB");
  assert.equal(shown(-1500, "x"), "−1.5 k");
  assert.equal(shown(0.00012, "x"), "120 µ");
  assert.equal(shown(NaN, "x"), "–");
  assert.equal(shown(1e21, "x"), "1000 E");
});

test("numbers that no prefix is for", () => {
  assert.equal(shown(-1e20, "x"), "−100 E");
  assert.equal(shown(1e308, "x"), "1e308");
  assert.equal(shown(-1.2345e99, "x.bytes"), "−1.23e99 B");
  assert.equal(shown(1e-300, "x"), "1e-300");
  assert.equal(shown(12345678901, "job.run_ms"), "1.23e10 ms");
});

test("a binary axis has marks at powers of two", () => {
  assert.ok(axisSteps(unitOf("a.bytes", "gauge")).includes(2 ** 30));
  assert.deepEqual(axisSteps(unitOf("a", "gauge")).slice(27, 31), [1, 2, 5, 10]);
});

test("a name is what is counted, and where", () => {
  assert.deepEqual(splitName("cpu.user.host.web1"), { base: "cpu.user", suffix: "host.web1" });
  assert.deepEqual(splitName("host.up"), { base: "host.up", suffix: "" });
});

test("labels keep only what differs", () => {
  assert.deepEqual(shortLabels(["cpu.user.host.a", "cpu.idle.host.a"]), ["user", "idle"]);
  assert.deepEqual(shortLabels(["cpu.user.host.a", "cpu.user.host.b"]), ["a", "b"]);
  assert.deepEqual(shortLabels(["net.e.rx_bytes.host.a", "net.e.tx_bytes.host.a"]), ["rx", "tx"]);
  assert.deepEqual(shortLabels(["cpu.user.host.a"]), ["cpu.user"]);
  assert.deepEqual(shortLabels(["a.b", "a.b.c"]), ["b", "b.c"]);
  assert.deepEqual(shortLabels(["a", "a.b"]), ["a", "a.b"]);
});

test("titles", () => {
  assert.deepEqual(titleOf(["cpu.user.host.a", "cpu.system.host.a"]), { title: "CPU", detail: "a" });
  assert.deepEqual(titleOf(["network.eth0.rx_bytes.host.a", "network.eth0.tx_bytes.host.a"]), { title: "Network eth0", detail: "a" });
  assert.deepEqual(titleOf(["cpu.user.host.a", "cpu.user.host.b"]), { title: "cpu.user", detail: "" });
  assert.deepEqual(titleOf(["cpu.user.class.web"]), { title: "cpu.user", detail: "class.web" });
  assert.deepEqual(titleOf(["localstat.cpu.user.host.a", "cpu.steal.host.a"]), { title: "CPU", detail: "a" });
  assert.deepEqual(titleOf(["localstat.net.eth0.rx.host.a", "localstat.net.eth0.tx.host.a"]).title, "Network eth0");
  assert.deepEqual(titleOf(["memory.used_bytes.host.a", "localstat.mem.total.host.a"]).title, "Memory");
  assert.deepEqual(titleOf(["localstat.cpu.user.host.a"]).title, "localstat.cpu.user");
  assert.deepEqual(titleOf(["a.b", "c.d"]), { title: "2 counters", detail: "" });
  assert.deepEqual(titleOf(["disk.space.root.used_percent.host.a", "disk.space.var.used_percent.host.a"]).title, "Disk space used percent");
});

test("the day is written once, and at midnight", () => {
  const midnight = new Date(2026, 10, 22).getTime() / 1000;
  assert.deepEqual(timeLabels([midnight - 3600, midnight, midnight + 3600], 3600), ["23:00\n21 Nov", "00:00\n22 Nov", "01:00"]);
  assert.deepEqual(timeLabels([midnight + 30], 30), ["00:00:30\n22 Nov"]);
  assert.deepEqual(timeLabels([midnight], 86400), ["22 Nov"]);
});

test("ages", () => {
  assert.deepEqual([1, 40, 600, 7200, 864000].map(formatAge), ["just now", "40 s ago", "10 min ago", "2 h ago", "10 days ago"]);
});
