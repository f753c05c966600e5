"""Caret names to metric names and labels, as istatd's exporter had it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import SettingsError
from istat.exporter.mapping import Key, Mapping, head, tag_names, type_line


def keys(wire: bytes, *tags: str, translate: bool = True) -> list[str]:
    """The series of a name as they are written."""
    return [head(key, wire[:1] == b"*") for key in Mapping(tags, translate).keys(wire)]


@pytest.mark.parametrize(("wire", "told"), [
    (b"test.gauge.1", ["test_gauge_1"]),
    (b"*hits", ['hits{counter="1"}']),
    (b"a^host.h^role.r^class.c^d.f", ['a{class="c",host="h",role="r"}', "a_d_f"]),
    (b"*a^host.h", ['a{host="h",counter="1"}']),
    (b"a^pool.p^cluster.c", ['a{cluster="c",pool="p"}']),
    (b"a^host.h^", ['a{host="h"}', "a"]),
    (b"a^", ["a"]),
    (b"^host.h^b", ["host_h", "b"]),                        # an empty base: every piece is a metric
    (b"^a^", ["a"]),
    (b"a^^b", ["a_b"]),                                     # an empty piece is absent
    (b"a^host", ["a_host"]),                                # no rest, no label
    (b"a^host.", ["a_host_"]),
    (b"a^hosts.h", ["a_hosts_h"]),
    (b"a^Host.h", ["a_host_h"]),                            # tag names are exact
    (b"a^host.web.1", ['a{host="web.1"}']),
    (b"a^host.Web-1", ['a{host="Web-1"}']),                 # values stay as they are
    (b"a^host.x^host.y^class.c", ['a{host="x"}', 'a{class="c",host="y"}']),
    (b"a^host.x^host.x", ['a{host="x"}']),                  # one series, fed once
    (b'a^host.say"\\', ['a{host="say\\"\\\\"}']),
    (b"9lives.CPU-%", ["_9lives_cpu__"]),
    ("ä^host.ü".encode(), ['__{host="ü"}']),
    (b"a^host.\xff", ['a{host="\ufffd"}']),
    (b"", []), (b"*", []), (b"^", []), (b"**", ['_{counter="1"}']),
    (b"a" * 1001, []), (b"a" + b"^b" * 65, []),
])
def test_names_become_metrics_and_labels(wire: bytes, told: list[str]) -> None:
    assert keys(wire) == told


def test_tag_names_of_a_file_may_have_dots_and_the_shortest_wins() -> None:
    assert keys(b"a^data.center.fra", "data.center") == ['a{data_center="fra"}']
    assert keys(b"a^data.center.fra", "data.center", "data") == ['a{data="center.fra"}']
    assert keys(b"a^rack.7") == ["a_rack_7"]


def test_names_that_are_not_translated_are_those_of_counters() -> None:
    assert keys(b"Test.Gauge.1^host.h", translate=False) == ['{"test.gauge.1",host="h"}']
    assert keys(b"*hits", translate=False) == ['hits{counter="1"}']
    assert keys(b"a^data.center.x", "data.center", translate=False) == ['a{"data.center"="x"}']
    assert type_line("a.b", "gauge") == '# TYPE "a.b" gauge\n'


@given(st.binary(max_size=60).filter(lambda wire: not set(wire) & set(b" \t\r\n\v\f")))
def test_any_name_gives_each_of_its_series_once(wire: bytes) -> None:
    for translate in (True, False):
        found = Mapping((), translate).keys(wire)
        assert len(set(found)) == len(found) <= 2 + wire.count(b"^")
        for key in found:
            assert key.name and all(value for _, value in key.labels)
            assert len({label for label, _ in key.labels}) == len(key.labels)


def of_file(path: Path | None) -> list[str]:
    """What the setting gives."""
    settings: dict[str, Any] = {"tagnames-path": path}
    return tag_names(settings)


def test_tag_names_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tags"
    path.write_text("rack\n\n data.center \r\nrack\n")
    assert of_file(path) == ["rack", "data.center"]
    assert of_file(None) == []


@pytest.mark.parametrize(("data", "says"), [
    (b"counter\n", "names 'counter', which is the label of event counters"),
    (b"Counter\n", "names 'counter'"),
    (b"\xff\n", "is no text in UTF-8"),
    (b"x\n" * 600_000, "has more than 10000 names, or 1048576 bytes"),
    (b"".join(b"x%d\n" % number for number in range(10_001)), "has more than 10000 names"),
])
def test_files_that_cannot_be_are_told_in_a_sentence(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "tags"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=says):
        of_file(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tagnames-path: .* cannot be read: No such file"):
        of_file(tmp_path / "none")


def test_a_key_is_the_same_in_whatever_order_labels_come() -> None:
    assert Mapping().keys(b"a^host.h^class.c") == Mapping().keys(b"a^class.c^host.h") == [
        Key("a", (("class", "c"), ("host", "h")))]
