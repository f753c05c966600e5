"""Engines for tests, and the lines that are fed to them."""
from __future__ import annotations

from hypothesis import strategies as st

from istat.kernels import implementation

TWIN = implementation("python")
NOW = 1325395000
ALL = (0, 1 << 40)
LINES = st.sampled_from([
    b"foo.bar 5\n", b"foo.bar 1325394000 5.25\n", b"foo.bar 1325394011 -1e-3\n", b"*ev 3\n", b"*ev 1325394000 4\n",
    b"c^x^y 1325394990 0.1\n", b"agg.x 1325394000 10 34 2 5 3\n", b"agg.x 7 7 7 7 7 7\n", b"new.one 1\n", b"\n",
    b"\r\n", b"# a b\n", b"@\n", b"x\n", b" foo.bar  1 \n", b"foo.bar\t1325394000\t2\t\r\n",
    b"foo.bar 1325390000 nan\n", b"foo.bar 1325394000.75 2\n", b"foo.bar 1325393999.99999 2\n", b"*ev -1.5 2\n",
    b"foo.bar 1325300000 123456789012345678\n", b"foo.bar 9999999999 1\n", b"foo.bar 1e3 1\n", b"foo.bar 1.\n",
    b"foo.bar 1320000000 8\n", b"foo.bar 1325394000 0.30000000000000004\n", b"foo.bar  -.5e1\n"])


def engine_of(build, routes=((b"foo.bar", (0,)), (b"*ev", (1,)), (b"c^x^y", (2, 3)), (b"agg.x", (4,)))):
    engine = build.engine.Engine([10, 300], 7)
    for name, event in ((b"foo.bar", False), (b"ev", True), (b"c.x", False), (b"c.y", True), (b"agg.x", False)):
        engine.add_counter(name, event)
    for wire, ids in routes:
        engine.add_route(wire, ids)
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    return engine


def feed(engine, text):
    assert engine.feed(text, 0, len(text)) == text.rfind(b"\n") + 1


def rows(engine, id, level=0):
    (found,) = engine.collect([id], level, *ALL)
    return found.rows()


def again_of(kernels, records):
    engine = kernels.engine.Engine([10, 300], 7)
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    engine.replay(records)
    return engine
