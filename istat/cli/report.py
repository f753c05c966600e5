"""The status of a server in plain words, and what to do next. Knows the JSON of /api/v1/status, and no HTTP.

An older server may tell less: what is missing is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from istat.cli.figures import bytes_text, number_text, seconds_text
from istat.cli.systemctl import AGENT, SERVER, Unit

WIDTH = 100             # columns
LABEL = 12              # columns of what a line is about
SENDERS = 5             # names of senders that are told
WRONG = 3               # senders that are told of each kind of mistake, and
FAILING = 10            # collectors that fail
# Clocks may differ by this much without anyone noticing: gauges up to a minute ahead are taken [s].
CLOCK_SECONDS = 30.0
# A server that runs shorter has not heard from every agent: they say who they are every 60 s [s].
AGENT_SECONDS = 70.0
# A replica is behind by less than 2 s, and by a little more after a start of either [s].
REPLICA_SECONDS = 60.0
# Free space under which it is worth a word: a disk that is nearly full [share, bytes].
FREE_SHARE, FREE_BYTES = 0.05, 1 << 30
PROBLEMS = {
    "refusing": "samples are refused: {}",
    "flush_problem": "what is in memory could not be written ({}); it is in the journal, and tried again",
    "work_problem": "{}",
    "expiry_problem": "{}",
}
# Why lines are lost on the way to a target -> what helps.
LOST = {
    "bytes": "the spool was full; raise spool-bytes",
    "age": "they waited for longer than spool-age; raise it, or mend the target",
    "damaged": "the spool was damaged; see whether its disk fails (dmesg)",
    "disk": "the disk of the spool was full; make room on it",
    "unknown": "the store did not know them when it was started after a kill: it was another one than before",
    "cut": "a connection to an original istatd ended, which acknowledges nothing",
    "too_long": "they are longer than 64 KiB, which no batch can have",
}
# The system's words (strerror(3)) -> what helps, with the store's folder.
CURES = {
    "No space left on device": "make room on its disk (df {}) or keep less; nothing that was taken is lost",
    "Disk quota exceeded": "make room in {}, or raise the quota; nothing that was taken is lost",
    "Read-only file system": "the disk of {} can only be read; dmesg tells whether it failed",
    "Input/output error": "the disk of {} fails; dmesg tells more",
}

Status = Mapping[str, Any]


def report(status: Status, senders: Sequence[Mapping[str, Any]], services: Sequence[Unit], url: str, now: float,
           option: str = "") -> list[str]:
    """The lines that `istat status` prints. `senders`: rows of /api/v1/agents; `now`: this machine's clock;
    `option`: what further commands need to find this server."""
    uptime = float(status.get("uptime", 0))
    since = datetime.fromtimestamp(float(status.get("time", now)) - uptime, UTC)
    lines = [f"istat-server {status.get('version')} runs at {url} since {since:%Y-%m-%d %H:%M:%S} UTC "
             f"({seconds_text(round(uptime))}), with {status.get('kernels')} kernels", ""]
    for label, text in _facts(status, senders, now):
        lines += _labelled(label, text)
    lines += [f"{unit.name}: {_state(unit)}" for unit in services]
    lines += _listed("Refused since the start", _refused(status, now))
    lines += _listed("To be looked at", _problems(status, senders, services, url, now))
    lines += ["", "What to do next"]
    for what, how in (("the page", f"{url}/"), ("names", f"istat ls 'cpu.*'{option}"),
                      ("values", f"istat query NAME --last 6h{option}"),
                      ("all figures", f"istat status --all{option}")):
        lines += _labelled(what, how, indent=2)
    return [printable(line) for line in lines]


def printable(text: str) -> str:
    """A text without signs that a terminal would act upon: senders and collectors have words in it."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _facts(status: Status, senders: Sequence[Mapping[str, Any]], now: float) -> Iterable[tuple[str, str]]:
    store, ingest, system = (status.get(key, {}) for key in ("store", "ingest", "system"))
    used = store.get("file_bytes", 0)
    disk = f"; {bytes_text(system['disk_free_bytes'])} of its disk are free" if "disk_free_bytes" in system else ""
    head = f", {bytes_text(store['head_bytes'])} in memory and journal" if store.get("head_bytes") else ""
    if "folder" in store:
        yield "Data", f"{store['folder']}: {bytes_text(used)} in {_number(store.get('files', 0), 'file')}{head}{disk}"
    else:
        yield "Data", f"in a store of a plugin's: {store.get('kind', 'it does not say what it is')}{head}{disk}"
    replica = store.get("replica") or {}
    if replica.get("master"):
        yield "Replica", f"of {replica['master']}. {lag_text(replica.get('lag'))}"
    if status.get("replicas"):
        yield "Replicas", ", ".join(f"{name}: {_lags(lag)}" for name, lag in sorted(status["replicas"].items()))
    most = f" of at most {number_text(system['max_counters'])}" if "max_counters" in system else ""
    yield "Counters", f"{number_text(status.get('counters', 0))}{most}"
    lately = f"{number_text(float(ingest['samples_per_second']))} a second lately, " \
        if "samples_per_second" in ingest else ""
    yield "Samples", f"{lately}{number_text(ingest.get('samples', 0))} since the start with the server's own"
    yield "Senders", _senders(senders, now)
    silent = _silent(senders)
    if silent:
        yield "Silent", f"{_number(len(silent), 'agent')} that sent before: {_named(silent, now)}"
    for group in status.get("forward", {}).get("groups", ()):
        where = f"to {group['in_use']}" if group["in_use"] else f"to nobody, {group['name']} is away"
        yield "Forwarded", f"{where}; {_waiting(group)}"
    if "spool_most_bytes" in status.get("forward", {}):
        spool = status["forward"]
        yield "Spool", f"{bytes_text(spool['spool_bytes'])} of at most {bytes_text(spool['spool_most_bytes'])}"


