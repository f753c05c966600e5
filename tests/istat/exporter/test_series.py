"""What the exporter has of the samples that came in, as Prometheus' own parser reads it."""

from __future__ import annotations

import gc
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from istat.exporter import series
from istat.exporter.mapping import Mapping
from istat.exporter.series import CONTENT_TYPE, CONTENT_TYPE_UTF8, Exporter

NOW = 1_700_000_003


def exporter(fresh: float = 300.0, most: int = 1000, translate: bool = True, tags: tuple[str, ...] = ()) -> Exporter:
    """One of a machine called Web.1."""
    return Exporter(Mapping(tags, translate), "Web.1", fresh, most, not translate)


def told(found: Exporter, now: int = NOW) -> str:
    return "".join(found.text(now))


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, float, Any]]:
    """(type, value, time [ms]) of each series, as the official parser has them; each once, one TYPE a name."""
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # The parser calls a counter's sample name_total, whatever the text says.
            name = sample.name.removesuffix("_total") if family.type == "counter" else sample.name
            key = name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = family.type, sample.value, round(sample.timestamp * 1000)
    assert len(found) == sum(bool(line) and not line.startswith("#") for line in text.split("\n"))
    return found


def test_the_worked_example() -> None:
    found = exporter()
    found.feed(b"test.gauge.1 10 41\ntest.gauge.1 20 42\n*test.counter^host.h^role.r^class.c^d.f 20 1\n"
               b"*test.counter^host.h^role.r^class.c^d.f 15 1\ntest.gauge.2^host.h^class.foo 20 43\n", 50)
    assert told(found, 50) == (
        "# TYPE test_counter counter\n"
        'test_counter{class="c",host="h",role="r",counter="1"} 2 50000\n'
        "# TYPE test_counter_d_f counter\n"
        'test_counter_d_f{counter="1"} 2 50000\n'
        "# TYPE test_gauge_1 gauge\n"
        "test_gauge_1 42 20000\n"       # its latest value, and that one only
        "# TYPE test_gauge_2 gauge\n"
        'test_gauge_2{class="foo",host="h"} 43 20000\n')
    assert len(parsed(told(found, 50))) == 4


