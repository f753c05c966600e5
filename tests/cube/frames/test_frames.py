"""Instances as frames, and back: nothing is lost, equal state gives equal bytes, frames of old are read for ever."""

from __future__ import annotations

import json
import pickle
import random
import re
from pathlib import Path
from typing import Any

import pytest

from istat.cube import Instance, Limits
from istat.cube.frames import Incoming
from istat.errors import FormatError, SchemaMismatch
from tests.cube.frames.examples import EXAMPLES, count, described, instance, kinds, register
from tests.cube.frames.test_container import framed, sealed, section

ROOT = Path(__file__).parent.parent.parent.parent
FIXTURES = sorted((ROOT / "tests/fixtures/cube").glob("v*/*.cube"))
PAGE = ROOT / "docs/formats/cube.md"


def like(found: Instance) -> dict[str, Any]:
    """As `described`, through JSON, as the fixtures are."""
    loaded: dict[str, Any] = json.loads(json.dumps(described(found)))
    return loaded


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_written_is_read_and_written_again(name: str, compress: bool) -> None:
    made = EXAMPLES[name]()
    frame = made.serialize(compress)
    found = Instance.deserialize(frame)
    assert described(found) == described(made)
    assert found.serialize(compress) == frame
    assert [cube.schema for cube in found.cubes] == [cube.schema for cube in made.cubes]


@pytest.mark.parametrize("name", EXAMPLES)
def test_equal_state_gives_equal_bytes(name: str) -> None:
    assert EXAMPLES[name]().serialize() == EXAMPLES[name]().serialize()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_merge_after_the_round_trip_is_one_before(name: str) -> None:
    before, after, bytewise = (kinds() for _ in range(3))
    source = EXAMPLES[name]()
    if not source.delta:
        before.delta = after.delta = bytewise.delta = False
    before.merge(source)
    after.merge(Instance.deserialize(source.serialize()))
    bytewise.merge_bytes(source.serialize(compress=True))
    assert before.serialize() == after.serialize() == bytewise.serialize()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_instance_that_was_read_goes_on_counting(name: str) -> None:
    made = EXAMPLES[name]()
    found = pickle.loads(pickle.dumps(made))
    for one in (made, found):
        for cube in one.cubes:
            for metric in cube.metrics:
                key = ("new",) * len(cube.dimensions)
                if metric.kind == "counter":
                    metric.incrby(key, 3)
                elif metric.kind == "hll":
                    metric.add(key, "x")
    assert found.serialize() == made.serialize()


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_frames_of_old_are_read_for_ever(path: Path) -> None:
    found = Instance.deserialize(path.read_bytes())
    assert like(found) == json.loads(path.with_suffix(".json").read_text())
    if "compressed" not in path.stem:
        assert found.serialize() == path.read_bytes(), "this version writes the same bytes"


def test_there_are_fixtures_of_every_example() -> None:
    assert {path.stem for path in FIXTURES} >= set(EXAMPLES)
    assert all(path.stat().st_size < 6000 for path in FIXTURES)


# What merging does to META; docs/formats/cube.md has the table.


def test_merging_keeps_the_identity_and_covers_both_times() -> None:
    dest, source = kinds(), kinds()
    source.identify(bytes([9]) * 16, bytes(16))
    source.name, source.sequence, source.tags = "other", 99, {"dc": "fra", "rack": "7"}
    source.t0, source.t1, source.tick = dest.t0 - 5, dest.t1 + 7, dest.tick + 1
    dest.merge_bytes(source.serialize())
    meta = described(dest)["meta"]
    assert meta | {"name": "kinds", "instance_id": "02" * 16, "sequence": 2, "tags": {
        "dc": "ams", "pod": "über", "rack": "7"}} == meta
    assert (dest.t0, dest.t1, dest.tick) == (source.t0, source.t1, source.tick)


@pytest.mark.parametrize("mine, theirs, sum_is", [(True, True, True), (False, False, False), (False, True, False)])
def test_the_sum_of_two_is_a_delta_when_both_are(mine: bool, theirs: bool, sum_is: bool) -> None:
    dest, source = kinds(), kinds()
    dest.delta, source.delta = mine, theirs
    dest.merge_bytes(source.serialize())
    assert dest.delta is sum_is


def test_what_counts_since_a_start_is_not_added_to_an_interval() -> None:
    dest, source = kinds(), kinds()
    source.delta = False
    before = dest.serialize()
    with pytest.raises(SchemaMismatch):
        dest.merge_bytes(source.serialize())
    assert dest.serialize() == before


def test_an_instance_without_data_becomes_what_is_merged_first() -> None:
    dest = Instance("all")
    dest.merge_bytes(kinds().serialize())
    assert (dest.delta, dest.t0, dest.t1) == (True, kinds().t0, kinds().t1)


def test_a_refused_frame_changes_nothing() -> None:
    dest = kinds()
    before = dest.serialize()
    frame = bytearray(kinds().serialize())
    frame[-9] ^= 1
    for broken in (bytes(frame), sealed(frame)[:-1], b""):
        with pytest.raises(FormatError):
            dest.merge_bytes(broken)
        assert dest.serialize() == before


# Sections.


def sections(frame: bytes) -> list[bytes]:
    """The sections of a frame that is not compressed, heads included."""
    found, at = [], 32
    while at < len(frame) - 8:
        length = int.from_bytes(frame[at + 8 : at + 16], "little")
        found.append(frame[at : at + 16 + length])
        at += 16 + length
    return found


