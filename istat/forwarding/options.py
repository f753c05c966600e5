"""The settings of forwarding, declared once for both daemons."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from istat.forwarding.targets import TargetGroup
from istat.settings.setting import Setting
from istat.settings.types import Duration, Flag, HostPort, Many, Path, Size, Text
from istat.wire.batches import MOST_WORDS

# Of a server with 10,000 samples a second these are some ten hours, of an agent with 100 a second more than a month.
SPOOL_BYTES = "1G"
# Less than the retention of the finest level as it is by default: what is older would be refused there [s].
SPOOL_AGE = 7 * 86_400.0
COARSER = ("When more would wait, the oldest samples are merged into buckets of a minute, then of 5 min, then of an "
           "hour; counts, sums, minima and maxima stay exact. What does not fit even so goes, counted.")
# In which a server that was restarted, or a network that was cut, is back as a rule [s].
DOUBT_SECONDS = 3600.0


def settings(spool: str, where: str = "", journal: bool = False) -> tuple[Setting, ...]:
    """The settings; `spool`: the default of the folder, which is each daemon's own; `where`: a sentence about it;
    `journal`: the spool is the daemon's journal, and is made coarser where that of another one loses."""
    return (
        Setting("forward", Many(TargetGroup()), "",
                "Servers that all samples are forwarded to. Each entry gets everything; in an entry with several "
                "targets, `a:8111 | b:8111`, the first that can be reached gets it. `istatd:` before a target: it is "
                "an original istatd, which acknowledges nothing, so that a cut connection can lose some.",
                example='["a.example.net:8111 | b.example.net:8111", "istatd:old.example.net:8111"]'),
        Setting("forward-tls", Flag(), False,
                "Encrypt what is forwarded, and believe a target only by its certificate, which must be for the name "
                "that it has in `forward`. Not for targets with `istatd:`, which know no TLS."),
        Setting("forward-ca", Path(), "",
                "Certificates (PEM) of the authorities that may have signed the targets'; empty: those the system "
                "trusts."),
        Setting("forward-cert", Path(), "",
                "Certificate (PEM) to show to targets that ask who we are; empty: none."),
        Setting("forward-key", Path(), "", "Key of forward-cert (PEM), when it is not in the same file."),
        Setting("forward-token", Text(), "",
                "The targets' samples-token, where they have one; readable on the way without forward-tls. Better put "
                "into the environment or a file than on the command line.", secret=True),
        Setting("forward-doubt", Duration(1.0, 30 * 86_400.0), DOUBT_SECONDS,
                "How long what was sent to a target that went away, and was not acknowledged, waits for that target. "
                "Then the one in use gets it, and what the other had taken is counted twice where both lead to one "
                "server."),
        Setting("spool", Path(), spool, f"Folder of what waits to be forwarded; made when it is missing.{where}"),
        Setting("spool-bytes", Size(16 << 20), SPOOL_BYTES,
                "How large the spool may be. " + (
                    COARSER if journal else "The oldest samples go when more would wait, counted.")),
        Setting("spool-age", Duration(60.0, 366 * 86_400.0), SPOOL_AGE,
                "How old the samples may be that wait in the spool; older ones " + (
                    "are merged into buckets of an hour." if journal else "go, counted.")),
    )


def together(values: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with values that are right alone."""
    targets = Counter((target.host, target.port) for group in values["forward"] for target in group)
    for (host, port), times in targets.items():
        if times > 1:
            yield f"forward has {HostPort(host, port)} in more than one entry: it would get everything twice"
    for name in ("forward-ca", "forward-cert", "forward-key"):
        if values[name] is not None and not values["forward-tls"]:
            yield f"{name} is set and forward-tls is not: set that, too, or leave {name} out"
    if values["forward-key"] is not None and values["forward-cert"] is None:
        yield "forward-key is set without forward-cert: name the certificate, too"
    yield from token_problems("forward-token", values["forward-token"])
    for target in (target for group in values["forward"] for target in group):
        if target.original and values["forward-tls"]:
            yield f"forward-tls is set, and {target} knows no TLS: what goes there would be readable; leave one out"


def token_problems(name: str, token: str) -> Iterable[str]:
    """What is wrong with a token to be shown, which stands in the setting of this name."""
    if token != token.strip() or not all(" " <= sign <= "~" for sign in token):
        yield f"{name} has signs that no samples-token can have: take the target's"
    if len(token) > MOST_WORDS:
        yield f"{name} is longer than {MOST_WORDS} signs, which cannot be shown: give the target a shorter one"
