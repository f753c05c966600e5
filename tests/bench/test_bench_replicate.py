"""The pieces of the benchmark of forwarding and replicas that need no server."""
from __future__ import annotations

import socket
import time
from pathlib import Path

from bench.figures import Mode
from bench.ingest import table
from bench.load.work import Form, Writer
from bench.replicas import pieces, plainly
from bench.replicate import RELAY, Sink, chunks_of, frames_of, judged, samples_of
from istat.wire.batches import Lines, decode


def test_all_samples_but_the_first_step_are_measured():
    work, values = table(40, 3)
    chunks = chunks_of(work.names, values, Form.ISTATD)
    assert [chunk.count(b"\n") for chunk in chunks] == [40, 40, 40] and samples_of(values) == 80
    times = [{int(line.split()[1]) for line in chunk.splitlines()} for chunk in chunks]
    assert times[1] == times[2] and max(times[0]) == max(times[1]) - 10


def test_a_sink_counts_lines_of_all_connections():
    sink = Sink()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", sink.port)) as connection:
            connection.sendall(b"a 1 2\n" * 500)
    sink.wait(1000)
    assert sink.lines == 1000
    sink.close()


def test_an_even_rate_has_whole_lines_of_now():
    work, values = table(100, 2)
    source = pieces(Writer(work.names, Form.ISTATD), values, 30)
    lines = b"".join(next(source) for _ in range(4)).splitlines()
    assert len(lines) == 120 and all(len(line.split()) == 3 for line in lines)
    assert all(abs(int(line.split()[1]) - time.time()) < 60 for line in lines)


def test_a_plain_copy_has_all_files(tmp_path: Path):
    (tmp_path / "store/part").mkdir(parents=True)
    (tmp_path / "store/part/file").write_bytes(b"x" * 5000)
    assert plainly(tmp_path / "store", tmp_path / "copy") > 0
    assert (tmp_path / "copy/part/file").read_bytes() == b"x" * 5000


def test_what_was_measured_is_judged_by_its_goals():
    forward = Mode("forward", "", {"istatd": [{"cpu_us_per_sample": 0.2}], RELAY: [{"cpu_us_per_sample": 0.25}]})
    receive = Mode("receive", "", {"batches": [{"cpu_us_per_sample": 0.12}], "lines": [{"cpu_us_per_sample": 0.1}]})
    copy = Mode("copy", "", {"istatd": [{"bytes_per_s": 1e8}]})
    assert [(what, round(value, 3), reached) for what, value, _goal, reached in judged([forward, receive, copy])] == [
        ("forwarding: us a sample", 0.2, True), (f"forwarding by {RELAY}", 0.8, False), ("batches by lines", 1.2, True),
        ("base copy: bytes/s", 1e8, False)]


def test_batches_have_the_same_lines():
    work, values = table(2000, 3)
    chunks = chunks_of(work.names, values, Form.ISTATD)
    made = [decode(frame) for frame in frames_of(chunks[1:], 7)]
    assert [batch.sequence for batch in made if isinstance(batch, Lines)] == list(range(8, 8 + len(made)))
    assert b"".join(batch.text for batch in made if isinstance(batch, Lines)) == b"".join(chunks[1:])
