"""Lines as the server gets them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.plugin import Emit
from istat_agent import names


def test_caret_names_from_host_and_tags() -> None:
    emit = Emit(1000)
    emit.gauge("cpu.user", 12.5)
    emit.event("jobs.done", 5)
    emit.gauge("old", 1, time=990)
    suffix = names.suffix("Web1.example.net", ["class.web", "site.berlin"], False)
    assert b"".join(names.lines(emit.readings, suffix, emit.time)).decode() == (
        "cpu.user^host.web1_example_net^class.web^site.berlin 1000 12.5\n"
        "*jobs.done^host.web1_example_net^class.web^site.berlin 1000 5\n"
        "old^host.web1_example_net^class.web^site.berlin 990 1\n"
    )


def test_bare_name_only_when_asked_for() -> None:
    assert names.suffix("a", [], False) == "^host.a"
    assert names.suffix("a", [], True) == "^host.a^"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (2**63, "9223372036854775808"), (3.0, "3"), (1 / 3, "0.3333333333"),
     (123456789012.0, "123456789012"),
     (-0.5, "-0.5"), (1e-9, "1e-09"), (1e300, "1e+300")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert names.number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_they_were_to_ten_digits(value: float) -> None:
    assert float(names.number(value)) == pytest.approx(value, rel=1e-9, abs=0)


@given(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False))
def test_any_name_makes_one_line_of_three_words(name: str, value: float) -> None:
    if name[0] in "*#@$%&;:":
        return
    emit = Emit(1000)
    emit.gauge(name, value)
    (line,) = names.lines(emit.readings, "^host.a", 1000)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert len(line.split()) == 3


def test_odd_host_names() -> None:
    assert names.host_label("Büro 7.lan") == "b_ro_7_lan"
    assert names.host_label("") == "localhost"