def _waiting(group: Mapping[str, Any]) -> str:
    """What a group of targets has not acknowledged."""
    ever = group.get("lost_lines")
    lost = f"; {_number(ever, 'line')} lost since the spool was made" if ever else ""
    if not group["waiting_lines"]:
        return f"all that came is acknowledged{lost}"
    return (f"{_number(group['waiting_lines'], 'line')} not acknowledged, the oldest came "
            f"{seconds_text(round(group['waiting_seconds']))} ago{lost}")


def lag_text(seconds: float | None) -> str:
    """How old what a replica has is, in a sentence without its end."""
    if seconds is None or seconds < 0:
        return "It is not known how far it is behind"
    return "It has all that the master has written" if seconds == 0 else f"It is {seconds_text(round(seconds))} behind"


def _lags(seconds: float) -> str:
    """How far a replica of this server is, in a few words."""
    return "has all that is written here" if seconds == 0 else f"{seconds_text(round(seconds, 1))} behind"


def _senders(senders: Sequence[Mapping[str, Any]], now: float) -> str:
    """Who sends, agents by their names."""
    online = [row for row in senders if row.get("online")]
    if not online:
        return "none now" + (f", {number_text(len(senders))} before" if senders else "")
    return f"{number_text(len(online))} now: {_named(online, now)}"


