"""The status in plain words: what a person reads of a server that is well, of one that is not, and of an older one."""

from __future__ import annotations

from typing import Any

import pytest

from istat.cli.report import LOST, report, unreachable
from istat.cli.systemctl import Unit
from istat.spool.losses import REASONS

NOW = 1325395000.0      # 2012-01-01 05:16:40 UTC
URL = "http://127.0.0.1:8000"
MIB = 1 << 20
STATUS: dict[str, Any] = {
    "version": "0.1.0", "kernels": "native", "time": NOW, "uptime": 3700.2, "counters": 1234,
    "store": {"folder": "/var/lib/istatd/server", "file_bytes": 5 * MIB, "files": 3, "head_bytes": 2048,
              "refusing": ""},
    "ingest": {"samples": 5000, "samples_per_second": 12.5, "udp.drops": 0},
    "refused": {"bad_number": 0, "from_future": 0}, "refused_help": {},
    "system": {"udp_buffer_bytes": 8 * MIB, "udp_buffer_wanted_bytes": 8 * MIB, "open_files": 65536,
               "max_connections": 10000, "max_counters": 10_000_000, "disk_free_bytes": 50 << 30,
               "disk_bytes": 100 << 30},
}
AGENT = {"name": "web1", "version": "0.1.0", "online": True, "last_seen": NOW - 4, "transport": "udp",
         "metadata": {"agent": "web1"}}
SCRIPT = {"name": "10.0.0.7", "online": True, "last_seen": NOW, "transport": "tcp", "metadata": {}}


def changed(**parts: dict[str, Any]) -> dict[str, Any]:
    return {**STATUS, **{key: {**STATUS[key], **value} for key, value in parts.items()}}


def text(status: dict[str, Any] = STATUS, senders: Any = (AGENT,), services: Any = (), now: float = NOW,
         option: str = "") -> str:
    return "\n".join(report(status, senders, services, URL, now, option))


def joined(lines: str) -> str:
    return " ".join(lines.split())


def test_ancestors_without_room_are_told() -> None:
    found = joined(text(changed(store={"routes_without_ancestors": 3})))
    assert "3 names of samples feed no ancestors (rollup, make-parents)" in found
    assert "raise max-counters and restart" in found


def test_a_server_that_is_well() -> None:
    assert text(senders=[AGENT, SCRIPT]).splitlines() == [
        "istat-server 0.1.0 runs at http://127.0.0.1:8000 since 2012-01-01 04:14:59 UTC (1 h 1 min), with native "
        "kernels",
        "",
        "Data        /var/lib/istatd/server: 5 MiB in 3 files, 2 KiB in memory and journal; 50 GiB of its",
        "            disk are free",
        "Counters    1,234 of at most 10,000,000",
        "Samples     12.5 a second lately, 5,000 since the start with the server's own",
        "Senders     2 now: web1 (istat-agent 0.1.0, 4 s ago), 10.0.0.7 (tcp, 0 s ago)",
        "",
        "What to do next",
        "  the page    http://127.0.0.1:8000/",
        "  names       istat ls 'cpu.*'",
        "  values      istat query NAME --last 6h",
        "  all figures istat status --all",
    ]


def test_agents_that_send_no_longer_are_named() -> None:
    dead = {**AGENT, "name": "web2", "online": False, "last_seen": NOW - 300}
    restarted, gone = {**AGENT, "online": False}, {**SCRIPT, "online": False}
    older = {**dead, "last_seen": NOW - 900}
    told = text(senders=[older, dead, restarted, gone, AGENT])
    assert "\nSilent      1 agent that sent before: web2 (istat-agent 0.1.0, 5 min ago)\n" in told
    assert "Silent" not in text(senders=[restarted, gone, AGENT])


def test_a_store_of_a_plugin_may_have_no_folder() -> None:
    told = text({**STATUS, "store": {"kind": "memory"}, "system": {}})
    assert "\nData        in a store of a plugin's: memory\nCounters    1,234\n" in told
    assert "None" not in told and "To be looked at" not in told


def test_further_commands_find_the_same_server() -> None:
    assert "istat ls 'cpu.*' --server http://stats:8000" in text(option=" --server http://stats:8000")


