"""The line that tells what a metric is: `#metric NAME JSON`. The one place that writes it, and that reads it.

For agents, servers, clients and scripts. What is read was written by strangers: it is bounded, and has no sign that a
terminal or a page would act upon. Knows nobody who keeps it. Format: docs/formats/lines.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from istat.errors import BadLine
from istat.metrics import VARYING, Metric
from istat.names import stored

KEY = b"#metric"
BEGINS = KEY + b" "
# NAME and JSON together [bytes]: a sentence and a link; a server holds some megabytes of all senders' at most.
MOST_TEXT = 512
MOST_NAME = 200         # [bytes]
MOST_PARTS = 16         # of a name, between dots: what a look-up goes through at most
MOST_UNIT = 32          # [bytes]
MOST_LINK = 250         # [bytes]
KINDS = ("gauge", "event")
CUT = "..."             # ends a help that is longer than there is room for
# A link that a page may offer: nothing that runs when it is clicked, no user and password.
LINK = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:[/?#][!#-;=?-Z\[\]_a-z~%]*)?")
# A name as counters have it, whose parts may have something between < and > that varies.
PART = re.compile(r"[^<>.^*\s]*(?:<[^<>.^*\s]+>[^<>.^*\s]*)?")
WHO = "a metric is declared by `#metric NAME JSON`"


def metric_lines(metrics: Iterable[Metric]) -> list[bytes]:
    """Lines for these metrics, each name once; those that no line can tell are left out, as a name that varies from its
    beginning is, which would mean every counter."""
    found = {}
    for metric in metrics:
        line = metric_line(metric)
        if line:
            found[metric.name] = line
    return list(found.values())


def metric_line(metric: Metric) -> bytes:
    """The line for a metric, b"" where none can tell it. A help that is too long is cut."""
    try:
        return declared_line(metric)
    except BadLine:
        return b""


def declared_line(metric: Metric) -> bytes:
    """The same; BadLine says why none can."""
    if not all(isinstance(text, str) for text in (metric.name, metric.unit, metric.help, metric.link)):
        raise _bad("name, unit, help and link are texts")
    if metric.name.split() != [metric.name]:
        raise _bad("NAME has no blanks, and ends no line")
    help = plain(metric.help)
    told = {"unit": plain(metric.unit), "kind": metric.kind, "help": help, "link": metric.link}
    over = len(_text(metric.name, told)) - MOST_TEXT
    if over > 0:
        kept = len(help.encode()) - over - len(CUT)
        told["help"] = help.encode()[:max(0, kept)].decode("utf-8", "ignore") + CUT
    text = _text(metric.name, told)
    read(text)
    return BEGINS + text + b"\n"


def _text(name: str, told: dict[str, str]) -> bytes:
    words = json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False, separators=(",", ":"))
    return f"{name} {words}".encode("utf-8", "replace")


def read(text: bytes) -> Metric:
    """What `NAME JSON` declares; NAME as counters have it. BadLine (bad_metadata) in a sentence that says why not."""
    if len(text) > MOST_TEXT:
        raise _bad(f"it has {len(text)} bytes, and {MOST_TEXT} is the most: shorten the help")
    named, _, words = text.strip().partition(b" ")
    try:
        told = json.loads(words.decode())
    except (ValueError, RecursionError):
        raise _bad("JSON is an object in UTF-8, such as {\"unit\": \"ms\"}") from None
    if not isinstance(told, dict):
        raise _bad("JSON is an object, such as {\"unit\": \"ms\"}")
    values = {key: told.get(key, "") for key in ("unit", "kind", "help", "link")}
    wrong = [key for key, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise _bad(f"its {wrong[0]} is no text")
    name, kind = _name(named), values["kind"] or KINDS[0]
    unit, help, link = plain(values["unit"]), plain(values["help"]), values["link"].strip()
    if kind not in KINDS:
        raise _bad("its kind is gauge or event")
    if len(unit.encode()) > MOST_UNIT:
        raise _bad(f"its unit has more than {MOST_UNIT} bytes")
    if link and not is_link(link):
        raise _bad(f"its link is no http:// or https:// address of at most {MOST_LINK} bytes")
    return Metric(name, unit, help, kind == "event", link)


def why_not(line: bytes) -> str:
    """What is wrong with a line `#metric NAME JSON`, in a sentence; "" when nothing is, or it is another line."""
    line = line.strip()
    if not line.startswith(BEGINS) and line != KEY:
        return ""
    try:
        read(line[len(BEGINS):])
    except BadLine as error:
        return str(error)
    return ""


def is_link(text: str) -> bool:
    """Whether a page may offer this as a link."""
    return len(text) <= MOST_LINK and LINK.fullmatch(text) is not None


def plain(text: str) -> str:
    """A text in one line, in which signs that nobody can print (or that turn others round) are blanks."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _name(named: bytes) -> str:
    """NAME as counters have it. BadLine."""
    name = stored(named).decode("ascii", "replace")
    parts = name.split(".")
    if not name or len(named) > MOST_NAME or len(parts) > MOST_PARTS:
        raise _bad(f"NAME has 1 to {MOST_NAME} bytes and at most {MOST_PARTS} parts")
    if VARYING.match(name) or not all(PART.fullmatch(part) for part in parts):
        raise _bad("NAME is a counter's, without carets; a part of it may be <word>, but for its beginning")
    return name


def _bad(why: str) -> BadLine:
    return BadLine("bad_metadata", f"{WHO}: {why}")
