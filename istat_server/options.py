"""The server's settings, declared once: --help, the sample file, the docs table and validation follow.

Names are istatd's where the meaning is the same.
"""
from __future__ import annotations

import re
from collections.abc import Iterable

from istat.daemon.listening.binding import loopback
from istat.exporter.options import SETTINGS as EXPORTER
from istat.forwarding import options as forwarding
from istat.retention import DEFAULT_RETENTION
from istat.settings import istatd
from istat.settings.declaration import (
    Choice,
    Declaration,
    Duration,
    Flag,
    Integer,
    Many,
    Path,
    Port,
    Retention,
    RetentionRules,
    Setting,
    Text,
    Values,
)
from istat.wire.batches import MOST_WORDS
from istat_server.replica import options as replica

# istatd's ports.
STAT_PORT = 8111
HTTP_PORT = 8000
# Names of counters and routes cost some 200 bytes of memory each: ten million are 2 GB at worst.
MAX_COUNTERS = 10_000_000
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


class Origin(Text):
    """The origin of a page, as browsers send it: "https://grafana.example.net"."""

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if not _ORIGIN.fullmatch(text.lower()):
            raise self.wrong(text)
        return text.lower()

    def expects(self) -> str:
        """See Type.expects."""
        return "an origin such as https://stats.example.net or http://10.0.0.5:3000, without a path"


class HostName(Text):
    """A name by which a machine is asked, without a port."""

    def parse(self, text: str) -> str:
        """See Type.parse."""
        if not _HOST_NAME.fullmatch(text):
            raise self.wrong(text)
        return text.lower().rstrip(".")

    def expects(self) -> str:
        """See Type.expects."""
        return "a name such as stats.example.net, without a port"


