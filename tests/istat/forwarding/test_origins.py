"""What senders tell of themselves, kept for targets."""
from __future__ import annotations

import pytest

from istat.forwarding import origins
from istat.forwarding.origins import Origins


def test_the_last_value_of_each_key_is_kept_and_only_news_are_told() -> None:
    told = Origins()
    assert told.take("web1", b"#agent web1\n#version 1\r\n") == b"#agent web1\n#version 1\n"
    assert told.take("web1", b"#agent web1\n#version 2\n") == b"#version 2\n"
    assert told.take("web1", b"#version 2") == b""
    assert told.text("web1") == b"#agent web1\n#version 2\n"
    assert told.text("nobody") == b""


def test_what_is_no_metadata_or_too_long_is_left_out() -> None:
    told = Origins()
    assert told.take("web1", b"no\n#key\n#long " + b"x" * 1000 + b"\n#good 1\n") == b"#good 1\n"
    assert told.take("n" * 300, b"#good 1\n") == b""
    assert told.names() == ["web1"]


def test_there_is_a_bound_for_keys_and_for_origins() -> None:
    told = Origins()
    told.take("many", b"".join(b"#key%d x\n" % n for n in range(100)))
    assert told.text("many").count(b"\n") == origins.MOST_KEYS
    for n in range(origins.MOST_ORIGINS):
        told.take(f"host{n}", b"#agent x\n")
    assert told.text("many") == b""
    assert len(told.names()) == origins.MOST_ORIGINS


def test_all_together_cost_so_much_memory_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tells of thousands of hosts, all that each may tell, does not fill ours."""
    monkeypatch.setattr(origins, "MOST_BYTES", 100_000)
    told = origins.Origins()
    text = b"".join(b"#k%d %s\n" % (key, b"v" * 500) for key in range(origins.MOST_KEYS))
    for number in range(100):
        told.take(f"host{number}", text)
    assert told.names() == ["host96", "host97", "host98", "host99"]
    for _ in range(100):
        told.take("host96", b"#k1 %d\n" % _)
    assert told._bytes == sum(len(line) + origins.LINE_BYTES for name in told.names()
                              for line in told.text(name).splitlines(keepends=True))
