"""Figures as a person reads them."""

from __future__ import annotations

import pytest

from istat.cli.figures import bytes_text, figure, number_text, seconds_text


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (512, "512 B"), (1023.6, "1 KiB"), (1536, "1.5 KiB"), (7 << 20, "7 MiB"), (123_456_789, "118 MiB"),
    (5 << 40, "5 TiB")])
def test_bytes(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (0.0123, "0.012 s"), (1.5, "1.5 s"), (59.94, "59.9 s"), (60, "1 min"), (130.4, "2 min 10 s"),
    (3600, "1 h"), (90_000, "1 d 1 h"), (86_400 * 12.0, "12 d")])
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_numbers() -> None:
    assert [number_text(value) for value in (12345, 3.0, 0.12345, 1234.5678)] == ["12,345", "3", "0.123", "1,235"]


def test_a_key_tells_the_unit() -> None:
    assert figure("store.file_bytes", 2048) == "2 KiB"
    assert figure("uptime", 61.2) == "1 min 1 s"
    assert figure("store.refusing", "") == "-"
    assert figure("forward.totals.forward.lost.bytes", 266962) == "266,962", "lines that went because of spool-bytes"
    assert figure("forward.spool_lost.bytes", 0) == "0"
    assert figure("store.files", 1000) == "1,000"
    assert figure("version", "0.1") == "0.1"
