import assert from "node:assert/strict";
import { test } from "node:test";
import { commands } from "../../istat_server/ui/panels/welcome.js";

test("an empty page names the server's own port", () => {
  assert.deepEqual(commands({ listening: { "stat-port": 9111 } }, "stats.example.net", "http://stats.example.net:9000/"), {
    agent: "istat-agent --server stats.example.net:9111",
    send: "istat send --to stats.example.net:9111 --server http://stats.example.net:9000 my.first.counter 42",
    netcat: 'echo "my.first.counter 42" | nc -q0 stats.example.net 9111',
  });
  assert.equal(commands({}, "", "").agent, "istat-agent --server localhost:8111");
  const { send, netcat } = commands({ listening: { "stat-port": 1 } }, "[::1]", "http://[::1]:2/");
  assert.ok(send.includes("--to [::1]:1 ") && netcat.endsWith("nc -q0 ::1 1"));
});
