"""All attacks by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from bench.attacks import asking, holding, sending
from bench.attacks.crowd import Target
from bench.figures import Run
from bench.load import wire

Act = Callable[[Target], None]


@dataclass(frozen=True)
class Attack:
    """One attack. `before`: what the server is given before it is attacked, as any client could; `options`: the
    server's; `files`: how many descriptors it has, 0 for as many as usual."""

    about: str
    act: Act
    before: Act | None = None
    options: tuple[str, ...] = ()
    files: int = 0
    tls: bool = False
    look: Callable[[wire.Client], Run] | None = None  # what else is asked afterwards


def evil_counters(client: wire.Client) -> Run:
    """What became of samples that came by HTTP."""
    found = client.json(wire.get("/api/v1/names", match=f"{sending.EVIL}.*", limit=10_000))
    return {"counters_made": len(found["names"])}


def flush_errors(client: wire.Client) -> Run:
    """Whether the store got the descriptors that it wanted."""
    found = re.search(r"^istatd_store_flush_errors_total (\S+)$", client.text(wire.get("/metrics")), re.MULTILINE)
    return {"flush_errors": float(found[1]) if found else 0.0}


ATTACKS = {
    "nothing": Attack("no attack: the bystanders alone", lambda target: gevent.sleep(target.left)),
    "pipelining": Attack("one HTTP connection that pipelines without end", asking.pipelining),
    "silent": Attack(f"{holding.SILENT:,} HTTP connections that say nothing", holding.silent),
    "slow-bodies": Attack(f"{holding.SLOW_BODIES:,} bodies of one byte per second", holding.slow_bodies),
    "idle-samples": Attack(f"{holding.IDLE_SAMPLES:,} idle sample connections of one host", holding.idle_samples),
    "deep-listing": Attack(f"/?q=* over {asking.DEEP:,} names of {asking.COMPONENTS} components",
                           asking.deep_listing, asking.deep_names),
    "agents": Attack(f"/api/v1/agents and /?a=* with {asking.AGENTS:,} senders", asking.agents, asking.many_senders),
    "children": Attack(f"{asking.ASKERS} questions at once for the children of a prefix with "
                       f"{asking.WIDE // 2:,} of them", asking.children, asking.wide_names),
    "unread": Attack(f"{holding.UNREAD} clients that do not read their answers of 10 MB", holding.unread),
    "unfinished-bodies": Attack(f"{holding.UNFINISHED} bodies of 1 MiB without their last byte",
                                holding.unfinished_bodies),
    "abandoned": Attack(f"{asking.ABANDONED} listings of {asking.LISTED:,} names, asked for and abandoned",
                        asking.abandoned, asking.many_names),
    "stat-posts": Attack("HTTP POSTs at the port for samples", sending.posts, look=evil_counters),
    "wrong-tokens": Attack(f"{asking.TOKENS:,} wrong tokens", asking.wrong_tokens, options=("--admin-token", "right")),
    "handshakes": Attack("halves of TLS handshakes without end, at both ports", sending.handshakes, tls=True),
    "few-descriptors": Attack(f"{2 * holding.FEW} connections where the server has 64 descriptors",
                              holding.few_descriptors, options=("--flush", "1"), files=64,
                              look=flush_errors),
}
