"""What came from another library's bytes, and what of it was lost on the way."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Sketch = TypeVar("Sketch")


class Imported(NamedTuple, Generic[Sketch]):
    """A histogram or HyperLogLog sketch from another library's bytes.

    `lost` names the figures that those bytes do not tell: of a histogram "sum", "min", "max" and "m2" are made up from
    the middles and ends of its slots then; of a sketch "precision" is less than it was.
    """

    value: Sketch
    lost: tuple[str, ...]
