"""Every flag of istatd, and what it is here: a setting of ours, or why it does nothing any more.

One table for the server and one for the agent, used by `--config` with a file of istatd's, by their command lines, and
by `istat migrate`. In a file of istatd's and with flags beside it a port of 0 is off, and whoever can reach the machine
may connect unless `listen-address` says otherwise, as it was there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from istat.settings.dialect import Dialect, Given, Meaning
from istat.settings.types import Flag

EVERYWHERE = "*"
ADMIN = "admin-listen-address"
LISTENERS = ("listen-address", "http-listen-address", ADMIN, "prometheus-listen-address")
LOG_FILE = "istat.log"          # istatd's, in the folder that it was started from
LEVELS = {"0": "error", "1": "warning", "2": "info", "3": "debug", "4": "debug", "5": "debug"}
LEAST_FLUSH, MOST_FLUSH = 1, 3600       # [s] what the setting takes
MOST_ROLLUP = 16
MOST_PERIOD = 65535                     # [s] of blacklist-period, which had 16 bits
LEAST_FILES = 64
LEAST_BUFFER = 8                        # [KiB]
LOCAL_STATS = "local-stats"
LOOKING = ("cpu", "disk", "load", "memory", "network", "processes")     # collectors that tell what local-stats told
NAMES_OF_BEFORE = {"naming": "istatd"}      # of them
LOCAL_STATS_SECONDS = 5                 # how often istatd looked at its machine
_WHOLE = re.compile("-?[0-9]{1,18}")
STAT_PORT = "8111"                      # where istatd took lines unless told otherwise
ORIGINAL = "istatd:"                    # before a target: it is sent lines, as an istatd of before wants them
PLAINLY = ("as lines, which any istatd takes and none acknowledges, so that a cut connection can lose some; once "
           "istat-server runs there, take istatd: out of the setting forward, and nothing is lost")
AT_ONCE, ONE_CONNECTION = "what comes is forwarded at once", "one connection carries it all"
REPLICA_OF = ("istatd's never replicated; only the address of a master's http-port, such as http://master:8000, is "
              "taken")


def same(name: str, why: str = "") -> Meaning:
    """A flag that is a setting of this name."""
    return Meaning(lambda text: {name: text}, why)


def port(name: str) -> Meaning:
    """A port, which 0 switched off."""
    return Meaning(lambda text: {name: "off" if text == "0" else text})


def idle(why: str, valued: bool = True) -> Meaning:
    """A flag that does nothing here."""
    return Meaning(None, why, valued)


def switch(name: str) -> Meaning:
    """A flag without value that is a setting."""
    return Meaning(lambda _text: {name: "yes"}, valued=False)


def number(text: str, least: int, most: int | None = None) -> str:
    """A whole number, moved into bounds. ValueError."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"wants a whole number, not {text!r}")
    value = max(least, int(text))
    return str(value if most is None else min(value, most))


def _log_level(text: str) -> Given:
    return {"log-level": LEVELS.get(text, text)}


def _listen(text: str) -> Given:
    """Empty is everywhere, but for the admin port, whose commands change and delete."""
    return {name: text or ("" if name == ADMIN else EVERYWHERE) for name in LISTENERS}


def _test(_text: str) -> Given:
    raise ValueError("is gone: istatd's own tests were built into it, ours lie beside the sources (./runtests.sh)")


def _debug(text: str) -> Given:
    return {"log-level": "debug"} if text else {}


def _most_series(text: str) -> Given:
    return {} if number(text, -1) in ("-1", "0") else {"max-metrics-count": text}


def _forward(text: str) -> Given:
    return {"forward": f"{ORIGINAL}{text}"} if text else {}


