"""Feed the native kernels bytes of strangers for a while; meant to run under AddressSanitizer.

    sh tests/fuzz.sh 600            # builds with AddressSanitizer and runs this for 600 s

Knows nothing of what is right (the unit tests compare with the twins): any ValueError is an answer, anything
else, and above all a report of AddressSanitizer, is a fault. Half of the bytes are damaged heavily, which tries
the checks; half have a bit or two flipped behind their head, which gets past them into the decoders. Prints the
seed, which kernels it tries, and how often what was reached. Left out: udp, which takes sockets and parses nothing.
"""
from __future__ import annotations

import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from istat.kernels import implementation
from tests import fuzz_cubes, fuzz_replay

KERNELS = implementation("native")
NOW = 1325395000
LINES = [b"foo.bar 5\n", b"foo.bar 1325394000 5.25\n", b"*ev 1325394000 4\n", b"agg.x 1325394000 10 34 2 5 3\n",
         b"c^x^y 1325394990 0.1\n", b"#host a\n", b"@\n", b"\n", b"x 1e400\n", b"foo.bar " + b"9" * 420 + b"\n",
         b"n" * 2000 + b" 1\n", b"foo.bar\t1325394000\t2\r\n", b"foo.bar nan\n", b" \x0b\x0c foo.bar 1\n"]
