"""The generated work: the same for everyone, well-formed, and not repeating."""

from bench.load.work import (
    DATAGRAM,
    METRICS,
    STEP,
    Form,
    Work,
    Writer,
    back_fill_times,
    datagrams,
    difference_entropy,
)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = [
        Writer(work.names, Form.ISTATD).chunk(1_700_000_000, row)
        for work in [Work(50)]
        for row in work.steps(3)
    ]
    again = [
        Writer(work.names, Form.ISTATD).chunk(1_700_000_000, row)
        for work in [Work(50)]
        for row in work.steps(3)
    ]
    assert first == again
    assert first[0] != first[1]
    assert next(Work(50, seed=2).steps(1)) != next(Work(50).steps(1))


def test_both_forms_hold_the_same_names_times_and_value_text() -> None:
    work = Work(45)
    row = next(work.steps(1))
    ours = Writer(work.names, Form.ISTATD).chunk(1_700_000_000, row)
    peers = Writer(work.names, Form.GRAPHITE).chunk(1_700_000_000, row)
    assert ours.endswith(b"\n") and peers.endswith(b"\n")
    assert [tuple(line.split(b" ")) for line in ours.splitlines()] == [
        (name, b"1700000000", value) for name, value in zip(work.names, row, strict=True)
    ]
    assert [tuple(line.split(b" ")) for line in peers.splitlines()] == [
        (name, value, b"1700000000") for name, value in zip(work.names, row, strict=True)
    ]


def test_a_writer_can_be_used_for_several_steps() -> None:
    work = Work(3)
    writer = Writer(work.names, Form.ISTATD)
    writer.chunk(10, [b"1", b"2", b"3"])
    assert writer.chunk(20, [b"4", b"5", b"6"]) == (
        b"host.web0000.cpu.user 20 4\nhost.web0000.cpu.system 20 5\nhost.web0000.cpu.idle 20 6\n"
    )


def test_names_are_unique_and_hosts_have_all_metrics() -> None:
    names = Work(2 * len(METRICS)).names
    assert len(set(names)) == len(names)
    assert [name for name in names if name.startswith(b"host.web0001.")] == names[len(METRICS) :]


def test_kinds_of_values() -> None:
    rows = list(Work(len(METRICS)).steps(400))
    series = list(zip(*rows, strict=True))
    for gauge in series[:10]:
        assert all(0 <= float(text) <= 100 and text[-3:-2] == b"." for text in gauge)
    for counter in series[10:16]:
        numbers = [int(text) for text in counter]
        assert all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
    for small in series[16:19]:
        assert {int(text) for text in small} <= set(range(20))
    assert len(set(series[19])) == 1


def test_hours_do_not_repeat_and_the_noise_is_as_hard_as_said() -> None:
    rows = list(Work(len(METRICS)).steps(2160))
    gauge = [row[0] for row in rows]
    assert gauge[:360] != gauge[360:720]
    entropy = sum(difference_entropy([row[index] for row in rows]) for index in range(len(METRICS))) / len(
        METRICS
    )
    assert 0.82 < entropy < 0.92


def test_back_fill_times_are_ordered_and_past() -> None:
    times = back_fill_times(100, 1_700_000_009.5)
    assert times == list(range(times[0], times[-1] + 1, STEP))
    assert times[-1] == 1_699_999_990


def test_datagrams_hold_whole_lines_and_lose_nothing() -> None:
    work = Work(500)
    chunks = [Writer(work.names, Form.ISTATD).chunk(1_700_000_000, row) for row in work.steps(3)]
    pieces = datagrams(chunks)
    assert b"".join(pieces) == b"".join(chunks)
    assert all(len(piece) <= DATAGRAM and piece[-1] == 10 for piece in pieces)
    assert min(len(piece) for piece in pieces[:-1]) > 0