def test_only_what_was_refused_is_told_with_its_cure() -> None:
    status = {**STATUS, "refused": {"bad_number": 0, "from_future": 1200, "new_kind": 1},
              "refused_help": {"from_future": {"what": "samples of tomorrow", "cure": "set the clock"}}}
    told = text(status)
    assert "Refused since the start\n  - 1,200 from_future: samples of tomorrow; set the clock\n" in told
    assert "\n  - 1 new_kind\n" in told
    assert "bad_number" not in told
    assert "7 datagrams lost" in text(changed(ingest={"udp.drops": 7}))


def test_who_was_refused_is_told_with_an_example_and_what_was_meant() -> None:
    row = {"kind": "from_past", "sender": "web1", "address": "10.0.0.7:40312", "transport": "tcp", "count": 1200,
           "last": NOW - 4, "example": "a 17 1325395000", "wrong": "the time stands last", "meant": "a 1325395000 17"}
    others = [{**row, "sender": f"web{number}", "example": "b\x1b[2J 5 1", "wrong": "", "meant": ""}
              for number in range(2, 6)]
    other = {**row, "kind": "bad_number", "sender": "(other senders)", "address": "", "transport": "", "example": "",
             "wrong": ""}
    status = {**STATUS, "refused": {"from_past": 6000, "bad_number": 2}, "refused_by": [row, *others, other],
              "refused_help": {"from_past": {"what": "samples of long ago", "cure": "set the clock"}}}
    told = text(status)
    assert told.split("Refused since the start\n")[1].splitlines()[:9] == [
        "  - 6,000 from_past: samples of long ago; set the clock",
        "    - web1 (tcp, 10.0.0.7:40312): 1,200, the last 4 s ago: a 17 1325395000",
        "      the time stands last; write: a 1325395000 17",
        "    - web2 (tcp, 10.0.0.7:40312): 1,200, the last 4 s ago: b\\x1b[2J 5 1",
        "    - web3 (tcp, 10.0.0.7:40312): 1,200, the last 4 s ago: b\\x1b[2J 5 1",
        "    - and 2 more senders lately",
        "  - 2 bad_number",
        "    - (other senders): 1,200, the last 4 s ago",
        "",
    ]


def test_collectors_that_fail_are_to_be_looked_at() -> None:
    failing = [{"agent": "plugtest", "collector": "exec:check_x", "why": "no such file", "since": NOW - 7200},
               {"agent": "web1", "collector": "", "why": "collector y: broken\x07", "since": NOW - 60}]
    told = text({**STATUS, "failing": failing})
    assert "To be looked at\n  - plugtest: exec:check_x fails: no such file (for 2 h)\n" in told
    assert "  - web1: collector y: broken\\x07 (for 1 min)\n" in told
    many = {**STATUS, "failing": failing * 25, "system": {**STATUS["system"], "collectors_failing": 111}}
    assert "  - 101 more collectors of agents fail\n" in text(many)
    assert text(many).count("plugtest: ") == 5


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"store": {"refusing": "the disk is full"}}, "samples are refused: the disk is full"),
        ({"store": {"refusing": "No space left on device"}}, "Make room on its disk (df /var/lib/istatd/server)"),
        ({"store": {"flush_problem": "[Errno 30] Read-only file system"}}, "/istatd/server can only be read"),
        ({"store": {"work_problem": "merging waits for 12 MiB"}}, "- merging waits for 12 MiB"),
        ({"store": {"expiry_problem": "the clock went on; istat clock confirm"}}, "istat clock confirm"),
        ({"store": {"damaged_blocks": 2}}, "istat check /var/lib/istatd/server"),
        ({"system": {"udp_buffer_bytes": 212992}}, "is 208 KiB instead of 8 MiB"),
        ({"system": {"open_files": 1024}}, "only 1,024 files can be open"),
        ({"system": {"open_files": 4096, "connections_granted": 2072}}, "2,072 connections are taken instead"),
        ({"system": {"disk_free_bytes": 3 * MIB}}, "only 3 MiB of the disk are free"),
    ],
)
def test_what_is_wrong_is_told(parts: dict[str, dict[str, Any]], said: str) -> None:
    told = joined(text(changed(**parts)))
    assert "To be looked at" in told and said in told
    assert "To be looked at" not in text()


def test_clocks_that_differ() -> None:
    assert "the server's clock is 2 h behind this machine's" in joined(text(now=NOW + 7200))
    assert "10 min ahead of this machine's" in joined(text(now=NOW - 600))


