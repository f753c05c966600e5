"""Grids of cells, as PNG, SVG and text."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from itertools import chain, product

import pytest

from istat.errors import IstatError
from istat.pictures import colours, grids
from istat.pictures.grids import FULL, MARKED, UNKNOWN, VOID, Grid, shade
from tests.istat.pictures.reading import pixels


def fleet() -> Grid:
    """Three files of 26 pages, of which some are in memory."""
    rows = [bytes(FULL if page in there else 0 for page in range(26)) for there in ({0, 13}, {0, 3, 13, 16}, set())]
    return Grid(26, rows, labels=["a.rrd", "b.rrd", "c.rrd"], title="fleet", across="page", cell=4,
                legend=[(FULL, "in memory"), (0, "not")])


def test_a_cell_is_exactly_its_pixels() -> None:
    grid = fleet()
    made = grid.png()
    assert struct.unpack(">2I", made[16:24]) == (104, 12)
    found = pixels(made)
    there, absent = (*colours.PLAIN[1], 255), (*colours.NOTHING, 255)
    for row, column in product(range(3), range(26)):
        cell = {found[row * 4 + y][column * 4 + x] for x, y in product(range(4), range(4))}
        assert cell == {there if grid.rows[row][column] else absent}


def test_cells_behind_a_rows_end_are_transparent() -> None:
    [row] = pixels(Grid(3, [bytes([FULL])], cell=1).png())
    assert [alpha for *_, alpha in row] == [255, 0, 0]


def test_shades_keep_nothing_and_all_apart_from_the_rest() -> None:
    assert [shade(share) for share in (0, 1e-9, 1 - 1e-9, 1)] == [0, 1, FULL - 1, FULL]
    shades = [shade(share / 1000) for share in range(1001)]
    assert shades == sorted(shades) and set(shades) == set(range(FULL + 1))


def test_more_of_it_is_darker_on_paper_and_lighter_on_a_dark_page() -> None:
    def light(colour: tuple[int, int, int]) -> float:
        red, green, blue = colour
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for dark, order in ((False, -1), (True, 1)):
        palette = grids._palette(dark)
        for ramp in (palette[:FULL + 1], palette[MARKED + 1:MARKED + FULL + 1]):
            assert [light(c) for c in ramp] == sorted((light(c) for c in ramp), reverse=order < 0)


def test_text_has_a_character_a_cell_and_one_for_each_kind() -> None:
    row = bytes([0, 1, 9, 15, FULL, MARKED + 1, MARKED + FULL, UNKNOWN, VOID, 0])
    assert Grid(10, [row]).text() == "·░▒▓█▚▚? ·\n"
    assert Grid(10, [row], labels=["x"]).text(unicode=False) == "x .-+=#DD? .\n"
    assert fleet().text().splitlines()[1] == "a.rrd █············█············"
    assert fleet().text().splitlines()[-1] == "█ in memory  · not"
    assert Grid(1, [bytes([9])], legend=[(9, "a part")]).text() == "▒\n░▒▓ a part\n"


def test_svg_draws_the_same_cells() -> None:
    """Rectangles of paths, laid over the grid again."""
    rows = [bytes([FULL, FULL, 0, MARKED + 3]), bytes([0])]
    grid = Grid(4, rows, cell=20, title="a < b & c", labels=["<x>", "y\x1b\n"])
    root = ElementTree.fromstring(grid.svg())
    found: dict[tuple[int, int], str] = {}
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        for piece in path.attrib["d"].split("M")[1:]:
            corner, _, size = piece.partition("h")
            x, y = map(int, corner.split())
            for column in range(x // 20, (x + int(size.split("v")[0])) // 20):
                found[y // 20, column] = path.attrib["class"]
    assert found == {(0, 0): "c16", (0, 1): "c16", (0, 2): "c0", (0, 3): "c35", (1, 0): "c0"}
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")][:3] == ["a < b & c", "<x>", "y??"]
    assert "prefers-color-scheme: dark" in grid.svg()


def test_labels_are_as_many_as_can_be_read() -> None:
    grid = Grid(1, [b"\0"] * 100, labels=[f"row{place}" for place in range(100)], cell=4)
    assert grid.svg().count("row") == 25


def test_a_scale_counts_what_a_column_stands_for() -> None:
    texts = [t.text for t in ElementTree.fromstring(Grid(100, [b"\0"] * 2, per_column=50, cell=8).svg()).iter()
             if t.tag.endswith("text")]
    assert {"0", "1,000", "2,000"} <= set(texts)


@pytest.mark.parametrize("size", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (40_000, 1, 1), (30_000, 30_000, 1),
                                  (10, 10, 100_000)])
def test_sizes_that_nobody_can_look_at_are_refused(size: tuple[int, int, int]) -> None:
    columns, rows, cell = size
    with pytest.raises(IstatError, match="pixels"):
        Grid(columns, [b""] * rows, cell=cell).png()


def test_cells_that_are_none_are_the_programmers_fault() -> None:
    for rows in ([bytes([FULL + 1])], [bytes([MARKED])], [bytes([255])], [b"\0\0"]):
        with pytest.raises(ValueError, match="cell"):
            Grid(1, rows).png()


def test_each_code_has_a_letter() -> None:
    assert set(map(grids._letter, grids.CODES)) == set(range(len(grids.BLOCKS)))
    assert len(grids.BLOCKS) == len(grids.PLAIN_LETTERS)
    assert len(set(chain(grids.CODES))) == len(grids.CODES)
