"""What may be skipped where everything is to be tested, and why.

In continuous integration (CI=true) any other skip is a failure.
"""
from __future__ import annotations

import os
import re

import pytest

SLOW = "slow: run with --slow or ISTAT_SLOW_TESTS=1"
PEERS = "another system's programs: run with --peers"
# A pattern of the reason given -> why it may be.
EXPECTED = {
    re.escape(SLOW): "takes longer than continuous integration has",
    re.escape(PEERS): "only asked for where they are installed; .ci/run asks",
    "only root .*|making a Debian tree needs root": "as another user it cannot be shown",
    "(this machine has )?no (IPv6|::1)( here| on this machine)?": "a container may be without",
    "here everyone may use low ports": "so no mistake can be made there",
    "another user cannot run this Python or read this tree": "in a home folder the tree is its owner's alone",
    "no disk of our own can be mounted here: .*": "a container may forbid it, even to root",
    "no systemd can be booted inside such a tree|runs inside such a tree already": "what made the tree shows it",
    "the plain-Python kernels take minutes for it": "months of a page log, replayed; the native ones take seconds",
    "a million names": "too slow for the plain-Python kernels; the native ones take it",
    "the plain-Python build moves no memory under a reader": "only the native one must refuse such a read",
}


def expected(reason: str) -> bool:
    """Whether a test may be skipped for this reason, also where everything is to be tested."""
    return any(re.fullmatch(pattern, reason, re.DOTALL) for pattern in EXPECTED)


def strict() -> bool:
    """Whether this is continuous integration."""
    return os.environ.get("CI") == "true"


def need(found: object, what: str) -> None:
    """Skip without `what`."""
    if not found:
        pytest.skip(f"{what} is missing")