SETTINGS = (
    Setting("stat-port", Port(), STAT_PORT,
            "Port for samples, UDP and TCP. 0 takes a free one and tells it on standard output; off takes no samples "
            "there."),
    Setting("http-port", Port(), HTTP_PORT,
            "Port for the page and all queries. 0 takes a free one and tells it on standard output; off answers none."),
    Setting("admin-port", Port(), "off",
            "Port for istatd's admin commands (flush, stats, delete.ctr ...), such as 8112. 0 takes a free one and "
            "tells it on standard output."),
    Setting("listen-address", Text(), "",
            'Address to take samples on. Empty is this machine only (127.0.0.1 and ::1); "*" is everyone.'),
    Setting("http-listen-address", Text(), "127.0.0.1",
            'Address to serve HTTP on; "*" is every IPv4 address. Whoever reaches it can read every counter, unless '
            "there is a read-token."),
    Setting("admin-listen-address", Text(), "",
            'Address of admin-port. Empty is this machine only (127.0.0.1 and ::1); "*" is everyone. Whoever reaches '
            "it can flush and purge; all else wants the admin-token, which is readable on the way."),
    Setting("admin-open", Flag(), False,
            "Commands of admin-port that change or delete want no token, as in istatd. Only for an admin-port of this "
            "machine, whose every user may then delete counters.", reloadable=True),
    *EXPORTER,
    Setting("http-names", Many(HostName()), (),
            "Names by which HTTP may be asked, besides localhost and addresses; where http-listen-address is more than "
            "loopback, this machine's own names may be used anyway. Requests with another name in `Host` are refused "
            "(421), so that no web page can make a name of its own mean this machine.",
            reloadable=True, example='["stats.example.net"]'),
    Setting("http-origins", Many(Origin()), (),
            "Origins of web pages, besides the server's own, that may read answers (CORS). Grafana's proxy, `istat` "
            "and Prometheus need none.", reloadable=True, example='["https://dashboards.example.net"]'),
    Setting("tls-cert", Path(), "",
            "Certificate chain (PEM, the server's own first). With it the HTTP port speaks TLS only. Read before "
            "privileges are dropped, and again at SIGHUP, when a new one that does not fit changes nothing."),
    Setting("tls-key", Path(), "", "Key of tls-cert (PEM, without passphrase), when it is not in the same file."),
    Setting("tls-client-ca", Path(), "",
            "Certificates (PEM) of the authorities that clients' certificates must be signed by, browsers' too; empty "
            "asks clients for none."),
    Setting("samples-tls", Choice("optional", "required"), "optional",
            "With tls-cert, samples by TCP may come by TLS, on the same port. `required` refuses those that do not, "
            "and takes UDP from this machine only."),
    Setting("samples-token", Text(), "",
            "What senders of acknowledged batches, which are agents and servers that forward, must show (their "
            "forward-token). With it lines, which can show nothing, are taken of this machine only, UDP too. Empty "
            "lets everybody send who reaches the stat port.", secret=True),
    Setting("store", Path(), "/var/lib/istatd/server", "Folder of the store; made when it is missing."),
    Setting("settings", Path(), "",
            "Folder of the namespaces, which istatd calls settings: keys and values for pages and people, such as "
            "dashboards, in files NAME.set. Empty is the folder `settings` in the store."),
    Setting("settings-open", Flag(), False,
            "Take changes of namespaces without a token from whoever may read, as istatd did; pages of other origins "
            "are refused all the same. For a server that only this machine can ask: else give the write-token to who "
            "is to change them."),
    *replica.SETTINGS,
    *forwarding.settings("", " Empty is the folder `spool` in the store."),
    Setting("retention", Retention(), DEFAULT_RETENTION,
            "How long which buckets are kept: interval:time, finest first. For counters that no rule of "
            "retention-rules is for."),
    Setting("retention-rules", RetentionRules(), "",
            "Other retention for some counters, by name: PATTERN = LEVELS, separated by semicolons (in the "
            "file an array of such texts). The first rule that a counter's name fits is its; `*` is any run "
            "of characters, `?` any run without dots.",
            example='["db.** = 10s:30d,1h:2y", "test.* = 10s:1d"]'),
    Setting("flush", Duration(1.0, 3600.0), 120.0,
            "Longest time between two cuts of the head into a file. Nothing is lost between cuts: samples "
            "are in the journal."),
    Setting("journal-sync", Duration(0.05, 60.0), 1.0,
            "How often the journal is forced to the disk: what a power failure can lose. A crash of the "
            "server alone loses at most 100 ms, whatever this says."),
    Setting("max-counters", Integer(1), MAX_COUNTERS,
            "How many counters there may be. Samples of further new names are refused and counted."),
    Setting("rollup", Integer(0, 16), 0,
            "How many ancestors of each counter a sample feeds as well, each once: with 1 a sample of `web.hits.host1` "
            "is one of `web.hits` too. What came before the setting was changed stays as it is."),
    Setting("make-parents", Flag(), False,
            "Make the ancestors of new counters too, without samples, so that they are listed and can be read."),
    Setting("max-line", Integer(256, 1 << 20), 65536,
            "Longest line taken from a TCP connection; a longer one is counted and skipped.", "bytes"),
    Setting("refuse-nan", Flag(), False,
            "Refuse samples whose value is `nan`, counted as not_finite. Without it `nan` `NaN` `-nan` `-NaN` are 0, "
            "as in istatd, and a sender that has no value pulls averages down; other spellings are always refused."),
    Setting("max-connections", Integer(1, 1_000_000), 10_000,
            "How many connections may send samples at once. When one more comes, the one that has been silent longest "
            "is closed, and counted.", reloadable=True),
    Setting("max-connections-per-address", Integer(1, 1_000_000), 2000,
            "How many of those one address may have. When one more comes, one of the same address that never said "
            "anything is closed, else the new one, and counted. All of loopback is one address, a /64 network of IPv6 "
            "too, and each user of this machine who comes by a Unix socket.",
            reloadable=True),
    Setting("blacklist-path", Path(), "",
            "File of those from whom nothing is taken: host names (what senders say of themselves), addresses and "
            "networks such as 10.0.0.0/8, one a line. Their connections are closed, their datagrams dropped. Empty "
            "bars nobody.", reloadable=True),
    Setting("blacklist-period", Integer(0, 65535), 60,
            "How often it is looked whether that file has changed; 0 bars nobody.", "s", reloadable=True),
    Setting("http-memory", Integer(4, 1 << 20), 64,
            "What bodies of requests and answers on their way may hold at once. Beyond it requests are answered 503, "
            "to be asked again; one that is alone is always answered.", "MiB"),
    Setting("disallow-compressed-responses", Flag(), False,
            "Send answers of HTTP as they are, whatever compression clients accept."),
    Setting("udp-buffer-size", Integer(8, 1 << 20), 8192,
            "Receive buffer of each UDP socket. 8 MiB hold 200 ms of 16,000 datagrams a second.", "KiB"),
    Setting("num-files", Integer(64, 1 << 30), 65536,
            "Open files that the process may have; the limit is raised to this if the system lets it."),
    Setting("user", Text(), "",
            "User to become once the ports are open, when started as root. Empty stays what it is."),
    Setting("pid-file", Path(), "", "File to hold the process id while the server runs."),
    Setting("daemonize", Flag(), False,
            "Go to the background once all ports listen; the command ends with 0 then, and with the error's exit code "
            "where it cannot. Name a log-file, too. Not for services of systemd."),
    Setting("files-dir", Path(), "",
            "Folder of the page's files, instead of those installed; those that lie in it are at /files/NAME as well. "
            "Without an index.html in it the page is the installed one."),
    Setting("log-file", Path(), "", "File to log to; SIGHUP opens it anew. Empty logs to standard error.",
            reloadable=True),
    Setting("log-level", Choice("debug", "info", "warning", "error"), "info", "The least that is logged.",
            reloadable=True),
    Setting("read-token", Text(), "",
            "What questions must be sent with; empty lets everyone ask who reaches the HTTP port.", secret=True,
            reloadable=True),
    Setting("write-token", Text(), "",
            "What changes namespaces, and routes that take samples (so far those of plugins), must be sent with, and "
            "may ask too; empty leaves that to the admin-token.",
            secret=True, reloadable=True),
    Setting("admin-token", Text(), "",
            "What changes or deletes must be sent with, and may do all else too; empty refuses all such requests. "
            "Better put into the environment or a file than on the command line, as the other tokens.", secret=True,
            reloadable=True),
    Setting("replica-token", Text(), "",
            "What a replica of this server must be sent with, and may read all that is in the store; and what this "
            "server sends with where it is a replica itself. Empty leaves it to the admin-token.", secret=True,
            reloadable=True),
    Setting("fake-time", Integer(0), 0,
            "Stop the clock at this Unix time, for tests; 0 is the real time.", "s"),
)
TOKENS = ("read-token", "write-token", "admin-token", "samples-token", "replica-token")