def test_a_sample_without_a_time_or_with_time_0_is_of_now() -> None:
    found = exporter()
    found.feed(b"a 1\nb 0 2\n*c 3\n", NOW)
    values = parsed(told(found))
    assert values["a", ()] == ("gauge", 1, NOW * 1000) and values["b", ()][2] == NOW * 1000
    assert values["c", (("counter", "1"),)] == ("counter", 3, NOW // 5 * 5000)      # steps of 5 s


def test_a_series_has_its_latest_value_whatever_order_samples_come_in() -> None:
    found = exporter()
    found.feed(b"a %d 7\na %d 5\n" % (NOW - 10, NOW - 20), NOW)
    assert parsed(told(found))["a", ()] == ("gauge", 7, (NOW - 10) * 1000)
    found.feed(b"a %d 8\n" % (NOW - 10), NOW)
    assert parsed(told(found))["a", ()][1] == 8


def test_samples_that_say_more_than_a_value() -> None:
    found = exporter()
    found.feed(b"a %d 10 34 2 5 4\n*b %d 10 34 2 5 4\nempty %d 0 0 0 0 0\nnone nan\n" % (NOW, NOW, NOW), NOW)
    values = parsed(told(found))
    assert values["a", ()][1] == 2.5                        # the average
    assert values["b", (("counter", "1"),)][1] == 10        # of events all that happened
    assert values["none", ()][1] == 0 and ("empty", ()) not in values


def test_sums_only_grow_and_have_no_end() -> None:
    found = exporter()
    found.feed(b"*a 4294967295\n*a 1\n*a 0.5\n*a -7\n", NOW)
    values = parsed(told(found))
    assert values["a", (("counter", "1"),)][1] == 4294967296.5
    # What cannot be added is counted.
    assert values["istatd_agent_dropped_metrics", (("counter", "1"), ("host", "web.1"))][1] == 1


def test_several_spellings_of_a_series_add() -> None:
    found = exporter()
    found.feed(b"*A.b^host.h 1\n*a-b^host.h^ 2\n*a.b 4\n", NOW)
    values = parsed(told(found))
    assert values["a_b", (("counter", "1"), ("host", "h"))][1] == 3 and values["a_b", (("counter", "1"),)][1] == 6


def test_a_name_that_is_a_gauge_and_a_counter_has_one_type() -> None:
    found = exporter()
    found.feed(b"a.b 1\n*a_b 2\n", NOW)
    values = parsed(told(found))
    assert values["a_b", ()][:2] == ("unknown", 1) and values["a_b", (("counter", "1"),)][:2] == ("unknown", 2)


def test_old_gauges_go_and_counters_stay_for_a_day() -> None:
    found = exporter(fresh=30.0)
    found.feed(b"a 1\n*b 2\n", NOW)
    assert len(parsed(told(found, NOW + 29))) == 2
    assert [*parsed(told(found, NOW + 30))] == [("b", (("counter", "1"),))]     # before anybody has cleaned, too
    found.expire(NOW + 30)
    assert found.count == 1
    found.feed(b"a 3\n", NOW + 40)
    assert parsed(told(found, NOW + 41))["a", ()][1] == 3
    found.expire(NOW + 86_400)
    assert found.count == 0 and told(found, NOW + 86_400) == ""
    found.feed(b"*b 5\n", NOW + 86_401)
    assert parsed(told(found, NOW + 86_401))["b", (("counter", "1"),)][1] == 5


def test_samples_that_are_too_old_or_ahead_are_not_told() -> None:
    found = exporter()
    found.feed(b"old %d 1\nahead %d 1\n*old %d 1\n*ahead %d 1\nminus -5 1\n"
               % (NOW - 300, NOW + 61, NOW - 86_400, NOW + 61), NOW)
    assert found.count == 0
    found.feed(b"a %d 1\nb %d 1\n" % (NOW - 299, NOW + 60), NOW)
    assert len(parsed(told(found))) == 2


def test_series_are_bounded_and_what_is_dropped_is_counted() -> None:
    found = exporter(most=3)
    found.feed(b"a 1\nb 1\n*c 1\nd 1\nd 2\na 5\ne^host.x^ 1\n", NOW)
    values = parsed(told(found))
    assert {name for name, _ in values} == {"a", "b", "c", "istatd_agent_dropped_metrics"}
    assert values["a", ()][1] == 5
    assert values["istatd_agent_dropped_metrics", (("counter", "1"), ("host", "web.1"))][:2] == ("counter", 3)
    assert (found.count, found.dropped) == (3, 3)
    found.expire(NOW + 300)         # there is room again
    found.feed(b"d 2\n", NOW + 300)
    assert ("d", ()) in parsed(told(found, NOW + 300))


def test_the_series_of_what_was_dropped_is_beside_all_others() -> None:
    found = exporter(most=2)
    found.feed(b"*istatd_agent_dropped_metrics^host.web.1 7\na 1\nb 1\nc 1\n", NOW)
    assert (found.count, found.dropped) == (2, 1)
    found.expire(NOW + 86_400)
    assert found.count == 0


def test_names_that_lead_to_one_series_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = exporter(most=10)
    for number in range(1000):
        found.feed(b"%s 1\n" % b"".join(b"aA"[number >> bit & 1:][:1] for bit in range(10)), NOW)
    assert found.count == 1 and len(found._routes) <= series.ROUTES_PER_SERIES * 10


def test_many_names_are_forgotten_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "AT_ONCE", 10)
    found = exporter(most=100)
    for number in range(450):
        found.feed(b"%s^host.x 1\n" % b"".join(b"aA"[number >> bit & 1:][:1] for bit in range(9)), NOW)
    assert len(found._forgotten) == 400 and len(found._routes) == 50
    held = []
    found.expire(NOW, lambda: held.append(len(found._forgotten)))
    assert held == [*range(390, -1, -10)] and len(found._routes) == 50
    found.feed(b"a 1\n", NOW)
    assert {*parsed(told(found))} == {("a", ()), ("aaaaaaaaa", (("host", "x"),))}


def test_long_names_are_forgotten_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "ROUTE_BYTES_PER_SERIES", 50)
    found = exporter(most=10)
    for number in range(300):
        found.feed(b"a^%s 1\n" % b"".join(b"aA"[number >> bit % 9 & 1:][:1] for bit in range(100)), NOW)
        for routes in (found._routes, found._forgotten):
            assert sum(map(len, routes)) <= 500 + 102
    assert found._route_bytes == sum(map(len, found._routes))
    found.expire(NOW)
    assert not found._forgotten and [*parsed(told(found))] == [("a_" + "a" * 100, ())]


def test_places_of_what_expired_are_used_again_and_by_one_series_only() -> None:
    found = exporter(most=50)
    for step in range(20):
        now = NOW + 400 * step
        found.feed(b"".join(b"g%d.%d^host.h %d %d\n" % (step, number, now, number) for number in range(40)), now)
        found.feed(b"stays %d %d\n" % (now, step), now)
        assert found.count == 41 and found.dropped == 0
        lines = parsed(told(found, now))
        assert lines[("stays", ())][1] == step
        assert [lines[(f"g{step}_{number}", (("host", "h"),))][1] for number in range(40)] == [*range(40)]
        found.expire(now + 350)
        found.feed(b"stays %d %d\n" % (now, step), now)
    assert len(found._places.times) <= 150


