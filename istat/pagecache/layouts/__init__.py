"""Layouts of files: which part is on which page, and which pages an update touches. Knows no caches and no logs.

    layouts.parse("mrtg")                   what MRTG makes with rrdtool: one layout
    layouts.parse("statfile:10s:10d,5m:2y") istatd's ring files: one layout for each level of a counter
    layouts.of_head(bytes)                  of a file that is there, by how it begins
"""

from __future__ import annotations

import re

from istat.errors import BadRetention, LayoutError
from istat.pagecache.layouts import ringfile, rrd
from istat.pagecache.layouts.layout import PAGE, Layout, Part, Ring
from istat.retention import DEFAULT_RETENTION

__all__ = ["HEAD", "KINDS", "PAGE", "Layout", "Part", "Ring", "of_head", "parse"]

#: Words on a command line -> what they mean.
KINDS = {"mrtg": "what MRTG makes with rrdtool: 2 data sources, 8 archives of 800 rows, 26 pages",
         "rrd:DS:CF/STEPS/ROWS,...": "an RRD file of so many data sources and these archives, with a step of 300 s",
         "statfile:RETENTION": "istatd's ring files, one for each level, such as statfile:10s:10d,5m:1y9d"}
#: So many bytes at the beginning of a file are enough for most headers; `rrd.header_bytes` tells of all.
HEAD = 65536
# CF/STEPS/ROWS; the number of data sources, and archives.
_ARCHIVE = re.compile("([A-Za-z]{1,20})/([0-9]{1,12})/([0-9]{1,12})", re.ASCII)
_RRD = re.compile(f"([0-9]{{1,12}}):({_ARCHIVE.pattern}(?:,{_ARCHIVE.pattern})*)", re.ASCII)


def parse(text: str) -> tuple[Layout, ...]:
    """The files that one target or counter has. LayoutError when the text is none of KINDS."""
    kind, _, rest = text.partition(":")
    if kind == "mrtg" and not rest:
        return (rrd.mrtg(),)
    try:
        if kind == "rrd":
            return (_rrd(rest),)
        if kind == "statfile":
            return ringfile.of_retention(rest or DEFAULT_RETENTION)
    except (BadRetention, ValueError) as error:
        raise LayoutError(f"{text!r} is no layout: {error}") from error
    raise LayoutError(f"{text!r} is no layout; there are: {', '.join(KINDS)}")


def of_head(head: bytes) -> Layout:
    """The layout of a file by its first bytes, `HEAD` of them where it has so many. LayoutError when it is of no kind
    that is known here."""
    if head.startswith(rrd.MAGIC):
        return rrd.read(head).layout
    if head.startswith(ringfile.MAGIC):
        return ringfile.read(head)
    raise LayoutError("it is neither an RRD file nor a ring file of istatd")


def _rrd(text: str) -> Layout:
    """Of `2:AVERAGE/1/800,MAX/6/800`. ValueError when it is not of this form."""
    whole = _RRD.fullmatch(text)
    if whole is None:
        raise ValueError("write the number of data sources, and CF/STEPS/ROWS of each archive, such as "
                         "rrd:2:AVERAGE/1/800,MAX/6/800")
    sources = whole[1]
    archives = [(function, int(steps), int(rows)) for function, steps, rows in _ARCHIVE.findall(whole[2])]
    if not 1 <= int(sources) <= rrd.MOST_SOURCES or len(archives) > rrd.MOST_ARCHIVES:
        raise ValueError("it has too many data sources or archives, or none")
    for _function, steps_, rows_ in archives:
        if not 1 <= steps_ <= rrd.MOST_STEPS or not 1 <= rows_ <= rrd.MOST_ROWS:
            raise ValueError("an archive has 1 or more steps a row, and 1 or more rows")
    return rrd.layout(int(sources), archives)
