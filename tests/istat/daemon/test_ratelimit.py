"""Lines that others can cause: so many a second of each kind, what is left out told with the next, nothing forged."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from istat.clock import FakeClock
from istat.daemon import logs
from istat.daemon.ratelimit import LINES_AT_ONCE, LINES_PER_SECOND, SHOWN, LimitedLog, Words, Writer, shown

log = logging.getLogger("istat.some")
FORGED = "/\n2026-01-01 00:00:00,000 ERROR istat_server: the store is lost\x1b[2J"


@pytest.fixture
def limited(clock: FakeClock) -> LimitedLog:
    return LimitedLog(log, clock)


def test_what_is_left_out_is_told_with_the_next_of_its_kind(limited: LimitedLog, clock: FakeClock,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    assert sum(limited.warning("token", "%s again", number) for number in range(5000)) == LINES_AT_ONCE
    assert limited.error("fault", "another kind") and caplog.messages[-1] == "another kind"
    clock.advance(1 / LINES_PER_SECOND)
    assert limited.warning("token", "%s again", 1)
    assert not limited.warning("token", "%s again", 2)
    assert caplog.messages[-1] == f"1 again ({5000 - LINES_AT_ONCE:.0f} more not shown)"
    clock.advance(3600)
    assert sum(limited.info("token", "100 %% of %s", 3) for _ in range(100)) == LINES_AT_ONCE


@pytest.mark.parametrize(("value", "told"), [
    (7, 7), ("GET", "GET"), ("/a?b=c", "/a?b=c"), ("[::1]:80", "[::1]:80"), ("", "''"), ("a b", "'a b'"),
    ("it's", '"it\'s"'), (b"x", "'x'"), (b"\x1b[0m\n", "'\\x1b[0m\\n'"), ("ü\u202e\ud800", "'\\xfc\\u202e\\ud800'"),
    ("a\\nb", "'a\\\\nb'"), (ValueError("no\nway\x00"), "no\\nway\\x00"), (Words("said: it's ü"), "said: it's ü"),
    ("x" * (SHOWN + 1), f"'{'x' * SHOWN}'... ({SHOWN + 1} characters)"),
    (b"x" * 70_000, f"'{'x' * SHOWN}'... (70000 bytes)"), (["a\n", "b"], "['a\\n', 'b']"),
    (Words("y" * 1001), "y" * 1000 + "... (1001 characters)"),
])
def test_values_are_printable_and_cut(value: object, told: object) -> None:
    assert shown(value) == told


def test_a_library_writes_lines_of_the_limit(limited: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(limited, "library")
    for _ in range(100):
        writer.write(FORGED + "\n")
        writer.write("\n")
    writer.flush()
    assert len(caplog.records) == LINES_AT_ONCE
    assert "\n" not in caplog.messages[0]


@pytest.fixture(params=[True, False], ids=["journal", "file"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a daemon's handler writes."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logs.formatter(request.param))
    logs.start(handler, "debug")
    yield handler.stream


def test_no_line_of_others_looks_like_ours_whoever_logs_it(written: io.StringIO) -> None:
    """Also one that was not limited: lines for debugging, of libraries, a traceback."""
    log.debug("refused a request for %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError:
        log.exception("failed")
    lines = written.getvalue().splitlines()
    ours = [line for line in lines if not line.startswith(("  ", "<7>  ", "<3>  "))]
    assert len(ours) == 2 and "refused a request for /" in ours[0] and ours[1].endswith("istat.some: failed")
    assert "\x1b" not in written.getvalue() and len([line for line in lines if "the store is lost" in line]) == 2