def test_a_series_that_expires_while_it_is_told_is_left_out_and_its_place_tells_no_other() -> None:
    found = exporter(most=10_000)
    found.feed(b"".join(b"g^host.h%d %d 1\n" % (number, NOW) for number in range(2500)), NOW)
    parts = found.text(NOW)
    first = next(parts)
    found.expire(NOW + 300)
    found.feed(b"".join(b"other^host.h%d %d 2\n" % (number, NOW + 300) for number in range(2500)), NOW + 300)
    lines = (first + "".join(parts)).splitlines()[1:]
    assert 900 < len(lines) < 1100 and all(line.split()[1] == "1" for line in lines)


def test_the_collector_of_garbage_has_nothing_to_walk() -> None:
    found = exporter(most=100_000)
    gc.collect()
    before = len(gc.get_objects())
    found.feed(b"".join(b"*name.%d^host.h%d^x 1\n" % (number, number) for number in range(3000)), NOW)
    gc.collect()
    assert found.count == 6000 and len(gc.get_objects()) - before < 500


def test_what_is_no_sample_is_passed_over() -> None:
    found = exporter()
    found.feed(b"#hostname x\n@reserved\nno number\na b c d e\n\n \nx inf\n\xff\xfe 1\n" + b"y" * 2000 + b" 1\n", NOW)
    assert [*parsed(told(found))] == [("__", ())]


def test_names_as_they_are_want_another_type_of_content() -> None:
    found = exporter(translate=False)
    found.feed(b"Test.Gauge.1^host.h 5\n*hits^data.center.x 1\n", NOW)
    values = parsed(told(found))
    assert values["test.gauge.1", (("host", "h"),)][1] == 5 and ("hits.data.center.x", (("counter", "1"),)) in values
    assert (exporter().content_type, found.content_type) == (CONTENT_TYPE, CONTENT_TYPE_UTF8)


def test_long_answers_come_in_parts_and_cleaning_lets_others_have_turns() -> None:
    found = exporter(most=10_000)
    found.feed(b"".join(b"one^host.h%d 1\nn%d 2\n" % (number, number) for number in range(3000)), NOW)
    parts = [*found.text(NOW)]
    assert len(parts) >= 6 and max(part.count("\n") for part in parts) <= 2 * series.AT_ONCE
    assert len(parsed("".join(parts))) == 6000
    turns: list[int] = []
    found.expire(NOW + 300, lambda: turns.append(1))
    assert found.count == 0 and len(turns) >= 5


def test_many_lines_are_taken_in_portions() -> None:
    found = exporter()
    turns: list[int] = []
    found.feed(b"a 1\n" * 1000, NOW, lambda: turns.append(1))
    assert len(turns) == 1000 // series.LINES_AT_ONCE


def test_an_answer_goes_on_while_series_come_and_go() -> None:
    found = exporter(most=100_000)
    found.feed(b"".join(b"one^host.h%d 1\nn%d 2\n" % (number, number) for number in range(2000)), NOW)
    text = []
    for number, part in enumerate(found.text(NOW)):
        text.append(part)
        found.feed(b"more%d 1\none^host.more%d 1\n" % (number, number), NOW)
        if number == 2:
            found.expire(NOW + 200)
            found.expire(NOW + 300)
    assert parsed("".join(text))


NAMES = st.binary(min_size=1, max_size=12) | st.sampled_from(
    [b"*a^host.h", b"a^host.h^", b"*b", b"b", b"a^host.x^host.y", b'q^host."\\', b"^a^b", b"a.b", b"a-b", b"A_b"])
VALUES = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: b"%r" % value) | st.binary(max_size=4)


@settings(max_examples=300)
@given(st.lists(st.tuples(NAMES, VALUES, st.integers(NOW - 400, NOW + 100)), max_size=20), st.booleans())
def test_whatever_comes_in_the_official_parser_reads_what_comes_out(
        samples: list[tuple[bytes, bytes, int]], translate: bool) -> None:
    found = exporter(most=15, translate=translate)
    for name, value, time in samples:
        found.feed(b"%s %d %s\n" % (name, time, value), NOW)
    values = parsed(told(found))
    assert len(values) <= 16
    assert all(kind != "counter" or (value >= 0 and not math.isnan(value)) for kind, value, _ in values.values())
