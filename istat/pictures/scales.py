"""Scales of pictures: round numbers between two ends, and how they are written. Knows no picture."""

from __future__ import annotations

from math import ceil, floor, log10, ulp

STEPS = (1, 2, 5, 10)           # a round step is one of these times a power of ten
# Suffixes of large numbers, largest first.
LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
DECADES_FOR_HALVES = 2          # so few decades of a logarithmic scale get 2 and 5 as well


def step(span: float, most: int) -> float:
    """The smallest round step of which at most `most` fit into the span (above 0)."""
    least = ulp(0.0)            # below the least number that there is a step would be 0
    rough = max(span / max(1, most), least)
    power = max(10.0 ** floor(log10(rough)), least)
    return next((power * s for s in STEPS if power * s >= rough * (1 - 1e-9)), rough)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, about `most` at most."""
    if not high > low:
        return [low]
    finest = ulp(max(abs(low), abs(high)))      # closer together numbers of that size are the same ones
    size = step(max(high - low, most * finest), most)
    first, last = ceil(low / size - 1e-9), floor(high / size + 1e-9)
    return [place * size for place in range(first, last + 1)]


def whole_ticks(high: float, most: int) -> list[int]:
    """Round whole numbers from 0 to high."""
    size = max(1, round(step(high, most))) if high > 0 else 1
    return list(range(0, floor(high) + 1, size))


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from low to high (both above 0), with 2 and 5 of each where there are few."""
    first, last = floor(log10(low) + 1e-9), ceil(log10(high) - 1e-9)
    steps = (1, 2, 5) if last - first <= DECADES_FOR_HALVES else (1,)
    found = [s * 10.0**power for power in range(first, last + 1) for s in steps]
    return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def written(value: float) -> str:
    """`0`, `0.25`, `12`, `20k`, `1.5M`, `1e-06`."""
    size = abs(value)
    for unit, suffix in LARGE:
        if size >= unit * 10 or (size >= unit and unit > 1e3):
            return f"{value / unit:.4g}{suffix}"
    return "0" if size < 1e-300 else f"{value:.4g}"