def test_unknown_optional_sections_are_passed_over_and_others_refused() -> None:
    made = kinds()
    parts = sections(made.serialize())
    for flags in (1, 0):
        more = [*parts[:3], section(77, flags=flags, payload=b"new"), *parts[3:]]
        frame = bytearray(framed(b"".join(more), len(more)))
        frame[5], frame[6] = 3, 2
        if flags:
            assert Instance.deserialize(sealed(frame)).serialize() == made.serialize()
        else:
            with pytest.raises(FormatError, match="newer version"):
                Instance.deserialize(sealed(frame))


def test_sections_that_are_missing_twice_there_or_in_another_order_are_refused() -> None:
    parts = sections(EXAMPLES["uncounted"]().serialize())
    orders = [parts[:-1], [*parts, parts[-1]], parts[1:], [parts[1], parts[0], *parts[2:]], [], parts[:1],
              [*parts[:2], *parts[4:], *parts[2:4]], [*parts[:2], parts[3], parts[2], *parts[4:]]]  # fmt: skip
    for order in orders:
        with pytest.raises(FormatError):
            Instance.deserialize(framed(b"".join(order), len(order)))


def test_two_cubes_of_one_identity_are_refused() -> None:
    made = EXAMPLES["uncounted"]()
    frame = made.serialize().replace(b"web2", b"web1")
    with pytest.raises(FormatError, match="second cube"):
        Instance.deserialize(sealed(frame))


# F2: whatever is changed.


def attempts(frame: bytes, rng: random.Random, n: int) -> list[bytes]:
    """The frame with one thing changed each, and the checksum made right."""
    made = []
    for _ in range(n):
        at, out = rng.randrange(len(frame) - 8), bytearray(frame)
        what = rng.randrange(4)
        if what == 0:
            out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif what == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif what == 2:
            out[at : at + rng.randint(1, 8)] = b""
        else:
            out[at:at] = out[at : at + rng.randint(1, 8)]
        out[8:16] = len(out).to_bytes(8, "little")
        if not out[6] & 1:
            out[16:24] = (len(out) - 40).to_bytes(8, "little", signed=True) if len(out) >= 40 else bytes(8)
        made.append(sealed(out))
    return made


def refused_or_valid(frame: bytes) -> bool:
    """Whether an instance is made of it, one that can be read, merged and written."""
    try:
        found = Instance.deserialize(frame, Limits(max_memory=1 << 24))
    except FormatError as error:
        assert 0 <= error.offset <= 1 << 20 and error.reason
        return False
    again = found.serialize()
    assert Instance.deserialize(again).serialize() == again
    json.dumps(described(found))
    Instance("sum").merge(found)
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_byte_changed_and_every_cut_is_refused(name: str) -> None:
    frame = EXAMPLES[name]().serialize()
    for at in range(0, len(frame), max(1, len(frame) // 400)):
        for broken in (frame[:at], frame[:at] + bytes([frame[at] ^ 1 << at % 8]) + frame[at + 1 :]):
            with pytest.raises(FormatError):
                Instance.deserialize(broken)


@pytest.mark.parametrize("name", EXAMPLES)
def test_changed_bytes_with_the_right_checksum_are_refused_or_valid(name: str) -> None:
    rng = random.Random(name)
    valid = [refused_or_valid(frame) for frame in attempts(EXAMPLES[name]().serialize(), rng, 120)]
    assert not all(valid)


@pytest.mark.slow
def test_a_million_changed_frames_are_refused_or_valid() -> None:
    rng = random.Random(7)
    frames = [make().serialize(compress) for make in EXAMPLES.values() for compress in (False, True)]
    for _ in range(1000):
        for frame in attempts(rng.choice(frames), rng, 1000):
            refused_or_valid(frame)


# The page.


def test_the_worked_example_of_the_page_is_what_is_written() -> None:
    text = PAGE.read_text()
    shown = bytes.fromhex("".join(re.findall(r"^[0-9a-f]{4}  ([0-9a-f ]{47})  ", text, re.M)))
    made = instance("a", 1)
    made.tags = {}
    cube = made.cube_create("http", ("path",))
    cube.register_counter("n").incrby(("/",), 300)
    assert shown == made.serialize()
    parts = re.findall(r"^\| `([0-9a-f]{4})` \| `([0-9a-f ]+)", text, re.M)
    assert len(parts) > 10
    assert all(shown[int(at, 16) :].startswith(bytes.fromhex(begins)) for at, begins in parts), parts


def test_what_is_no_bytes_is_a_type_error() -> None:
    for thing in ("text", None, 5):
        with pytest.raises(TypeError):
            Instance.deserialize(thing)  # type: ignore[arg-type]


def test_schema_is_known_before_data_is_read() -> None:
    incoming = Incoming(kinds().serialize(), Limits())
    assert incoming.meta.name == "kinds"
    assert [schema.name for schema in incoming.schema] == ["http"]


def test_a_closed_instance_writes_nothing() -> None:
    made = kinds()
    made.close()
    with pytest.raises(Exception, match="closed"):
        made.serialize()


def test_counts_go_on_while_frames_are_taken() -> None:
    made = instance("going", 5)
    register(made.cube_create("c", ("n",)))
    frames = []
    for number in range(6):
        count(made.cube("c"), (number % 3,), number)
        frames.append(made.serialize())
    assert len(set(frames)) == 6
    assert [len(Instance.deserialize(frame).cube("c").core.slots()) for frame in frames] == [1, 2, 3, 3, 3, 3]
