"""HyperLogLog sketches as Apache DataSketches writes them: all images of HLL_4, HLL_6 and HLL_8 read, one of each mode
written. Knows no cubes.

Eight bytes begin an image: how many words of 4 bytes its head has, version 1, family 7, lg_k, the size of a table (as a
power of two), flags, a count or the least rank, and the mode with the type in the bits above it. Then follow, all
little-endian:

    LIST   coupons (rank << 26 | index) of 4 bytes
    SET    their number, of 4 bytes; coupons, or a table of them with zeros between
    HLL    three floats and the number of registers with the least rank, which estimate; how many exceptions there are;
           the registers, of 4 bits (less the least rank; 15 is an exception), 6 bits or a byte; exceptions, as coupons
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from istat.cube.interchange.imported import Imported
from istat.errors import FormatError, SchemaMismatch
from istat.kernels import cubes

HASH = "datasketches"
HEAD = struct.Struct("<8B")
REGISTERS = struct.Struct("<8BdddII")  # the head of an image in mode HLL
VERSION, FAMILY = 1, 7
EMPTY, COMPACT, OUT_OF_ORDER = 4, 8, 16  # flags
LIST, SET, HLL = 0, 1, 2  # modes, and how many words their heads have
HEAD_WORDS = {LIST: 2, SET: 3, HLL: 10}
HLL_4, HLL_6, HLL_8 = 0, 1, 2  # types
LIST_ROOM = 8  # coupons; a list has less
LG_LIST_ROOM, LG_SET_ROOM = 3, 5
INDEX_BITS, RANK_MASK = 26, 63
MIN_LG_K, MAX_LG_K, MOST_PRECISION = 4, 21, 18
EXCEPTION = 15


def from_datasketches(data: bytes) -> Imported[cubes.HyperLogLog]:
    """A sketch hashed by "datasketches", from an image of hll_sketch (serialize_compact or serialize_updatable).

    Of a lg_k above 18 the precision is 18: `lost` says so. What that library estimates from the order of updates is not
    taken over. FormatError(offset, reason) for anything else.
    """
    data = bytes(data)
    if len(data) < HEAD.size:
        raise FormatError(len(data), "too short for a sketch")
    words, version, family, lg_k, _, flags, _, kinds = HEAD.unpack_from(data)
    mode, kind = kinds & 3, kinds >> 2
    if (version, family) != (VERSION, FAMILY):
        raise FormatError(1, f"no HLL sketch: version {version}, family {family}")
    if not MIN_LG_K <= lg_k <= MAX_LG_K:
        raise FormatError(3, f"a lg_k of {lg_k}")
    if mode not in HEAD_WORDS or kind > HLL_8:
        raise FormatError(7, f"mode {mode} of type {kind}")
    if words != HEAD_WORDS[mode]:
        raise FormatError(0, f"a head of {words} words, not {HEAD_WORDS[mode]}")
    precision = min(lg_k, MOST_PRECISION)
    lost = ("precision",) if lg_k > MOST_PRECISION else ()
    if mode == HLL:
        ranks = _registers(data, lg_k, kind)
        return Imported(cubes.hll_from_packed(_packed(_folded(ranks, precision)), precision, HASH), lost)
    sketch = cubes.HyperLogLog(precision, HASH)
    for coupon in _coupons(data, mode, bool(flags & COMPACT)):
        sketch.add_hash(coupon)
    return Imported(sketch, lost)


def _coupons(data: bytes, mode: int, compact: bool) -> list[int]:
    """The coupons of an image in mode LIST or SET."""
    start = 4 * HEAD_WORDS[mode]
    if len(data) < start:
        raise FormatError(len(data), "the head is cut off")
    lg_room = data[4]
    count = data[6] if mode == LIST else struct.unpack_from("<I", data, 8)[0]
    rest = len(data) - start
    if rest % 4 or rest // 4 not in (count, 1 << min(lg_room, INDEX_BITS)) or (compact and rest // 4 != count):
        raise FormatError(start, f"{rest} bytes for {count} coupons")
    found = [coupon for (coupon,) in struct.iter_unpack("<I", data[start:]) if coupon]
    if len(found) != count:
        raise FormatError(start, f"{len(found)} coupons, not {count}")
    if any(coupon >> INDEX_BITS == 0 for coupon in found):
        raise FormatError(start, "a coupon without a rank")
    return found


def _registers(data: bytes, lg_k: int, kind: int) -> Sequence[int]:
    """The ranks of an image in mode HLL."""
    if len(data) < REGISTERS.size:
        raise FormatError(len(data), "the head is cut off")
    exceptions = REGISTERS.unpack_from(data)[-1]
    k, rest = 1 << lg_k, data[REGISTERS.size :]
    size = {HLL_4: k // 2, HLL_6: k // 4 * 3 + 1, HLL_8: k}[kind]
    if len(rest) < size or (kind != HLL_4 and len(rest) != size):
        raise FormatError(REGISTERS.size, f"{len(rest)} bytes for {k} registers")
    if kind == HLL_4:
        return _nibbles(rest[:size], rest[size:], data[6], exceptions)
    ranks = _unpacked(rest[: size - 1]) if kind == HLL_6 else rest
    if max(ranks) > RANK_MASK:
        raise FormatError(REGISTERS.size, f"a rank above {RANK_MASK}")
    return ranks


def _nibbles(halves: bytes, rest: bytes, least: int, exceptions: int) -> list[int]:
    """Ranks from four bits each, and from the exceptions behind them."""
    end = REGISTERS.size + len(halves)
    if len(rest) % 4 or len(rest) > 8 * len(halves):
        raise FormatError(end, f"{len(rest)} bytes of exceptions")
    found = [coupon for (coupon,) in struct.iter_unpack("<I", rest) if coupon]
    higher = {coupon & (1 << INDEX_BITS) - 1: coupon >> INDEX_BITS for coupon in found}
    ranks = [half for byte in halves for half in (byte & 15, byte >> 4)]
    places = {place for place, half in enumerate(ranks) if half == EXCEPTION}
    if len(found) != exceptions or higher.keys() != places:
        raise FormatError(end, f"{len(found)} exceptions for {len(places)} registers, and {exceptions} are told")
    ranks = [higher[place] if half == EXCEPTION else half + least for place, half in enumerate(ranks)]
    if max(ranks) > RANK_MASK:
        raise FormatError(6, f"a rank above {RANK_MASK}")
    return ranks


def _folded(ranks: Sequence[int], precision: int) -> Sequence[int]:
    """The largest rank of each register with the same last bits of its index."""
    k = 1 << precision
    pieces = [ranks[at : at + k] for at in range(0, len(ranks), k)]
    return pieces[0] if len(pieces) == 1 else [max(together) for together in zip(*pieces)]


def _packed(ranks: Iterable[int]) -> bytes:
    """Six bits each, lowest first."""
    four = iter(ranks)
    words = [a | b << 6 | c << 12 | d << 18 for a, b, c, d in zip(four, four, four, four)]
    return b"".join([word.to_bytes(3, "little") for word in words])


def _unpacked(packed: bytes) -> list[int]:
    words = [int.from_bytes(packed[at : at + 3], "little") for at in range(0, len(packed), 3)]
    return [word >> shift & RANK_MASK for word in words for shift in (0, 6, 12, 18)]


def to_datasketches(sketch: cubes.HyperLogLog) -> bytes:
    """A compact image that hll_sketch.deserialize reads: a list or set of coupons, or HLL_8. SchemaMismatch when the
    sketch was not made with hash="datasketches": its items were hashed another way."""
    if sketch.hash != HASH:
        raise SchemaMismatch(f"items hashed by {sketch.hash} mean nothing to DataSketches; make the sketch with "
                             f"hash={HASH!r}")  # fmt: skip
    if sketch.form == "dense":
        return _image(sketch)
    coupons = [(entry & RANK_MASK) << INDEX_BITS | entry >> 6 for entry in sketch.entries()]
    n, lg_k, kinds = len(coupons), sketch.precision, HLL_8 << 2
    body = struct.pack(f"<{n}I", *coupons)
    if n < LIST_ROOM:
        flags = COMPACT | (0 if n else EMPTY)
        return HEAD.pack(HEAD_WORDS[LIST], VERSION, FAMILY, lg_k, LG_LIST_ROOM, flags, n, kinds | LIST) + body
    lg_room = max(LG_SET_ROOM, (-(-n * 4 // 3) - 1).bit_length())  # a table is full to three quarters at most
    if lg_room > lg_k - LG_LIST_ROOM:  # a set of theirs has become registers by then
        return _image(sketch)
    head = HEAD.pack(HEAD_WORDS[SET], VERSION, FAMILY, lg_k, lg_room, COMPACT, 0, kinds | SET)
    return head + struct.pack("<I", n) + body


def _image(sketch: cubes.HyperLogLog) -> bytes:
    """An image in mode HLL, of type HLL_8. It is marked as out of order: they estimate from registers alone then."""
    ranks = sketch.registers()
    counts = [ranks.count(rank) for rank in range(RANK_MASK + 1)]
    low, high = (sum([counts[rank] * 2.0**-rank for rank in part]) for part in (range(32), range(32, RANK_MASK + 1)))
    return REGISTERS.pack(HEAD_WORDS[HLL], VERSION, FAMILY, sketch.precision, 0, COMPACT | OUT_OF_ORDER, 0,
                          HLL_8 << 2 | HLL, sketch.estimate(), low, high, counts[0], 0) + ranks  # fmt: skip
