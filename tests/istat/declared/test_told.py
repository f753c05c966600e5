"""Declarations that are told on: each line once, and nobody pushes out what others declared."""

from __future__ import annotations

from istat.declared.told import Told, parted


def test_the_last_line_of_each_name_is_told_and_the_same_again_is_no_news() -> None:
    made = Told()
    assert made.take([b'#metric a {"unit":"s"}\n', b"#metric b {}\n"]) == [b"a", b"b"]
    assert made.take([b'#metric a {"unit":"s"}\n', b"#metric b {} \r\n"]) == []
    assert made.take([b'#metric a {"unit":"ms"}\n']) == [b"a"]
    assert made.names() == [b"a", b"b"]
    assert made.text([b"b", b"a", b"c"]) == b'#metric b {}\n#metric a {"unit":"ms"}\n'


def test_what_is_none_or_finds_no_room_is_counted() -> None:
    made = Told()
    made.take([b"#metric a\n", b"#metric \n", b"#metric a " + b"x" * 600 + b"\n", b"#metric " + b"n" * 201 + b" {}\n"])
    assert made.refused == 4 and made.names() == []
    lines = [b"#metric a {}\n", b"#metric b {}\n", b"#metric c {}\n", b"#metric a []\n"]
    assert made.take(lines, 2) == [b"a", b"b", b"a"]
    assert made.refused == 5 and made.names() == [b"a", b"b"]
    assert made.take([b"#metric own {}\n"]) == [b"own"]
    made.drop(b"b")
    made.drop(b"never")
    assert made.take([b"#metric c {}\n"], 3) == [b"c"] and made.names() == [b"a", b"own", b"c"]


def test_declarations_are_parted_from_what_a_sender_tells_of_itself() -> None:
    assert parted(b"#agent web1\n") == ([], b"#agent web1\n")
    assert parted(b"#agent web1\n#metric a {}\n#metrics 7\n") == ([b"#metric a {}\n"], b"#agent web1\n#metrics 7\n")
    assert parted(b'#metric a {\r"unit":"s"}\r\n#b\rc d\n') == ([b'#metric a {\r"unit":"s"}\r\n'], b"#b\rc d\n")
