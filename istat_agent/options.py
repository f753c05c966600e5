"""The agent's settings, declared once. What they do stands with each; collectors declare their own.

Theirs are the tables `[plugins.NAME]` of the settings file; `agent.py` checks them.
"""

from __future__ import annotations

from collections.abc import Iterable

from istat.exporter.options import SETTINGS as EXPORTER
from istat.forwarding import options as forwarding
from istat.settings import istatd
from istat.settings.declaration import (
    Address,
    Choice,
    Declaration,
    Flag,
    Integer,
    Many,
    Number,
    Path,
    Port,
    Setting,
    Text,
    Values,
)
from istat_agent import transport

STAT_PORT = 8111  # where a server takes samples unless told otherwise
# An Ethernet frame carries 1,500 bytes; IPv6 and UDP headers take 48 of them, tunnels up to 50 more.
MAX_DATAGRAM = 1400
# Where the package's unit lets the agent keep what waits.
SPOOL = "/var/lib/istatd/agent/spool"


def together(values: Values) -> Iterable[str]:
    """What is wrong with values that are right alone."""
    yield from forwarding.together(values)
    yield from transport.problems(values)


DECLARATION = Declaration(
    program="istat-agent",
    env_prefix="ISTAT_AGENT",
    file="/etc/istatd/agent.toml",
    about=(
        "Runs collectors on this machine and sends what they report to a server. Settings of a collector"
        " stand in the table [plugins.NAME] of the settings file."
    ),
    tables=("plugins",),
    together=together,
    istatd=istatd.AGENT,
    actions={
        "once": "print what would be sent, once, and end",
        "list-collectors": "print which collectors there are and what keeps any from running, and end",
    },
    commands={
        "plugins": "Tell how the plugins of the running agent do: state, last run, cost, samples, errors.",
        "reload": "Have the running agent read its settings and plugins again, and tell what was exchanged.",
        "try": "Run a plugin twice without sending anything, and print what would be sent.",
        "new": "Write a plugin to begin with, and its test.",
    },
    examples=[
        ("istat-agent --once", "See what this machine would report"),
        ("istat-agent --server stats.example.net --tags class.web", "Send it to another machine, for a class too"),
        ("istat-agent --forward 'stats1.example.net:8111 | stats2.example.net:8111' --stat-port 8125",
         "Forward it, and what programs of this machine send to port 8125, by a spool that loses nothing"),
    ],
    settings=[
        Setting(
            "server",
            Address(STAT_PORT),
            f"127.0.0.1:{STAT_PORT}",
            "where samples are sent to, where nothing is said of forward",
            reloadable=True,
        ),
        *forwarding.settings(SPOOL, journal=True),
        Setting(
            "stat-port",
            Port(),
            "off",
            "port for samples of this machine's programs, UDP and TCP, which are forwarded; 0 takes a free one and"
            " tells it on standard output",
        ),
        Setting("stat-path", Path(), "", "Unix socket for the same, as connections; empty: none"),
        Setting(
            "transport",
            Choice(transport.AUTO, transport.UDP, transport.TCP),
            transport.AUTO,
            "how: auto is udp to this machine (localhost, or a loopback address); to another one acknowledged"
            " batches and the spool, as if it were named in forward, so that nothing is lost. udp loses what nobody"
            " takes; tcp knows when a server is away, and lets some minutes of samples wait in memory. An original"
            " istatd on another machine wants udp or tcp, or forward with istatd: before it",
            reloadable=True,
        ),
        Setting(
            "tls",
            Flag(),
            False,
            "encrypt what is sent, and believe a server only by its certificate; for transport tcp, and for auto to"
            " another machine",
            reloadable=True,
        ),
        Setting(
            "tls-ca",
            Path(),
            "",
            "certificates (PEM) of the authorities that may have signed the server's; empty: those the system trusts",
            reloadable=True,
        ),
        Setting(
            "tls-cert",
            Path(),
            "",
            "certificate (PEM) to show to a server that asks who we are; empty: none",
            reloadable=True,
        ),
        Setting("tls-key", Path(), "", "key of tls-cert (PEM), when it is not in the same file", reloadable=True),
        Setting(
            "token",
            Text(),
            "",
            "the server's samples-token, where it has one; for transport auto; readable on the way without tls. Better"
            " put into the environment or a file than on the command line",
            reloadable=True,
            secret=True,
        ),
        Setting(
            "interval",
            Integer(1, 3600),
            10,
            "how often collectors run that do not say",
            unit="seconds",
            reloadable=True,
        ),
        Setting(
            "host",
            Text(),
            "",
            "this machine's name in counter names; empty: the host name up to the first dot",
            reloadable=True,
        ),
        Setting(
            "tags",
            Many(Text()),
            "",
            "more counters that each sample feeds: class.web makes cpu.user feed cpu.user.class.web too",
            example='["class.web", "site.berlin"]',
            reloadable=True,
        ),
        Setting(
            "aggregate",
            Flag(),
            False,
            "also feed the bare name (cpu.user), which then sums up all hosts",
            reloadable=True,
        ),
        Setting(
            "plugin-dir",
            Many(Path()),
            "/etc/istatd/plugins.d,/usr/lib/istatd/plugins.d",
            "folders of drop-in collectors: *.py files, and executable files, which exec runs; what changes there takes"
            " effect within 10 s",
            reloadable=True,
        ),
        Setting(
            "control-path",
            Path(),
            "",
            "Unix socket by which root and the agent's user ask it: istat-agent plugins, reload, try; empty: `control`"
            " in the service's runtime folder, which is /run/istat-agent, or none where it has no such folder",
        ),
        Setting("enable", Many(Text()), "", "collectors to run; empty: all that are on by default", reloadable=True),
        Setting("disable", Many(Text()), "", "collectors not to run", reloadable=True),
        Setting(
            "watchdog",
            Number(0, 3600),
            5,
            "how long the agent may stand still while foreign collectors run in its process: it is executed anew then,"
            " and they run in children; 0: however long",
            unit="seconds",
        ),
        Setting(
            "max-datagram",
            Integer(200, 65000),
            MAX_DATAGRAM,
            "longest datagram; above the network's limit they are lost",
            unit="bytes",
            reloadable=True,
        ),
        Setting(
            "log-level",
            Choice("debug", "info", "warning", "error"),
            "info",
            "what goes to the log",
            reloadable=True,
        ),
        *EXPORTER,
        Setting("log-file", Path(), "", "file to log to, which may be renamed meanwhile; empty logs to standard error",
                reloadable=True),
        Setting("user", Text(), "", "user to become when started as root; empty: stay who we are"),
        Setting("pid-file", Path(), "", "file for our process id; empty: none"),
        Setting(
            "daemonize",
            Flag(),
            False,
            "go to the background once it runs; the command ends with 0 then, and with the error's exit code where it"
            " cannot; name a log-file, too; not for services of systemd",
        ),
    ],
)
