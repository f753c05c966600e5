"""Attackers who ask: without end, for very much, without waiting for the answer, with a wrong token."""

from __future__ import annotations

import gevent
from gevent import socket
from gevent.pool import Pool

from bench.attacks.crowd import RECEIVE, Target, again, connect, drain, run_all, send_lines

PIPELINED = 1_000  # requests sent at once
DEEP, COMPONENTS = 3_000, 480  # names, components of each
AGENTS, KEYS, TEXT = 10_000, 32, 250  # senders, what each tells of itself, and how long [bytes]: the most there is
WIDE = 20_000  # counters below one prefix
ASKERS = 50
LISTED = 190_000  # counters: a few below what a listing refuses
ABANDONED = 200
TOKENS = 5_000
GUESSERS = 20


def get(path: str, more: str = "", close: bool = True) -> bytes:
    """A request."""
    end = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}{end}\r\n".encode()


def ask(target: Target, path: str) -> None:
    """One question, its answer thrown away."""
    with connect(target.http_port) as link:
        link.sendall(get(path))
        target.seen["asked"] += 1
        target.seen["bytes"] += drain(link, target, "answer")


def pipelining(target: Target) -> None:
    """One connection on which requests follow each other without a pause; the answers are read."""
    requests = get("/health", close=False) * PIPELINED

    def talk() -> None:
        with connect(target.http_port) as link:
            link.settimeout(None)
            writer = gevent.spawn(write, link)
            try:
                while target.left:
                    piece = link.recv(RECEIVE)
                    if not piece:
                        break
                    target.seen["answers"] += piece.count(b"HTTP/1.1 ")
            finally:
                writer.kill()

    def write(link: socket.socket) -> None:
        try:
            while target.left:
                link.sendall(requests)
        except OSError:
            target.seen["cut off"] += 1

    run_all(target, [again(target, talk)])


def deep_names(target: Target) -> None:
    """Names of which each prefix is a line of istatd's listing."""
    rest = b".c" * (COMPONENTS - 1)
    send_lines(target.stat_port, b"".join(b"n%d%s 1\n" % (k, rest) for k in range(DEEP)))


def deep_listing(target: Target) -> None:
    """istatd's listing of all, again and again."""
    run_all(target, [again(target, lambda: ask(target, "/?q=*"))])


def many_senders(target: Target) -> None:
    """Senders that tell of themselves as much as they may."""
    telling = b"".join(b"#key%s%d %s\n" % (b"k" * (TEXT - 5), k, b"v" * TEXT) for k in range(KEYS - 1))
    pool = Pool(32)
    for k in range(AGENTS):
        pool.spawn(send_lines, target.stat_port, b"#agent attacker%d\n%s" % (k, telling))
    pool.join()


def agents(target: Target) -> None:
    """Both lists of senders."""
    run_all(target, [again(target, lambda path=path: ask(target, path)) for path in ("/api/v1/agents", "/?a=*")])


def wide_names(target: Target) -> None:
    """Very many components below one prefix."""
    send_lines(target.stat_port, b"".join(b"wide.k%d.x 1\nwide.k%d.y 1\n" % (k, k) for k in range(WIDE // 2)))


def children(target: Target) -> None:
    """Questions for all of them at once."""
    run_all(target, [again(target, lambda: ask(target, "/api/v1/children?prefix=wide"))] * ASKERS)


def many_names(target: Target) -> None:
    """As many as a listing may have."""
    send_lines(target.stat_port, b"".join(b"listed.group%d.k%d 1\n" % (k % 100, k) for k in range(LISTED)))


def abandoned(target: Target) -> None:
    """Listings that are asked for by clients who go at once."""
    for _ in range(ABANDONED):
        if not target.left:
            break
        try:
            with connect(target.http_port) as link:
                link.sendall(get("/?q=*"))
                target.seen["asked"] += 1
                gevent.sleep(0.002)     # else it may be gone before the server has read anything
        except OSError as error:
            target.seen[type(error).__name__] += 1
    gevent.sleep(target.left)


def wrong_tokens(target: Target) -> None:
    """Guesses, each with another path that wants to be more than a line of the log."""
    left = iter(range(TOKENS))

    def guess() -> None:
        with connect(target.http_port) as link:
            for k in left:
                link.sendall(get(f"/api/v1/deleted?match=%0a%1b%5b31m{k}",
                                 f"Authorization: Bearer guess{k}\r\n", close=False))
                status = link.recv(RECEIVE)[9:12].decode("latin-1")
                if not status:
                    return
                target.seen[f"answer.{status}"] += 1
                if not target.left:
                    return
        gevent.sleep(target.left)

    run_all(target, [again(target, guess)] * GUESSERS)
