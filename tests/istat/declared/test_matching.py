"""Which declaration a counter has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.declared.matching import MOST_SHAPES, Matching

DECLARED = ("cpu.user", "cpu", "cpu.core<n>.busy", "disk.<device>.used", "disk.space.<mount>.used",
            "disk.sda.used", "net.<iface>.<way>.bytes", "agent.forward.lost.<kind>", "x.a<n>b")


@pytest.fixture
def matching() -> Matching[str]:
    made: Matching[str] = Matching()
    for name in DECLARED:
        assert made.put(name, name)
    return made


@pytest.mark.parametrize("counter, name", [
    ("cpu.user", "cpu.user"), ("cpu.user.host.web1", "cpu.user"), ("cpu.users", "cpu"), ("cpus.user", None),
    ("cpu.core12.busy.host.a", "cpu.core<n>.busy"), ("cpu.core.busy", "cpu"), ("disk.sdb.used", "disk.<device>.used"),
    ("disk.sda.used.host.a", "disk.sda.used"), ("disk.space.root.used", "disk.space.<mount>.used"),
    ("disk.space.used", "disk.<device>.used"), ("net.eth0.in.bytes.class.web", "net.<iface>.<way>.bytes"),
    ("net.eth0.bytes", None), ("agent.forward.lost.age", "agent.forward.lost.<kind>"), ("x.a1b", "x.a<n>b"),
    ("x.ab", None), ("", None), (".", None), ("disk", None),
])  # fmt: skip
def test_the_longest_declared_name_that_a_counter_begins_with_holds(
        matching: Matching[str], counter: str, name: str | None) -> None:
    assert matching.find(counter) == name


def test_names_that_differ_between_the_signs_only_are_one(matching: Matching[str]) -> None:
    assert matching.get("disk.<disk>.used") == "disk.<device>.used"
    matching.put("disk.<disk>.used", "new")
    assert matching.find("disk.sdb.used") == "new"
    matching.drop("disk.<d>.used")
    assert matching.find("disk.sdb.used") is None
    matching.drop("disk.<d>.used")
    matching.drop("never.there")


def test_shapes_are_bounded_and_names_are_not() -> None:
    made: Matching[int] = Matching()
    for number in range(1000):
        assert made.put(f"a.b{number}", number)
    taken = [made.put(f"a.p{number}<n>", number) for number in range(1000)]
    assert taken.index(False) == MOST_SHAPES - 1 and not any(taken[MOST_SHAPES:])
    made.drop("a.p0<n>")
    assert made.put("a.new<n>", 7) and made.find("a.new3") == 7


@given(st.data())
def test_it_finds_what_trying_all_names_finds(data: st.DataObject) -> None:
    part = st.sampled_from(["a", "b", "<w>", "a<n>", "ab"])
    names = data.draw(st.lists(st.lists(part, max_size=3).map(lambda rest: ".".join(["a", *rest])), max_size=8))
    counter = ".".join(data.draw(st.lists(st.sampled_from(["a", "b", "ab", "aa", "c"]), min_size=1, max_size=5)))
    made: Matching[str] = Matching()
    for name in names:
        made.put(name, name)

    def fits(name: str) -> bool:
        parts, ours = name.split("."), counter.split(".")
        return len(parts) <= len(ours) and all(
            one == ours[at] or one == "<w>" or (one == "a<n>" and ours[at].startswith("a") and len(ours[at]) > 1)
            for at, one in enumerate(parts))

    found = made.find(counter)
    best = max((name.count(".") for name in names if fits(name)), default=None)
    assert (found is None) == (best is None)
    assert found is None or (fits(found) and found.count(".") == best)
