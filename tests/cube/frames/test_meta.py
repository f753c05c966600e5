"""META: whose frame it is, and of which time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.cube.frames.meta import Meta, get_meta, put_meta
from istat.errors import FormatError
from istat.kernels.python.reading import Reader

I64 = st.integers(-(1 << 63), (1 << 63) - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
NAMES = TEXTS.filter(bool)
ID = bytes(range(16))


@given(NAMES, st.integers(0, (1 << 64) - 1), I64, st.tuples(I64, I64), st.dictionaries(NAMES, TEXTS, max_size=5),
       st.booleans())
def test_what_was_written_is_read(name: str, sequence: int, tick: int, times: tuple[int, int], pairs: dict[str, str],
                                  delta: bool) -> None:
    meta = Meta(name, ID, ID[::-1], sequence, tick, min(times), max(times), pairs, delta)
    payload = put_meta(meta)
    assert get_meta(Reader(payload), delta) == meta
    assert put_meta(get_meta(Reader(payload), delta)) == payload


def test_the_order_of_pairs_does_not_matter() -> None:
    one, other = {"b": "1", "a": "2"}, {"a": "2", "b": "1"}
    assert put_meta(Meta("n", ID, tags=one)) == put_meta(Meta("n", ID, tags=other))


@pytest.mark.parametrize("at, changed, reason", [
    (32, b"\x80\x00", "more bytes than it needs"), (56, b"\xff", "t0 behind t1"), (57, b"\x05", "cut off"),
    (58, b"\xff", "UTF-8"), (58, b"\n", "control"), (59, b"\x41", "above its limit"), (59, b"\x01\x00\x00", "empty"),
    (59, b"\x02\x01b\x00\x01a\x00", "ascend"), (59, b"\x02\x01a\x00\x01a\x00", "ascend"),
    (59, b"\x00\x00", "behind the end"),
])
def test_what_no_writer_makes_is_refused(at: int, changed: bytes, reason: str) -> None:
    payload = put_meta(Meta("n", ID))
    broken = payload[:at] + changed + payload[at + 1 :]
    with pytest.raises(FormatError, match=reason) as caught:
        get_meta(Reader(broken, base=100), False)
    assert caught.value.offset >= 100 + 32


def test_every_cut_is_refused() -> None:
    payload = put_meta(Meta("name", ID, tags={"k": "v"}))
    for size in range(len(payload)):
        with pytest.raises(FormatError, match="cut off"):
            get_meta(Reader(payload[:size]), False)
