"""Feed the native kernels bytes of strangers for a while; meant to run under AddressSanitizer.

    sh tests/fuzz.sh 600            # builds with AddressSanitizer and runs this for 600 s

Knows nothing of what is right (the unit tests compare with the twins): any ValueError is an answer, anything
else, and above all a report of AddressSanitizer, is a fault. Prints a line of counts, and the seed.
"""
from __future__ import annotations

import random
import sys
import time

from istat.kernels import implementation

KERNELS = implementation("native")
NOW = 1325395000
LINES = [b"foo.bar 5\n", b"foo.bar 1325394000 5.25\n", b"*ev 1325394000 4\n", b"agg.x 1325394000 10 34 2 5 3\n",
         b"c^x^y 1325394990 0.1\n", b"#host a\n", b"@\n", b"\n", b"x 1e400\n", b"foo.bar " + b"9" * 420 + b"\n",
         b"n" * 2000 + b" 1\n", b"foo.bar\t1325394000\t2\r\n", b"foo.bar nan\n", b" \x0b\x0c foo.bar 1\n"]


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


def engine() -> object:
    """An engine with a route of each sort."""
    made = KERNELS.engine.Engine([10, 300], 7)
    for name, event in ((b"foo.bar", False), (b"ev", True), (b"c.x", False), (b"c.y", True), (b"agg.x", False)):
        made.add_counter(name, event)
    for wire, ids in ((b"foo.bar", (0,)), (b"*ev", (1,)), (b"c^x^y", (2, 3)), (b"agg.x", (4,)), (b"x", (0,))):
        made.add_route(wire, ids)
    made.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, 0])
    return made


def columns_of(rng: random.Random, event: bool) -> object:
    """Time-ordered rows with all sorts of values."""
    rows, time_ = [], 10 * rng.randrange(1 << 20)
    for _ in range(rng.randint(1, 300)):
        time_ += 10 * rng.choice([1, 1, 1, 1, 2, 50])
        value = rng.choice([rng.randrange(100), rng.random(), round(rng.gauss(50, 9), 2), 1e300, -5e-324, 0.0])
        if event or rng.random() < 0.7:
            rows.append((time_, 1, float(value), 0.0, float(value), float(value)))
        else:
            m2, high = abs(rng.gauss(0, 1e9)), 1e9 * rng.random()
            rows.append((time_, rng.randint(2, 1 << 40), float(value), m2, -1e9, high))
    return KERNELS.columns.Columns.from_rows(rows)


def feed_lines(rng: random.Random) -> None:
    """Lines, split anywhere; then the journal they made, damaged, in a second engine."""
    taker = engine()
    text = mutated(rng, b"".join(rng.choices(LINES, k=rng.randint(0, 20))))
    at = 0
    for end in sorted(rng.randrange(len(text) + 1) for _ in range(3)) + [len(text)]:
        at += taker.feed(text[:end], at, end)
    taker.take_leftovers()
    taker.collect(range(5), 0, 0, 1 << 40)
    frozen = taker.freeze()[0]
    if frozen is not None:
        writer = KERNELS.blocks.BlockWriter(16000, 10)
        frozen.spans(3600)
        frozen.write(writer)
        writer.finish()
    again = KERNELS.engine.Engine([10, 300], 7)
    again.set_limits(NOW, NOW + 60, NOW + 10, [0, 0])
    again.replay(mutated(rng, taker.take_journal()))


def read_blocks(rng: random.Random) -> None:
    """A written block, damaged, read, merged and derived."""
    writer = KERNELS.blocks.BlockWriter(16000, 10)
    for id in range(rng.randint(1, 6)):
        event = rng.random() < 0.3
        writer.add_run(id, event, columns_of(rng, event))
    readers = [KERNELS.blocks.BlockReader(mutated(rng, block.data), 10) for block in writer.finish()]
    into = KERNELS.columns.Columns()
    for reader in readers:
        for id, _event, _rows in reader.runs():
            reader.read(id, 0, 1 << 40, into)
    out = KERNELS.blocks.BlockWriter(16000, 10)
    KERNELS.blocks.merge_runs([readers, readers], 0, 9, [(0, 1 << 30, out)])
    coarse = KERNELS.blocks.BlockWriter(16000, 300)
    KERNELS.blocks.derive_runs([readers], 0, 9, 0, 86400, 10, [(300, coarse)])
    coarse.finish()
    for which in ("avg", "sum", "sdev", "count", "min", "max"):
        KERNELS.render.column(into, which, 0, 300, 50)


def search_names(rng: random.Random) -> None:
    """Names and patterns of any bytes."""
    table = KERNELS.names.NameTable(rng.getrandbits(64))
    for _ in range(rng.randint(0, 50)):
        table.add(mutated(rng, rng.choice([b"cpu.user.host.a", b"a.b", b"", b"*"])))
    pattern = mutated(rng, rng.choice([b"cpu.*", b"?.?", b"*a*b?", b""]))
    table.match(pattern)
    table.search([pattern[:3], pattern[3:]])
    table.children(pattern)


def run(seconds: float, seed: int) -> dict[str, int]:
    """Take the targets in turn until the time is over; how often each answered and refused."""
    rng = random.Random(seed)
    counts = dict.fromkeys(("feed_lines", "read_blocks", "search_names", "refused"), 0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for target in (feed_lines, read_blocks, search_names):
            try:
                target(rng)
            except ValueError:
                counts["refused"] += 1
            counts[target.__name__] += 1
    return counts


if __name__ == "__main__":
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {SEED}", flush=True)
    print(run(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, SEED))