def test_services_and_an_agent_that_does_not_deliver() -> None:
    runs = [Unit("istat-server.service", "active", "success"), Unit("istat-agent.service", "active", "success")]
    assert "istat-agent.service: active\n" in text(services=runs)
    assert "To be looked at" not in text(services=runs)
    assert "nothing came from an agent; see: journalctl -u istat-agent" in joined(text(services=runs, senders=[SCRIPT]))
    just_started = {**STATUS, "uptime": 60}
    assert "nothing came" not in text(just_started, services=runs, senders=[SCRIPT]), "it may introduce itself later"
    failed = [Unit("istat-agent.service", "failed", "exit-code")]
    assert "istat-agent.service: failed (exit-code); systemctl start istat-agent" in text(services=failed)


def test_nobody_sends() -> None:
    told = text(senders=[])
    assert "Senders     none now" in told and "istat send test.first 1" in told
    assert "none now, 1 before" in text(senders=[{**AGENT, "online": False}])
    assert "and 2 more" in text(senders=[AGENT] * 7)


def test_an_older_server_tells_less() -> None:
    told = text({"version": "0.0.9", "kernels": "python", "uptime": 5, "counters": 2, "store": {"folder": "/s"},
                 "ingest": {"samples": 3}, "refused": {"reserved": 1}})
    assert "Counters    2\n" in told and "Samples     3 since the start" in told and "1 reserved" in told


def test_what_to_try_when_none_answers() -> None:
    here = "\n".join(unreachable(URL, []))
    assert "systemctl start istat-server" in here and "ISTAT_URL" in here
    known = "\n".join(unreachable(URL, [Unit("istat-server.service", "failed", "exit-code")]))
    assert known.startswith("istat-server.service is failed (exit-code) here\n")
    runs = "\n".join(unreachable(URL, [Unit("istat-server.service", "active", "success")]))
    assert "is active here" in runs and "journalctl" not in runs and "http-port" in runs
    assert "http-listen-address" in "\n".join(unreachable("http://stats.example.net:8000", []))


def test_what_is_forwarded_is_told_with_what_keeps_it_from_it() -> None:
    away = {"target": "a:8111", "state": "away", "why": "Connection refused", "in_doubt": 2}
    used = {"target": "b:8111", "state": "in use", "why": "", "in_doubt": 0}
    group = {"name": "a:8111 | b:8111", "in_use": "b:8111", "waiting_frames": 0, "waiting_lines": 0,
             "waiting_seconds": 0.0, "targets": [away, used]}
    found = joined(text({**STATUS, "forward": {"groups": [group], "totals": {"forward.lost.age": 1}}}))
    assert "Forwarded to b:8111; all that came is acknowledged" in found
    assert "Spool" not in found, "an older server does not tell its bound"
    spool = {"groups": [group], "spool_bytes": 3 << 20, "spool_most_bytes": 16 << 20}
    assert "Spool 3 MiB of at most 16 MiB" in joined(text({**STATUS, "forward": spool}))
    assert "nothing is forwarded to a:8111: Connection refused; b:8111 is used instead" in found
    assert "1 line lost since the start, which will never be forwarded: they waited for longer than spool-age" in found
    found = joined(text({**STATUS, "forward": {"groups": [{**group, "lost_lines": 1234}]}}))
    assert "all that came is acknowledged; 1,234 lines lost since the spool was made" in found
    alone = {**group, "name": "a:8111", "in_use": "", "waiting_lines": 1200, "waiting_seconds": 61.2, "targets": [away]}
    found = joined(text({**STATUS, "forward": {"groups": [alone]}}))
    assert "Forwarded to nobody, a:8111 is away; 1,200 lines not acknowledged, the oldest came 1 min 1 s ago" in found
    assert "Connection refused; what comes waits in the spool" in found


def test_replicas_of_a_master_are_told_with_how_far_they_are() -> None:
    found = joined(text({**STATUS, "replicas": {"two": 0.0, "three": 90.0}}))
    assert "Replicas three: 1 min 30 s behind, two: has all that is written here" in found
    assert "the replica three is 1 min 30 s behind: does it run" in found
    assert "the replica two is" not in found


def test_senders_by_others_are_told_as_such() -> None:
    assert f"{SCRIPT['name']} (via web1, " in joined(text(senders=[{**SCRIPT, "via": "web1"}]))
    assert "(by this replica's master, " in joined(text(senders=[{**SCRIPT, "transport": "replica"}]))


def test_each_kind_of_loss_has_a_cure() -> None:
    assert set(LOST) == {*REASONS, "cut", "too_long"}
