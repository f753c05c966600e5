"""The tests' own comparison finds what is missing and what is there twice."""
from __future__ import annotations

import time
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess
from ftest.harness.truth import Sample, Truth

pytestmark = pytest.mark.seconds(3)


def test_it_agrees_with_a_server_and_finds_each_difference(tmp_path: Path) -> None:
    clock = int(time.time())
    samples = [Sample("one^host.a^", clock, (3,)), Sample("one^host.b^", clock - 20, (-5, 7)),
               Sample("one^host.a^", None, (4,)), Sample("*hits^host.a^", clock, (2,)), Sample("*hits", None, (5,))]
    truth = Truth()
    for sample in samples:
        truth.add(sample, clock)
    stamped = [Sample(sample.wire, sample.time or clock, sample.parts) for sample in samples]
    with ServerProcess(tmp_path) as server:
        server.send_tcp(b"".join(sample.line for sample in stamped[:-1]))
        server.wait_for_samples(4)
        (missing,) = truth.differences(server)
        assert missing.startswith(f"hits {clock // 10 * 10}: is (2.0,), should be (7,)")
        server.send_tcp(stamped[-1].line)
        truth.check(server)
        server.send_tcp(stamped[1].line)
        server.wait_for_samples(6)
        twice = truth.differences(server)
        assert sorted(line.split()[0] for line in twice) == ["one", "one.host.b"]
        with pytest.raises(AssertionError, match="2 buckets differ"):
            truth.check(server, seconds=0.1)
