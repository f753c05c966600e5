"""What the setting `forward` means, and which settings of forwarding fit together."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from istat.forwarding import options
from istat.forwarding.targets import MOST_TARGETS, Target, TargetGroup, Targets
from istat.settings.types import Many

FORWARD = Many(TargetGroup())


def together(**given: Any) -> list[str]:
    values = {setting.name: setting.default for setting in options.settings("/spool")}
    return list(options.together(values | {name.replace("_", "-"): value for name, value in given.items()}))


def test_an_entry_is_a_group_and_commas_separate_groups() -> None:
    first, second = FORWARD.parse("A.example.net:8111 | b , istatd:old:9000")
    assert first == (Target("a.example.net", 8111), Target("b", 8111))
    assert second == (Target("old", 9000, original=True),)


def test_its_text_is_read_back_as_the_same() -> None:
    group = TargetGroup().parse("a|istatd:[::1]:9|b:7")
    assert str(group) == "a:8111 | istatd:[::1]:9 | b:7"
    assert TargetGroup().parse(str(group)) == group
    assert TargetGroup().from_toml(str(group)) == group
    assert FORWARD.to_toml((group,)) == '["a:8111 | istatd:[::1]:9 | b:7"]'


HOSTS = some.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{1,8}){0,2}", fullmatch=True) | some.just("::1")
TARGETS = some.builds(Target, HOSTS, some.integers(1, 65535), some.booleans())


@given(some.lists(TARGETS, min_size=1, max_size=MOST_TARGETS, unique_by=lambda target: (target.host, target.port)))
def test_every_group_is_read_back(targets: list[Target]) -> None:
    assert TargetGroup().parse(str(Targets(targets))) == tuple(targets)


@given(some.text(max_size=60) | some.text("a:|[]19 .istatd", max_size=30))
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    try:
        found = TargetGroup().parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert all(target.host and 0 < target.port < 65536 for target in found)


@pytest.mark.parametrize("text", ["", "|", "a |", ":8111", "a:0", "a:70000", "a b", "http://a:8111", "istatd:",
                                  "a | a:8111", "a | istatd:a", "tls:a:8111"])
def test_what_is_no_group_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="targets such as|twice"):
        TargetGroup().parse(text)


def test_a_group_has_a_bound() -> None:
    with pytest.raises(ValueError, match="more than 16"):
        TargetGroup().parse(" | ".join(f"host{n}" for n in range(MOST_TARGETS + 1)))


def test_settings_that_do_not_fit_together_are_told() -> None:
    one, old = Targets([Target("a", 8111)]), Targets([Target("b", 1, original=True)])
    assert together(forward=(one, old)) == []
    assert "a:8111 in more than one entry" in together(forward=(one, Targets([*old, *one])))[0]
    assert "forward-ca" in together(forward_ca="x")[0]
    assert "forward-cert" in together(forward_tls=True, forward_key="x")[0]
    assert "istatd:b:1 knows no TLS" in together(forward=(one, old), forward_tls=True)[0]
    assert "forward-token" in together(forward_token=" x")[0]
