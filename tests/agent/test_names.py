"""Lines as the server gets them."""

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
