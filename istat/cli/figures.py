"""Numbers as people read them: counts with separators, bytes and times with units. Knows no status and no server."""

from __future__ import annotations

BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
STEP = 1024
# Units of durations, the largest first, each as long as it has at least one [s].
SPANS = (("d", 86_400), ("h", 3600), ("min", 60))


def bytes_text(count: float) -> str:
    """`1.5 MiB`."""
    size, unit = float(count), 0
    while abs(size) >= STEP - 0.5 and unit < len(BINARY) - 1:
        size, unit = size / STEP, unit + 1
    return f"{size:.0f} {BINARY[unit]}" if unit == 0 else f"{_short(size)} {BINARY[unit]}"


def seconds_text(seconds: float) -> str:
    """`3 d 4 h`, `2 min 10 s`, `0.25 s`: two units at most."""
    if abs(seconds) < SPANS[-1][1]:
        return f"{_short(seconds)} s"
    for at, (unit, size) in enumerate(SPANS):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            smaller, step = SPANS[at + 1] if at + 1 < len(SPANS) else ("s", 1)
            return f"{whole} {unit}" + (f" {rest // step} {smaller}" if rest // step else "")
    return f"{_short(seconds)} s"


def number_text(value: float) -> str:
    """`12,345`, `0.123`."""
    return f"{value:,}" if isinstance(value, int) else f"{int(value):,}" if value.is_integer() else _short(value)


def figure(name: str, value: object) -> str:
    """The value of a key of the status, whose last word tells its unit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value) if value not in ("", None) else "-"
    group, _, last = name.rpartition(".")
    if group.endswith("lost"):
        return number_text(value)       # lines, by why they are: `forward.lost.bytes`
    if last.endswith("bytes") or last == "journal_pending":
        return bytes_text(value)
    if last.endswith("seconds") or last == "uptime":
        return seconds_text(value)
    return number_text(value)


def _short(value: float) -> str:
    """Three digits, no zeros behind."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
