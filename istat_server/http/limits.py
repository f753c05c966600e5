"""Bounds on what one HTTP request may ask and cost. Knows no requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What is refused beyond: with status 413, or 400 where a smaller number is meant."""

    body: int = 1 << 20  # [bytes] of a request's body
    names: int = 1000  # counters in one question for buckets
    points: int = 10_000  # buckets wanted of each counter
    # Numbers in one answer: at some 10 bytes each this is 20 MB of JSON.
    values: int = 2_000_000
    # Buckets of all counters in one answer of istatd: 120 bytes each.
    buckets: int = 500_000
    listed: int = 10_000  # names in one page of a list
    offset: int = 1_000_000  # names that a list may skip: skipping costs as much as listing
    # Bytes of one page of a list, before it is compressed: 10,000 names of 400 characters.
    page: int = 4 << 20
    # Counters behind istatd's listing, which has no pages and whose clients ask for everything at once, and the bytes
    # of it, and of istatd's list of agents: 200,000 names of 45 characters.
    listing: int = 200_000
    listing_bytes: int = 16 << 20


LIMITS = HttpLimits()
