"""The MANIFEST: what is written is read, in every version that there ever was."""

from __future__ import annotations

import dataclasses
import json
import zlib

import pytest

from istat.errors import StoreError
from istat_server.store.files.manifest import SETTLED, FileEntry, Import, Manifest, Pin, Policy, decode, encode
from istat_server.store.positions import Deposed, Follows, Known, Position

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


OF_REPLICAS = {"revision": 3, "term": 2, "follows": Follows(Position("11" * 16, 9, 4, 44, 77), 5),
               "fenced": "http://two:8000", "deposed": Deposed("22" * 16, "http://one:8000"),
               "replicas": (Known("two", "http://two:8000"), Known("three", ""))}


def test_what_is_known_of_masters_and_replicas_is_read_and_left_out_where_it_is_nothing() -> None:
    plain = Manifest("00" * 16, (Policy(0, "", "10s:1d"),), pins=(Pin("two", Position("00" * 16, 1, 2, 3), 9),))
    for key in OF_REPLICAS:
        assert f'"{key}"'.encode() not in encode(plain), f"an istatd that does not know {key} goes on with the store"
    state = dataclasses.replace(plain, **OF_REPLICAS)
    again = decode(encode(state), "here")
    assert again == state and again.follows is not None and again.follows.position.salt == 77
    assert b"salt" not in encode(plain)


@pytest.mark.parametrize(("key", "value"), [
    ("follows", {"position": {"store": "1", "epoch": 1, "segment": 1, "offset": 1, "new": 1}, "revision": 1}),
    ("follows", {"position": {"store": "1", "epoch": 1, "segment": 1, "offset": 1}, "revision": 1, "new": 1}),
    ("deposed", {"store": "1", "url": "", "new": 1}), ("replicas", [{"name": "1", "url": "", "new": 1}])])
def test_a_key_in_them_that_is_not_known_is_a_newer_istatds(key: str, value: object) -> None:
    fields = json.loads(encode(Manifest("00" * 16, (Policy(0, "", "10s:1d"),))).partition(b"\n")[2])
    with pytest.raises(StoreError, match="with new, written by a newer istatd"):
        decode(wrapped(3, {**fields, key: value}), "here")