def together(values: Values) -> Iterable[str]:
    """What is wrong with values that are right alone."""
    for name in TOKENS:
        token = values[name]
        if token != token.strip() or not all(" " <= sign <= "~" for sign in token):
            yield f"{name} has signs that HTTP cannot carry: take letters and digits (openssl rand -hex 32)"
    if len(values["samples-token"]) > MOST_WORDS:
        yield f"samples-token is longer than {MOST_WORDS} signs, which no sender can show: take a shorter one"
    given = [name for name in TOKENS if values[name]]
    for at, name in enumerate(given):
        for same in given[at + 1:]:
            if values[name] == values[same]:
                yield f"{name} and {same} are the same, so who has the one has the rights of the other: make another"
    if values["samples-tls"] == "required" and values["tls-cert"] is None:
        yield "samples-tls is required, and there is no tls-cert: name the certificate, or nobody could send"
    if values["admin-open"] and not loopback(values["admin-listen-address"]):
        yield ("admin-open lets everybody delete who reaches admin-port, and admin-listen-address is not this machine: "
               "leave one of them out, and set an admin-token")
    yield from forwarding.together(values)
    yield from replica.together(values)
    for name in ("tls-key", "tls-client-ca"):
        if values[name] is not None and values["tls-cert"] is None:
            yield f"{name} is set without tls-cert: name the certificate, or leave both out"


DECLARATION = Declaration(
    "istat-server", "ISTAT_SERVER", "/etc/istatd/server.toml", SETTINGS,
    about="Collects samples of named statistics, keeps them as buckets at several retention levels, and "
          "answers queries about them over HTTP. A sample is a line such as `cpu.user 12.5`, sent by UDP or TCP to "
          "stat-port; the page is at http-port.",
    tables=("plugins",),
    together=together,
    istatd=istatd.SERVER,
    examples=[
        ("istat-server --config /etc/istatd/server.toml --check-config", "See whether a changed file is right"),
        ("istat-server --stat-port 0 --http-port 0 --store /tmp/try", "Try it on free ports, with a store of its own"),
        ("istat-server --sample-config", "See every setting with its default, as a file"),
    ],
)