def _silent(senders: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Agents that sent and do so no longer, the last heard of each: their machines are dead, or let go. One that was
    started anew sends from another port, by the same name."""
    online = {row.get("name") for row in senders if row.get("online")}
    away = sorted((row for row in senders if is_agent(row) and row.get("name") not in online),
                  key=lambda row: float(row.get("last_seen", 0)))
    return sorted({row.get("name"): row for row in away}.values(), key=lambda row: -float(row.get("last_seen", 0)))


def _named(rows: Sequence[Mapping[str, Any]], now: float) -> str:
    shown = [_sender(row, now) for row in rows[:SENDERS]]
    more = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {number_text(more)} more" if more else "")


def _sender(row: Mapping[str, Any], now: float) -> str:
    what = f"istat-agent {row.get('version')}" if is_agent(row) else str(row.get("transport", ""))
    if row.get("via"):
        what = f"via {row['via']}"
    elif what == "replica":
        what = "by this replica's master"
    ago = max(0.0, now - float(row.get("last_seen", now)))
    return f"{row.get('name')} ({what}, {seconds_text(round(ago))} ago)"


def is_agent(row: Mapping[str, Any]) -> bool:
    """Whether a sender says that it is an agent of ours."""
    return "agent" in (row.get("metadata") or {})


def _refused(status: Status, now: float) -> Iterable[str]:
    """What was refused by kind, and below each who did it, with an example."""
    told = status.get("refused_help", {})
    for kind, count in sorted(status.get("refused", {}).items(), key=lambda pair: -pair[1]):
        if count:
            help = told.get(kind, {})
            what, cure = help.get("what", ""), help.get("cure", "")
            lines = [f"{number_text(count)} {kind}" + (f": {what}; {cure}" if what else "")]
            senders = [row for row in status.get("refused_by", ()) if row["kind"] == kind]
            lines += [line for row in senders[:WRONG] for line in _complaint(row, now)]
            if len(senders) > WRONG:
                lines.append(f"- and {_number(len(senders) - WRONG, 'more sender')} lately")
            yield "\n".join(lines)
    lost = status.get("ingest", {}).get("udp.drops", 0)
    if lost:
        yield (f"{number_text(lost)} datagrams lost because the UDP receive buffer was full; make it larger "
               "(udp-buffer-size, and net.core.rmem_max of this machine)")


def _complaint(row: Mapping[str, Any], now: float) -> Iterable[str]:
    """A sender's mistakes of one kind, and what was probably meant by the last one."""
    where = ", ".join(word for word in (row["transport"], row["address"]) if word)
    ago = seconds_text(round(max(0.0, now - row["last"])))
    example = f": {row['example']}" if row.get("example") else ""
    who = f"{row['sender']} ({where})" if where else row["sender"]
    yield f"- {who}: {number_text(row['count'])}, the last {ago} ago{example}"
    if row.get("wrong"):
        yield row["wrong"] + (f"; write: {row['meant']}" if row.get("meant") else "")


def _failing(status: Status, now: float) -> Iterable[str]:
    """Collectors of agents that do not work."""
    found = status.get("failing", ())
    for row in found[:FAILING]:
        since = seconds_text(round(max(0.0, now - row["since"])))
        what = f"{row['collector']} fails: " if row["collector"] else ""
        yield f"{row['agent']}: {what}{row['why']} (for {since})"
    more = status.get("system", {}).get("collectors_failing", len(found)) - FAILING
    if more > 0:
        yield f"{_number(more, 'more collector')} of agents {'fails' if more == 1 else 'fail'}"


def server_problems(status: Status, now: float) -> Iterable[str]:
    """What the server itself can tell of what is wrong, and what helps. `istat status` and the page say the same."""
    store, system = status.get("store", {}), status.get("system", {})
    for key, text in PROBLEMS.items():
        if store.get(key):
            cure = next((cure for words, cure in CURES.items() if words in store[key]), "")
            yield text.format(store[key]) + (f". {_sentence(cure.format(store.get('folder')))}" if cure else "")
    replica = store.get("replica") or {}
    if replica.get("problem"):
        behind = replica.get("lag", -1)
        old = f"; what it has is {seconds_text(round(behind))} old" if behind > 0 else ""
        yield f"this replica does not follow {replica.get('master')}: {replica['problem']}{old}"
    if store.get("deposed"):
        yield (f"the old master {store['deposed']} does not know yet that this server has taken its place; see to it "
               "that nothing is sent there")
    if store.get("damaged_blocks") or store.get("damaged_files"):
        yield f"damaged files were met; `istat check {store.get('folder')}` tells which"
    if store.get("routes_without_ancestors"):
        yield (f"{_number(store['routes_without_ancestors'], 'name')} of samples feed no ancestors (rollup, "
               "make-parents): there is no room for these; raise max-counters and restart")
    for name, lag in sorted(status.get("replicas", {}).items()):
        if lag > REPLICA_SECONDS:
            yield (f"the replica {name} is {seconds_text(round(lag))} behind: does it run, and what does its log say? "
                   "After replica-lease without a word of it it has to make a new copy")
    yield from _granted(system)
    yield from _not_forwarded(status.get("forward", {}))
    yield from _failing(status, now)


def _not_forwarded(forward: Status) -> Iterable[str]:
    """Targets that are away, and lines that were lost on the way."""
    for group in forward.get("groups", ()):
        for target in group["targets"]:
            if target["why"] and target["target"] != group["in_use"]:
                instead = f"{group['in_use']} is used instead" if group["in_use"] else "what comes waits in the spool"
                yield f"nothing is forwarded to {target['target']}: {target['why']}; {instead}"
    for kind, lines in LOST.items():
        lost = forward.get("totals", {}).get(f"forward.lost.{kind}", 0)
        if lost:
            yield f"{_number(lost, 'line')} lost since the start, which will never be forwarded: {lines}"
    if forward.get("spool_problem"):
        yield f"the spool: {forward['spool_problem']}"


def _problems(status: Status, senders: Sequence[Mapping[str, Any]], services: Sequence[Unit], url: str,
              now: float) -> Iterable[str]:
    yield from server_problems(status, now)
    ahead = float(status.get("time", now)) - now
    if abs(ahead) > CLOCK_SECONDS:
        yield (f"the server's clock is {seconds_text(round(abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} this "
               "machine's; one of them is wrong (timedatectl shows whether it is synchronised)")
    agent = next((unit for unit in services if unit.name == AGENT), None)
    late = float(status.get("uptime", 0)) > AGENT_SECONDS
    if agent and agent.active and late and not any(is_agent(row) and row.get("online") for row in senders):
        yield f"{AGENT} runs here, but nothing came from an agent; see: journalctl -u {AGENT.partition('.')[0]}"
    if not services and not senders and is_local(url):
        yield "nobody has sent anything since the start; start istat-agent, or try: istat send test.first 1"


def _granted(system: Status) -> Iterable[str]:
    """Where the machine gives less than the settings ask for."""
    buffer, wanted = system.get("udp_buffer_bytes", 0), system.get("udp_buffer_wanted_bytes", 0)
    if 0 < buffer < wanted:
        yield (f"the UDP receive buffer is {bytes_text(buffer)} instead of {bytes_text(wanted)}: bursts may be lost; "
               f"echo net.core.rmem_max={wanted} > /etc/sysctl.d/60-istatd.conf; sysctl --system; "
               "then restart the server")
    files, connections = system.get("open_files", 0), system.get("max_connections", 0)
    granted = system.get("connections_granted", files)
    if 0 < granted < connections:
        yield (f"only {number_text(files)} files can be open, so that {number_text(granted)} connections are taken "
               f"instead of max-connections ({number_text(connections)}); raise LimitNOFILE= of the service, or lower "
               "max-connections")
    free, whole = system.get("disk_free_bytes"), system.get("disk_bytes", 0)
    if free is not None and free < FREE_BYTES and free < FREE_SHARE * whole:
        yield f"only {bytes_text(free)} of the disk are free; make room, or keep less (docs/retention.md)"


def unreachable(url: str, services: Sequence[Unit]) -> list[str]:
    """What to try when no server answers."""
    lines = []
    server = next((unit for unit in services if unit.name == SERVER), None)
    name = SERVER.partition(".")[0]
    if is_local(url):
        if server is not None:
            lines.append(f"{SERVER} is {_short_state(server)} here")
        if server is None or not server.active:
            lines += [f"is it running?  systemctl status {name}; start it: systemctl start {name}",
                      f"why it ended:   journalctl -u {name} -n 20"]
        lines.append("another port:   istat status --server http://127.0.0.1:PORT, or ISTAT_URL=http://127.0.0.1:PORT "
                     "(its setting http-port)")
    else:
        host = urlsplit(url).hostname
        lines += [f"is it running on {host}?  systemctl status {name}, there",
                  "does it listen for others?  its setting http-listen-address is 127.0.0.1 unless told otherwise",
                  "is the port right, and open in the firewall?  its setting http-port"]
    return lines


def is_local(url: str) -> bool:
    """Whether a URL means this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _state(unit: Unit) -> str:
    """With what to do where it does not run."""
    name = unit.name.partition(".")[0]
    cure = "" if unit.active else f"; systemctl start {name}, and journalctl -u {name} says why it ended"
    return _short_state(unit) + cure


def _short_state(unit: Unit) -> str:
    return unit.state + (f" ({unit.result})" if unit.result not in ("", "success") else "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(count: int, what: str) -> str:
    return f"{number_text(count)} {what}" + ("" if count == 1 else "s")


def _labelled(label: str, text: str, indent: int = 0) -> list[str]:
    first = " " * indent + f"{label:<{LABEL}}"
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
                         break_long_words=False, break_on_hyphens=False)


def _listed(title: str, texts: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for text in texts:
        first, *below = text.split("\n")
        lines += _wrapped(first, "  - ", "    ")
        for one in below:
            indent = "    " if one.startswith("- ") else "      "
            lines += _wrapped(one, indent, indent + "  ")
    return ["", title, *lines] if lines else []


def _wrapped(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=further, break_long_words=False,
                         break_on_hyphens=False)
