"""What both builds of the engine say of a record that a newer istatd wrote. Knows no records."""

from __future__ import annotations


class UnknownRecord(ValueError):
    """A whole record of a kind that is not known here: not damage, and nothing that may be passed over."""