_COMMON: dict[str, Meaning] = {
    "config": idle("a file is named on the command line only"),
    "daemonize": switch("daemonize"),
    "fake-time": same("fake-time"),
    "log-file": same("log-file"),
    "log-level": Meaning(_log_level, always=True),
    "num-files": Meaning(lambda text: {"num-files": number(text, LEAST_FILES)}),
    "pid-file": same("pid-file"),
    "user": same("user"),
    "debug": Meaning(_debug, "log-level is debug for all subjects; admin-port switches them one by one", always=True),
    "test": Meaning(_test, valued=False),
    "thread-count": idle("one process with one event loop serves all"),
    "listen-overflow-backlog": idle("the queue of each port is as long as the system lets it be"),
    "replica-of": Meaning(lambda text: {"replica-of": text} if "://" in text else {}, REPLICA_OF),
    "replica-port": idle("replicas ask the http-port of their master"),
    "prometheus-port": port("prometheus-port"),
    "tagnames-path": same("tagnames-path"),
    "dont-translate-metric-names": Meaning(lambda _text: {"translate-metric-names": "no"}, valued=False),
    "max-matrics-count": Meaning(_most_series), "max-metrics-count": Meaning(_most_series),
    "metrics-cleanup-period": Meaning(lambda text: {"metrics-cleanup-period": number(text, 1)}),
}
_SERVER: dict[str, Meaning] = {
    **_COMMON,
    "admin-port": port("admin-port"), "http-port": port("http-port"), "stat-port": port("stat-port"),
    "agent": Meaning(_forward, PLAINLY),
    "agent-interval": idle(AT_ONCE), "agentCount": idle(ONE_CONNECTION),
    "allocation-strategy": idle("files are written once and whole, so that none has to be laid out before"),
    "blacklist-path": same("blacklist-path"),
    "blacklist-period": Meaning(lambda text: {"blacklist-period": number(text, 0, MOST_PERIOD)}),
    "disallow-compressed-responses": switch("disallow-compressed-responses"),
    "dont-recursively-create-counters": idle("parents are made only where make-parents says so", valued=False),
    "files-dir": same("files-dir"),
    "flush": Meaning(lambda text: {"flush": number(text, LEAST_FLUSH, MOST_FLUSH)}),
    "listen-address": Meaning(_listen),
    LOCAL_STATS: idle("istat-agent looks at a machine; `istat migrate` writes its settings"),
    "min-space": idle("the store keeps a reserve and says so when its disk gets full"),
    "prune-empty-directories-interval": idle("counters have no folders of their own"),
    "retention": same("retention"),
    "rollup": Meaning(lambda text: {"rollup": number(text, 0, MOST_ROLLUP)},
                      "samples do feed so many ancestors now, which they never did in istatd"),
    "settings": same("settings"),
    "store": same("store"),
    "udp-buffer-size": Meaning(lambda text: {"udp-buffer-size": number(text, LEAST_BUFFER)}),
}


def _complete_log(given: Given, others: Mapping[str, str]) -> None:
    """In the background istatd logged into a file, whoever sent it there."""
    try:
        goes = Flag().parse(others.get("daemonize", given.get("daemonize", "")))
    except ValueError:      # which is told with all other settings
        return
    if goes and "log-file" not in others:
        given.setdefault("log-file", LOG_FILE)


def _complete_server(given: Given, others: Mapping[str, str]) -> Iterable[str]:
    """istatd's defaults. Its web files and settings lie relative to the folder above the store."""
    store = others.get("store") or given.get("store") or ""
    if not store:
        yield ("it names no store: that of an agent is for istat-agent --config, which sends to a server; for a server "
               "add --store FOLDER")
    for name in LISTENERS:
        if name != ADMIN:       # whose commands change and delete
            given.setdefault(name, EVERYWHERE)
    _complete_log(given, others)
    beside = os.path.dirname(os.path.abspath(store))
    for name in ("files-dir", "settings"):
        if given.get(name):
            given[name] = os.path.join(beside, given[name])
    if not os.path.isdir(given.get("files-dir", "")):
        given.pop("files-dir", None)        # the page is installed with the program now


def _local_stats(text: str) -> Given:
    """`^host.h1^role.db` is a host and tags."""
    if not text:
        return {}
    tags = [piece.strip(".") for piece in text.split("^") if piece.strip(".")]
    hosts = [tag.removeprefix("host.") for tag in tags if tag.startswith("host.")]
    given = {"tags": ",".join(tag for tag in tags if not tag.startswith("host.")),
             "interval": str(LOCAL_STATS_SECONDS), LOCAL_STATS: text}
    return {**given, "host": hosts[0]} if hosts else given


_SERVERS = "is istat-server's"
_AGENT: dict[str, Meaning] = {
    **{name: idle(_SERVERS, meaning.valued) for name, meaning in _SERVER.items() if name not in _COMMON},
    **_COMMON,
    "agent": Meaning(_forward, PLAINLY),
    "agent-interval": idle(AT_ONCE),
    "agentCount": idle(ONE_CONNECTION),
    "replica-of": idle(_SERVERS), "replica-port": idle(_SERVERS),
    "fake-time": idle("an agent's clock is the machine's"),
    "listen-address": Meaning(lambda text: {"prometheus-listen-address": text or EVERYWHERE}),
    LOCAL_STATS: Meaning(_local_stats),
    "num-files": idle("an agent opens few"),
    "stat-port": Meaning(port("stat-port").gives, "from programs of this machine only; let others send to a server"),
}


def _complete_agent(given: Given, others: Mapping[str, str]) -> Iterable[str]:
    if not {"server", "forward"} & {*given, *others}:
        yield "it does not say where to send to: add --agent HOST:PORT"
    elif "server" not in others:
        given.setdefault("stat-port", STAT_PORT)
    _complete_log(given, others)


def _names_of_before(given: Mapping[str, str]) -> dict[str, Any]:
    """What local-stats told keeps its names and units."""
    return {"plugins": {name: dict(NAMES_OF_BEFORE) for name in LOOKING}} if given.get(LOCAL_STATS) else {}


SERVER = Dialect(_SERVER, _complete_server)
AGENT = Dialect(_AGENT, _complete_agent, _names_of_before)
