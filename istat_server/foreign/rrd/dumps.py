"""RRD files as the XML that `rrdtool dump` writes, with any of its headers. Knows no folders."""
from __future__ import annotations

from typing import BinaryIO
from xml.etree import ElementTree

from istat_server.foreign.rrd.tables import MOST_SOURCES, Rrd, RrdError, Table


def read(file: BinaryIO) -> Rrd:
    """The file that an XML dump describes. RrdError when it is none."""
    try:
        return _parse(file)
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise RrdError(f"is no dump of rrdtool: {error}") from error


def _parse(file: BinaryIO) -> Rrd:
    step = updated = 0
    names: list[str] = []
    tables: list[Table] = []
    rows: list[list[float]] = []
    path: list[str] = []
    for event, element in ElementTree.iterparse(file, events=("start", "end")):
        if event == "start":
            element.tag = element.tag.rpartition("}")[2]        # `dump --header xsd` puts all into a namespace
            path.append(element.tag)
            continue
        place = "/".join(path)
        path.pop()
        if place == "rrd/step":
            step = int(element.text or "")
        elif place == "rrd/lastupdate":
            updated = int(element.text or "")
        elif place == "rrd/ds":
            names.append((element.findtext("name") or "").strip())
            _check(len(names) <= MOST_SOURCES, "has too many data sources")
        elif place == "rrd/rra/database/row":
            rows.append([float(value.text or "nan") for value in element])
            _check(len(rows[-1]) == len(names), "has rows that do not fit its data sources")
            element.clear()
        elif place == "rrd/rra":
            tables.append(_table(element, rows, step, updated))
            rows = []
            element.clear()
    _check(bool(names) and bool(tables), "has no data")
    return Rrd(tuple(names), tuple(tables))


def _table(element: ElementTree.Element, rows: list[list[float]], step: int, updated: int) -> Table:
    parts = int(element.findtext("pdp_per_row") or "")
    _check(0 < parts < 1 << 31 and 0 < step < 1 << 31 and 0 < updated < 1 << 40, "has no step or time")
    whole = parts * step
    return Table((element.findtext("cf") or "").strip(), parts, whole, updated - updated % whole, rows)


def _check(sound: bool, problem: str) -> None:
    if not sound:
        raise ValueError(problem)
