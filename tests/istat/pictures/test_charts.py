"""Charts of lines, steps, points and bars, as PNG, SVG and text."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from istat.errors import IstatError
from istat.pictures import colours, scales, vector
from istat.pictures.axes import Axis, scale_of
from istat.pictures.charts import BARS, LINE, POINTS, STEPS, Chart, Line
from istat.pictures.marks import Path, Text
from tests.istat.pictures.reading import pixels

SVG = "{http://www.w3.org/2000/svg}"


def falling(log: bool = False) -> Chart:
    """Misses at each number of pages, and a cliff."""
    return Chart("Misses", Axis("pages"), Axis("misses an update", log=log), (
        Line("RANDOM", ((3, 5.32), (5, 1.37), (9, 0.053), (25, 0), (28, 0))),
        Line("readahead", ((3, 20), (18, 6.65), (26, 0.035), (28, 0)), STEPS)), 480, 300)


def test_a_png_has_the_size_that_was_asked_for_and_each_series_colour() -> None:
    made = falling().png()
    assert struct.unpack(">2I", made[16:24]) == (480, 300)
    found = {colour[:3] for row in pixels(made) for colour in row}
    assert {colours.PAPER, colours.INK, colours.FAINT, *colours.SERIES[:2]} <= found
    assert colours.SERIES[2] not in found


def test_a_horizontal_line_is_where_the_axis_says() -> None:
    chart = Chart("", Axis(), Axis(low=0, high=10), (Line("", ((0, 5), (10, 5))),), 400, 200)
    rows = [place for place, row in enumerate(pixels(chart.png())) if (*colours.SERIES[0], 255) in row]
    [axis] = [mark for mark in chart.marks(12, 22) if isinstance(mark, Path) and len(mark.points) == 3]
    top, foot = axis.points[0][1], axis.points[1][1]
    assert rows and abs((rows[0] + rows[-1]) / 2 - (top + foot) / 2) <= 1


def test_svg_is_well_formed_and_goes_with_dark_pages() -> None:
    chart = Chart("a < b & \x00", Axis("x > y"), Axis('"'), (Line("<script>", ((0, 1), (1, 2))),))
    text = chart.svg()
    root = ElementTree.fromstring(text)
    assert "a < b & ?" in [node.text for node in root.iter(f"{SVG}text")]
    assert {"x > y", '"', "<script>"} <= {node.text for node in root.iter(f"{SVG}text")}
    assert "prefers-color-scheme: dark" in text and colours.css(colours.DARK_SERIES[0]) in text


def test_steps_hold_until_the_next_point_and_gaps_are_left_out() -> None:
    nan = float("nan")
    chart = Chart("", Axis(), Axis(), (Line("", ((0, 1), (1, 2), (2, nan), (3, 1), (4, 1)), STEPS),))
    paths = [mark for mark in chart.marks(8, 17) if isinstance(mark, Path) and mark.tone == 0]
    assert [len(path.points) for path in paths] == [3, 3], "0-1 with its corner, and 3-4"
    (_, y0), (x1, y1), (x2, _) = paths[0].points
    assert y0 == y1 and x1 == x2


def test_a_zero_on_a_logarithmic_axis_is_at_its_foot_and_said() -> None:
    _, y = falling(log=True).scales()
    assert y.share(0) == 0 and y.ticks(9)[0] == (0.0, "0")
    assert [words for _, words in y.ticks(9)][1:] == ["0.01", "0.1", "1", "10"]
    assert 0 < y.share(0.035) < y.share(0.053) < y.share(20) < 1


def test_series_differ_by_more_than_colour() -> None:
    lines = tuple(Line(str(place), ((0, place), (1, place))) for place in range(4))
    marks = Chart("", Axis(), Axis(), lines).marks(8, 17)
    paths = [mark for mark in marks if isinstance(mark, Path) and mark.tone >= 0]
    assert len({path.dash for path in paths}) == 4


def test_no_two_series_are_alike() -> None:
    """As many as there are policies, of some logs."""
    chart = Chart("", Axis(), Axis(), tuple(Line(f"({place})", ((0, place), (1, place))) for place in range(30)))
    paths = [mark for mark in chart.marks(8, 17) if isinstance(mark, Path) and mark.tone >= 0]
    assert len({(path.tone % len(colours.SERIES), path.dash) for path in paths}) == 30
    for unicode in (True, False):
        signs = re.findall(r"^  (.) \(\d+\)$", chart.text(unicode), re.MULTILINE)
        assert len(set(signs)) == len(signs) == 30


def test_the_title_of_an_axis_is_above_its_highest_number() -> None:
    line = 22
    chart = Chart("", Axis(), Axis("pages", low=0, high=100), (Line("", ((0, 0), (1, 100))),))
    words = {mark.text: mark.y for mark in chart.marks(12, line) if isinstance(mark, Text)}
    assert words["pages"] + 0.25 * line <= words["100"] - 0.7 * line, "descenders above capitals"


def test_bars_stand_side_by_side_at_their_names() -> None:
    chart = Chart("By slot", Axis(names=("plain", "midnight")), Axis("pages"), (
        Line("read", ((0, 1), (1, 4)), BARS), Line("written", ((0, 2), (1, 8)), BARS)))
    boxes = [node.attrib for node in ElementTree.fromstring(chart.svg()).iter(f"{SVG}rect")][:4]
    heights = [float(box["height"]) for box in boxes]
    assert [round(h / heights[0]) for h in heights] == [1, 4, 2, 8]
    assert chart.text().splitlines() == [
        "By slot (pages)",
        f"plain     read     {'█' * 5} 1",
        f"          written  {'█' * 10} 2",
        f"midnight  read     {'█' * 19} 4",
        f"          written  {'█' * 38} 8"]


def test_text_shows_each_series_by_a_character() -> None:
    text = falling().text()
    assert "  ● RANDOM\n  ○ readahead\nmisses an update\n" in text
    assert re.search(r"^20 │○+$", text, re.MULTILINE)
    plain = falling().text(unicode=False)
    assert plain.isascii() and re.search(r"^20 \|o+$", plain, re.MULTILINE)
    points = Chart("", Axis(), Axis(), (Line("p", ((0, 1), (10, 2)), POINTS),)).text()
    assert points.count("●") == 1 + 2, "one of the legend"


@pytest.mark.parametrize("lines", [(), (Line("", ()),), (Line("one", ((1, 1),)),), (Line("same", ((0, 0), (1, 0))),)])
@pytest.mark.parametrize("log", [False, True])
def test_a_chart_of_nothing_is_one_all_the_same(lines: tuple[Line, ...], log: bool) -> None:
    chart = Chart("empty", Axis(log=log), Axis(log=log), lines)
    assert chart.png() and chart.svg() and chart.text() and chart.text(unicode=False)


def test_what_nobody_can_look_at_is_refused() -> None:
    for size in ((0, 100), (100_000, 10), (30_000, 30_000)):
        chart = Chart("", Axis(), Axis(), (), *size)
        for draw in (chart.png, chart.svg):
            with pytest.raises(IstatError, match="pixels"):
                draw()
    with pytest.raises(ValueError, match="kind"):
        Chart("", Axis(), Axis(), (Line("", (), "pie"),)).svg()


@pytest.mark.parametrize("high", (5e-324, 1.5e-323, 3e-322, 1e-310, 2.3e-308))
def test_the_least_numbers_have_ticks(high: float) -> None:
    for most in (1, 2, 3, 5, 10):
        assert scales.step(high, most) > 0
        for low in (0.0, -high):
            found = scales.ticks(low, high, most)
            assert found == sorted(set(found)) and 1 <= len(found) <= most + 2


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(allow_nan=True, allow_infinity=True)), max_size=20),
       st.sampled_from((LINE, STEPS, POINTS, BARS)), st.booleans())
def test_any_numbers_make_a_picture(points: list[tuple[float, float]], kind: str, log: bool) -> None:
    chart = Chart("any", Axis(), Axis(log=log), (Line("a", points, kind),), 200, 120)
    ElementTree.fromstring(chart.svg())
    chart.png()
    chart.text()


def test_numbers_of_an_axis_do_not_lie_over_each_other() -> None:
    chart = Chart("", Axis(low=0, high=100_000_000), Axis(), (), 300, 200)
    texts = [mark for mark in chart.marks(12, 22) if isinstance(mark, Text) and mark.anchor == "middle"]
    for one, other in pairwise(texts):
        assert one.x + len(one.text) * 6 <= other.x - len(other.text) * 6


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 20))
@example(1801439851.0, 1e-06, 10)
@example(1e12, 1e-4, 20)
def test_ticks_are_round_and_few(low: float, span: float, most: int) -> None:
    found = scales.ticks(low, low + span, most)
    assert len(found) <= most + 2
    assert found == sorted(set(found))


def test_numbers_are_written_short() -> None:
    assert [scales.written(v) for v in (0, 0.25, 12, 300, 5000, 20_000, 1.5e6, 3e9, 1e-6, -20_000)] == [
        "0", "0.25", "12", "300", "5000", "20k", "1.5M", "3G", "1e-06", "-20k"]


def test_ends_of_an_axis_may_be_given() -> None:
    scale = scale_of(Axis(low=0, high=26), [3, 40])
    assert (scale.low, scale.high) == (0, 26) and scale.share(40) == 1
    with pytest.raises(ValueError, match="above 0"):
        scale_of(Axis(log=True, low=0), [1])


def test_texts_lose_what_xml_has_no_place_for() -> None:
    assert vector.escaped("a\udcff\x1b[1m\n<&>\ufffe") == "a??[1m?&lt;&amp;&gt;?"
