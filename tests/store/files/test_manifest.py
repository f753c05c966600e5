"""The MANIFEST: what is written is read, in every version that there ever was."""

from __future__ import annotations

import json
import zlib

import pytest

from istat.errors import StoreError
from istat_server.store.files.manifest import SETTLED, FileEntry, Import, Manifest, Policy, decode, encode

ENTRY = FileEntry("5m/a.statfile", 1, SETTLED, 0, 300, 1, 1, 1, 100, True, 1325395000, policy=2, cleaned=7)


def wrapped(version: int, fields: dict[str, object]) -> bytes:
    body = json.dumps(fields).encode()
    return b"istat-manifest %d %08x %d\n" % (version, zlib.crc32(body), len(body)) + body


def test_what_is_written_is_read() -> None:
    done = Import("csv:/a.csv", "abc", "120", False, 1325395000, {"rows": 12})
    policies = (Policy(0, "", "10s:1d", frozenset({0})), Policy(2, "db.*", "1m:1d", heir=0))
    state = Manifest("00" * 16, policies, files=(ENTRY,), imports=(done,))
    assert decode(encode(state), "here") == state


def test_version_1_is_read_with_what_version_2_added_at_its_defaults() -> None:
    file = {"path": "10s/a.statfile", "level": 0, "kind": "fine", "start": 0, "end": 10, "seq_lo": 1, "seq_hi": 1,
            "rows": 1, "size": 100, "whole": False, "made": 5}
    old = {"uuid": "00" * 16, "retention": "10s:1d", "next_seq": 2, "replay_from": 1, "names": [1], "next_names": 2,
           "files": [file], "derived": [0], "saved": 9}
    state = decode(wrapped(1, old), "here")
    assert state.policies == (Policy(0, "", "10s:1d", frozenset({0})),)
    assert (state.files[0].policy, state.files[0].cleaned, state.imports) == (0, 0, ())
    assert decode(encode(state), "here") == state


def test_a_newer_version_is_refused_by_its_number() -> None:
    with pytest.raises(StoreError, match="version 4, written by a newer istatd"):
        decode(wrapped(4, {}), "here")
