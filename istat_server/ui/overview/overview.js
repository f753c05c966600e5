/**
 * Which charts to show for a host before anybody has picked any: a choice over the names that its agent
 * sends. Pure; what a host does not send is left out.
 */

/** Devices that say little about a machine: loop-back, RAM disks, containers' ends of cables. */
const DULL_DEVICE = /^(lo\d*|loop\d+|ram\d+|zram\d+|sr\d+|fd\d+|dummy\d*|ifb\d+|sit\d+|gre.*|erspan.*|veth.*|docker\d*|br-.*|virbr.*|tun\d+|tap\d+)$/;
/** Most devices of one sort in the overview; the tree has the others. */
const MOST_DEVICES = 2;
/** Most lines in one chart of the overview. */
const MOST_LINES = 8;

/** Each entry: counters (without host) that share one chart. */
const FIXED = [
  ["cpu.user", "cpu.system", "cpu.iowait", "cpu.steal"],
  ["load.min1", "load.min5", "load.min15"],
  ["memory.used_bytes", "memory.available_bytes", "memory.total_bytes"],
  ["memory.used", "memory.available", "memory.total"],
];
/** Per device: `network.eth0.rx_bytes` -> sort `network`, device `eth0`, what `rx_bytes`. */
const PER_DEVICE = [
  { sort: "network", what: ["rx_bytes", "tx_bytes"] },
  { sort: "net", what: ["rx_bytes", "tx_bytes"] },
  { sort: "disk", what: ["read_bytes", "write_bytes"] },
];
/** One chart over all devices. */
const OVER_DEVICES = [
  { sort: "disk", what: "busy_ms" },
  { sort: "disk.space", what: "used_percent" },
  { sort: "space", what: "used_percent" },
];
const LAST = [
  ["processes.running", "processes.blocked"],
  ["processes.total", "processes.threads"],
  ["swap.in_bytes", "swap.out_bytes"],
];
/** What a counter is called where agents have istatd's names (`naming = "istatd"`). */
const ISTATDS = {
  "cpu.user": "localstat.cpu.user",
  "cpu.system": "localstat.cpu.kernel",
  "cpu.iowait": "localstat.cpu.iowait",
  "load.min1": "localstat.load.min1",
  "load.min5": "localstat.load.min5",
  "load.min15": "localstat.load.min15",
  "memory.used_bytes": "localstat.mem.used",
  "memory.total_bytes": "localstat.mem.total",
  "processes.running": "localstat.process.running",
  "processes.total": "localstat.process.total",
};
/** The same for devices, of whose sort there are none by our names. */
const ISTATDS_DEVICES = [
  { sort: "localstat.net", what: ["rx", "tx"], ours: { sort: "network", what: "rx_bytes" } },
  { sort: "localstat.disk", what: ["read", "write"], ours: { sort: "disk", what: "read_bytes" } },
];

/** The host that a counter is of, or "". A label has no dots, as agents write it. @param {string} name */
export function hostOf(name) {
  return /^.+\.host\.([^.]+)$/.exec(name)?.[1] ?? "";
}

/** A machine's name as agents may write it into counter names: `web1.example.net` sends as `web1`, or as
 * `web1_example_net`. @param {string} name @returns {string[]} */
export function hostLabels(name) {
  const label = (/** @type {string} */ text) => text.toLowerCase().replace(/[^a-z0-9_-]/g, "_");
  return [...new Set([name, label(name), label(name.split(".")[0])])].filter(Boolean);
}

/** Devices of a sort, the interesting ones first. @param {Set<string>} bases @param {string} sort @param {string} what */
function devices(bases, sort, what) {
  const found = [];
  for (const base of bases) {
    if (base.startsWith(sort + ".") && base.endsWith("." + what)) {
      found.push(base.slice(sort.length + 1, -what.length - 1));
    }
  }
  found.sort();
  const good = found.filter((device) => !DULL_DEVICE.test(device));
  return good.length ? good : found;
}

/** Partitions (sda1, nvme0n1p2) repeat what their disk says. @param {string[]} found */
function wholeDisks(found) {
  const all = new Set(found);
  return found.filter((device) => {
    const part = /^(.*\d)p\d+$/.exec(device) ?? /^([a-z]+)\d+$/.exec(device);
    return !part || !all.has(part[1]);
  });
}

/** The default charts of one host.
 * @param {string} host @param {string[]} names  all counters of that host @returns {string[][]} */
export function overviewCharts(host, names) {
  const tail = `.host.${host}`;
  const bases = new Set(names.filter((name) => name.endsWith(tail)).map((name) => name.slice(0, -tail.length)));
  /** @type {string[][]} */
  const charts = [];
  /** @param {string[]} wanted */
  const add = (wanted) => {
    const there = wanted.map((base) => bases.has(base) ? base : (ISTATDS[/** @type {keyof ISTATDS} */ (base)] ?? ""))
      .filter((base) => bases.has(base)).slice(0, MOST_LINES);
    if (there.length) charts.push(there.map((base) => base + tail));
  };
  FIXED.forEach(add);
  const istatds = ISTATDS_DEVICES.filter(({ ours }) => !devices(bases, ours.sort, ours.what).length);
  for (const { sort, what } of [...PER_DEVICE, ...istatds]) {
    for (const device of wholeDisks(devices(bases, sort, what[0])).slice(0, MOST_DEVICES)) {
      add(what.map((one) => `${sort}.${device}.${one}`));
    }
  }
  for (const { sort, what } of OVER_DEVICES) {
    add(wholeDisks(devices(bases, sort, what)).map((device) => `${sort}.${device}.${what}`));
  }
  LAST.forEach(add);
  return charts.length ? charts : [...bases].sort().slice(0, MOST_LINES).map((base) => [base + tail]);
}

/** Charts for a store without hosts: its first counters, one each; the server's own only if asked.
 * @param {string[]} names @returns {string[][]} */
export function plainCharts(names) {
  return names.filter((name) => !name.startsWith("istatd.")).slice(0, MOST_LINES).map((name) => [name]);
}