SORTS: list[Callable[[random.Random], float]] = [
    lambda rng: rng.randrange(100), lambda rng: rng.random(), lambda rng: round(rng.gauss(50, 9), 2),
    lambda rng: 1e300, lambda rng: -5e-324, lambda rng: 0.0, lambda rng: rng.getrandbits(50)]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them flipped, cut out, repeated or put in."""
    out = bytearray(data)
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(4)
        if what == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif what == 1:
            del out[at:at + rng.randint(1, 9)]
        elif what == 2:
            out[at:at] = rng.randbytes(rng.randint(1, 9))
        else:
            out[at:at] = out[at:at + rng.randint(1, 30)]
    return bytes(out)


def dented(rng: random.Random, data: bytes) -> bytes:
    """The bytes with one to three bits flipped, rather behind than in front; the length stays."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3) if out else 0):
        at = max(rng.randrange(len(out)), rng.randrange(len(out)))
        out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Lightly or heavily damaged, half and half."""
    return dented(rng, data) if rng.random() < 0.5 else mutated(rng, data)


def tried(reached: Counter[str], function: Callable[..., Any], *args: Any) -> Any:
    """What the function gives, or None when it refuses; counted by its name."""
    name = getattr(function, "__name__", str(function))
    try:
        answer = function(*args)
    except ValueError:
        reached[name + " refused"] += 1
        return None
    reached[name] += 1
    return answer


def engine() -> Any:
    """An engine with a route of each sort."""
    made = KERNELS.engine.Engine([10, 300], 7)
    made.add_policy(3, [10])
    made.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 8640], 3)
    for name, event in ((b"foo.bar", False), (b"ev", True), (b"c.x", False), (b"c.y", True), (b"agg.x", False)):
        made.add_counter(name, event)
    for wire, ids in ((b"foo.bar", (0,)), (b"*ev", (1,)), (b"c^x^y", (2, 3)), (b"agg.x", (4,)), (b"x", (0,))):
        made.add_route(wire, ids)
    made.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, 0])
    return made


def columns_of(rng: random.Random, event: bool) -> Any:
    """Time-ordered rows with all sorts of values; in half of the runs values of one sort, as real ones are."""
    rows, time_ = [], 10 * rng.randrange(1 << 20)
    one_sort = rng.choice(SORTS) if rng.random() < 0.5 else None
    for _ in range(rng.randint(1, 300)):
        time_ += 10 * rng.choice([1, 1, 1, 1, 2, 50])
        value = (one_sort or rng.choice(SORTS))(rng)
        if event or rng.random() < 0.7:
            rows.append((time_, 1, float(value), 0.0, float(value), float(value)))
        else:
            m2, high = abs(rng.gauss(0, 1e9)), 1e9 * rng.random()
            rows.append((time_, rng.randint(2, 1 << 40), float(value), m2, -1e9, high))
    return KERNELS.columns.Columns.from_rows(rows)


def many_samples(rng: random.Random) -> Any:
    """Rows that are coded jointly, or nearly so: sums of decimals, with one or the other odd value."""
    scale, wide, base = 10.0 ** rng.randrange(7), 10 ** rng.randrange(1, 9), rng.randrange(-(10**9), 10**9)
    drift, rows = rng.choice([0, 0, wide, 30 * wide]), []
    for i in range(rng.choice([16, 17, 40, 129, 300])):
        samples = [base + drift * i + rng.randrange(wide) for _ in range(rng.choice([30, 30, 30, 2, 1]))]
        mean, total = sum(samples) / len(samples), sum(samples) / scale
        m2 = sum((v - mean) ** 2 for v in samples) / scale / scale
        if rng.random() < 0.01:
            total, m2 = rng.choice([(total + 1e-9, m2), (total, rng.random()), (1e300, m2)])
        rows.append((10 * i, len(samples), total, m2, min(samples) / scale, max(samples) / scale))
    return KERNELS.columns.Columns.from_rows(rows)


def feed_lines(rng: random.Random, reached: Counter[str]) -> None:
    """Lines, split anywhere; then the journal they made, damaged, in a second engine."""
    taker = engine()
    text = b"".join(rng.choices(LINES, k=rng.randint(0, 20)))
    text = damaged(rng, text) if rng.random() < 0.8 else text
    start = rng.randrange(len(text) + 2)
    tried(reached, KERNELS.lines.sift, text, start, len(text), rng.random() < 0.5)
    tried(reached, KERNELS.lines.timed, text, start, len(text), rng.getrandbits(63))
    tried(reached, taker.new_among, text, rng.randrange(20), rng.getrandbits(64))
    at = 0
    for end in sorted(rng.randrange(len(text) + 1) for _ in range(3)) + [len(text)]:
        at += taker.feed(text[:end], at, end)
    taker.take_leftovers()
    change(rng, reached, taker)
    tried(reached, taker.feed, text, 0, len(text))
    taker.set_now(rng.choice([0, NOW - 100, 1 << 62]))
    tried(reached, taker.feed, text, 0, len(text), rng.choice([1, 10, 300, 3600, (1 << 31) - 1, 1 << 31, -1]))
    write_out(rng, taker)
    reached["samples"] += taker.tally()["samples"]
    again = KERNELS.engine.Engine([10, 300], 7)
    again.add_policy(3, [300])
    again.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    for records in (taker.dump_names(), taker.take_journal()):
        tried(reached, again.replay, damaged(rng, records) if rng.random() < 0.7 else records)
    write_out(rng, again)


def feed_rows(rng: random.Random, reached: Counter[str]) -> None:
    """Rows with any numbers, and marks; then the journal they made, damaged, in a second engine that journals."""
    taker = engine()
    taker.take_journal()
    names = [rng.choice([b"foo.bar", b"*ev", b"c^x^y", b"new", b"", b"n" * 2000]) for _ in range(rng.randint(0, 20))]
    values = [0.0, 1.5, 1.5, -1e300, 1.5, 0.0] * 4 + [float("inf"), float("nan")]
    counts = [1, 1, 1, 3, 0, -1, (1 << 62) - 1, 1 << 62, (1 << 63) - 1]
    times = [NOW, NOW, NOW - 5, NOW - 86400, 0, -1, (1 << 63) - 1, -(1 << 63)]
    rows = KERNELS.columns.Columns.from_rows([(rng.choice(times), rng.choice(counts), *rng.choices(values, k=4))
                                              for _ in names])
    for _ in range(3):
        wanted = rng.choice([None, None, rng.choices(range(len(names)), k=3) if names else []])
        tried(reached, taker.feed_rows, names, rows, rng.choice([0, 0, 10, 60, 300, 3600, (1 << 31) - 1, 1 << 31, -1]),
              wanted)
        tried(reached, taker.put_mark, rng.randbytes(rng.choice([0, 1, 9, 255, 256])),
              rng.getrandbits(rng.choice([8, 62, 64])), rng.getrandbits(30))
        tried(reached, taker.put_position, rng.randbytes(rng.choice([16, 16, 15])),
              *(rng.getrandbits(rng.choice([8, 63, 64])) for _ in range(3)), rng.getrandbits(rng.choice([8, 32, 33])))
        change(rng, reached, taker)
    reached["rows taken"] += taker.tally()["journalled"]
    records = taker.take_journal()
    again = KERNELS.engine.Engine([10, 300], 7)
    again.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    names, at = taker.dump_names(), 0
    while at < len(names):
        at = again.replay_names(names, at, rng.randint(1, 20))
    tried(reached, KERNELS.engine.Engine([10], 7).replay_names, damaged(rng, names), rng.randint(-1, len(names) + 1),
          rng.choice([0, 1, 50]))
    follow = rng.random() < 0.5
    tried(reached, again.replay, damaged(rng, records) if rng.random() < 0.7 else records, False, True, follow)
    reached["marks"] += len(again.take_marks())
    reached["followed"] += len(again.take_followed())
    reached["positions"] += again.take_position() is not None
    tried(reached, KERNELS.engine.Engine([10], 7).replay, again.take_journal())
    write_out(rng, again)


def change(rng: random.Random, reached: Counter[str], taker: Any) -> None:
    """Delete, rename and forget some counters."""
    for _ in range(rng.randrange(5)):
        id = rng.randrange(6)
        tried(reached, taker.set_policy, rng.randrange(5), rng.choice([0, 3]))
        tried(reached, taker.delete, id, rng.getrandbits(40))
        tried(reached, rng.choice([taker.undelete, taker.is_gone]), rng.randrange(6))
        tried(reached, taker.rename, rng.randrange(6), rng.choice([b"foo.bar", b"c.x", b"n", b"m" * 500]))
        tried(reached, taker.gone, rng.randrange(6), rng.randrange(4))
        tried(reached, rng.choice([taker.unlearn_moved, lambda: taker.sweep_routes(rng.randrange(9), 99),
                                    taker.give_back]))


def write_out(rng: random.Random, taker: Any) -> None:
    """Read all that an engine holds, and freeze and write it."""
    taker.collect(range(len(taker.counters)), rng.randrange(2), 0, 1 << 40)
    heads = [(head, (10, 300)[level]) for levels in taker.freeze().values() for level, head in enumerate(levels)]
    for frozen, interval in heads:
        if frozen is not None:
            writer = KERNELS.blocks.BlockWriter(rng.choice([5, 100, 16000]), interval)
            frozen.spans(3600)
            frozen.write(writer)
            writer.finish()


def read_blocks(rng: random.Random, reached: Counter[str]) -> None:
    """Written blocks, damaged, read, merged, derived and rendered."""
    writer = KERNELS.blocks.BlockWriter(rng.choice([5, 300, 16000]), 10)
    for id in range(rng.randint(1, 6)):
        event = rng.random() < 0.3
        writer.add_run(id, event, many_samples(rng) if rng.random() < 0.4 else columns_of(rng, event))
    into = KERNELS.columns.Columns()
    readers = []
    for block in writer.finish():
        reached["joint blocks"] += block.data[0] == 2
        data = damaged(rng, block.data) if rng.random() < 0.9 else block.data
        reader = tried(reached, KERNELS.blocks.BlockReader, data, rng.choice([10, 10, 10, 300, 1]))
        for id in {id for id, _, _ in reader.runs()} if reader else ():
            tried(reached, reader.read, id, rng.choice([0, 1 << 22]), rng.choice([1 << 23, 1 << 62]), into)
        readers += [reader] if reader else []
    reached["rows"] += len(into)
    out = KERNELS.blocks.BlockWriter(16000, 10)
    regroup = rng.choice([0, 0, 300])
    tried(reached, KERNELS.blocks.merge_runs, [readers, readers[:1]], 0, 9, [(0, 1 << 30, out)], {rng.randrange(9)},
          rng.choice([None, [(0, 1 << 22), (5, 1 << 40)]]), regroup, rng.random() < 0.3)
    out.finish()
    coarse = KERNELS.blocks.BlockWriter(16000, 300)
    tried(reached, KERNELS.blocks.derive_runs, [readers], 0, 9, 0, 1 << 30, 10, [(300, coarse)])
    coarse.finish()
    work_on(rng, into)


def work_on(rng: random.Random, rows: Any) -> None:
    """All that is done with rows, on rows that damaged bytes made."""
    event = rng.random() < 0.5
    start = rng.choice([0, rows.row(0)[0] if len(rows) else 0])
    KERNELS.render.rows(rows, [b"[", b",", b",", b"]"], rng.sample(KERNELS.render.ROW_FIELDS, 3), b",")
    rows.fold(event)
    for which in KERNELS.render.FIELDS:
        KERNELS.render.column(rows, which, start, rng.choice([1, 10, 300]), rng.choice([0, 50, 2000]))
    coarse = rows.reduce(rng.choice([0, 7]), 300, 30 if event else 0)
    coarse.fill_zero(start, start + 86400, 300, 30)
    coarse.add_direct(rows.slice(0, 1 << 40), 300, 10)
    rows.rates(10)


def search_names(rng: random.Random, reached: Counter[str]) -> None:
    """Names and patterns of any bytes."""
    table = KERNELS.names.NameTable(rng.getrandbits(64))
    for _ in range(rng.randint(0, 50)):
        tried(reached, table.add, mutated(rng, rng.choice([b"cpu.user.host.a", b"a.b", b"", b"*"])))
    pattern = mutated(rng, rng.choice([b"cpu.*", b"?.?", b"*a*b?", b""]))
    search_segments(rng, reached, table, pattern)


def search_segments(rng: random.Random, reached: Counter[str], table: Any, text: bytes) -> None:
    """The same names in segments, some of them unlisted or called otherwise since, and automata of any bytes."""
    cuts = sorted(rng.randrange(len(table) + 1) for _ in range(3))
    segments = [KERNELS.search.build(table, *cut) for cut in zip([0, *cuts[:-1]], cuts, strict=True)]
    for id in rng.sample(range(len(table)), min(3, len(table))):
        table.unlist(id)
        tried(reached, table.relist, id, rng.choice([text, table.name(id)]))
    if rng.random() < 0.5:
        segments[1:] = [KERNELS.search.merge(table, *segments[1:])]
    where = table, segments, (cuts[-1], len(table)), table.moved
    states = rng.randint(2, 6)
    moves = b"".join(bytes([rng.randrange(states), 0]) for _ in range(3 * states))
    pattern = tried(reached, KERNELS.search.Pattern, bytes(rng.choices((0, 0, 1, 2), k=256)),
                    damaged(rng, moves) if rng.random() < 0.1 else moves, rng.randbytes(states), text[:2], [text[2:]])
    if pattern is not None:
        KERNELS.search.find(*where, pattern, rng.randint(-1, 9), rng.randint(-1, 9))
    for limit in (-1, 0, 3):
        behind = rng.choice([None, b"", text, rng.randbytes(3), bytes(65_535)])
        KERNELS.search.find_words(*where, [text[:rng.randint(0, 9)], b"a"], limit, behind)
        KERNELS.search.children(*where, text.rpartition(b".")[0], limit, behind)
    KERNELS.search.work(*where[:3], pattern, [text])


def read_rings(rng: random.Random, reached: Counter[str]) -> None:
    """Slots of a ring of istatd with any numbers."""
    slots = bytearray()
    for number in range(rng.randint(0, 64)):
        slots += struct.pack("<qdffif", NOW + 10 * number, *(rng.choice(SORTS)(rng) % 1e30 for _ in range(3)),
                             rng.randint(-1, 5), 1.0)
    data = damaged(rng, bytes(slots))
    numbers = 10, NOW, 63, 0, 0
    if rng.random() < 0.5:
        huge = [0, 1, -1, NOW, 1 << 60, -(1 << 60), 1 << 62, (1 << 63) - 1]
        numbers = (rng.choice([0, 1, 10, (1 << 31) - 1]), *rng.choices(huge, k=3), rng.choice([0, 30, 1 << 40]))
    made = tried(reached, KERNELS.rings.rows, data[:len(data) - len(data) % 32], *numbers)
    if made is not None:
        reached["rings"] += len(made)
        work_on(rng, made)


TARGETS = (feed_lines, feed_rows, read_blocks, search_names, read_rings)


def run(seconds: float, seed: int, targets: Sequence[Callable[..., None]] = TARGETS) -> dict[str, int]:
    """Take the targets in turn until the time is over; how often each ran and what it reached."""
    rng = random.Random(seed)
    reached: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for target in targets:
            tried(reached, target, rng, reached)
    return dict(reached)


if __name__ == "__main__":
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {SEED}, kernels {KERNELS.columns.__file__}", flush=True)
    ALL = (*TARGETS, *fuzz_cubes.TARGETS, *fuzz_replay.TARGETS)
    print(run(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, SEED, ALL))
