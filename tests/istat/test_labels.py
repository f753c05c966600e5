"""Things that come and go have names of their own."""

import re

from hypothesis import given
from hypothesis import strategies as st

from istat.labels import MOST_REMEMBERED, Labels
from istat.names import munge


def plain(thing: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", thing.lower()) or "root"


def labels() -> Labels:
    return Labels(plain, "/")


def test_a_thing_alone_has_its_plain_label_whatever_is_in_it() -> None:
    for thing in ("var/lib", "var_lib", "Data", "a b.c", "root", "", "B\xfcro"):
        assert labels().of([thing]) == {thing: plain(thing)}


def test_where_two_have_the_same_it_stays_with_that_in_which_nothing_but_the_separator_was_replaced() -> None:
    assert labels().of(["var_lib", "var/lib"]) == {"var_lib": "var~5flib", "var/lib": "var_lib"}
    assert labels().of(["Data", "data"]) == {"Data": "~44ata", "data": "data"}
    assert labels().of(["", "root"]) == {"": "root", "root": "~root"}
    assert labels().of(["A/b c", "a/B c"]) == {"A/b c": "~41_b~20c", "a/B c": "a_~42~20c"}


def test_names_do_not_change_when_the_other_goes() -> None:
    ours = labels()
    assert ours.of(["Data"]) == {"Data": "data"}
    both = ours.of(["data", "Data"])
    assert ours.of(["Data"]) == {"Data": both["Data"]}


def test_what_is_remembered_is_bounded() -> None:
    ours = labels()
    for n in range(MOST_REMEMBERED + 10):
        ours.of([f"veth{n}"])
    assert len(ours._sharing) <= MOST_REMEMBERED + 1


@given(st.lists(st.text(st.sampled_from("aA_/-.~5f\xfc "), max_size=6), unique=True, max_size=20))
def test_no_two_are_equal_nor_become_so_in_the_server(things: list[str]) -> None:
    found = labels().of(things)
    assert len({munge(label.encode()) for label in found.values()}) == len(things)
    assert all(munge(label.encode()).decode() == label and "." not in label for label in found.values())
