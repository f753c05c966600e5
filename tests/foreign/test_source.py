"""What all importers share: names, and how far a tree is imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from istat_server.foreign.source import Claims, Naming
from istat_server.foreign.whisper import WhisperTree
from istat_server.store.files.manifest import Import


def tree(root: Path, prefix: str = "", renames: tuple[tuple[str, str], ...] = ()) -> WhisperTree:
    return WhisperTree(root, Naming(prefix, renames))


def note(source: WhisperTree, finished: bool = True) -> Import:
    return Import(source.key, source.digest(""), "", finished, 0)


def test_what_changed_while_an_import_was_interrupted_is_new_for_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "a.wsp").write_bytes(b"a")
    begun = note(tree(tmp_path), finished=False)
    (tmp_path / "a.wsp").write_bytes(b"more")
    going_on = tree(tmp_path)
    assert going_on.more(begun)
    done = replace(begun, digest=going_on.digest("a.wsp"), finished=True)
    assert going_on.more(done) and tree(tmp_path).more(done)
    assert not tree(tmp_path).more(note(tree(tmp_path)))


def test_a_rename_makes_a_complete_import_worth_another_look(tmp_path: Path) -> None:
    (tmp_path / "a.wsp").write_bytes(b"a")
    assert tree(tmp_path, renames=(("a.wsp", "b"),)).more(note(tree(tmp_path)))


def test_sources_overlap_where_they_give_the_same_names_to_the_same_files(tmp_path: Path) -> None:
    inner = tmp_path / "root" / "in.ner"
    inner.mkdir(parents=True)
    (inner / "a.wsp").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    whole, unfinished = note(tree(tmp_path / "root", "g.")), note(tree(tmp_path / "root", "g."), finished=False)
    for path, prefix, wanted in (
            (tmp_path / "root", "g.", True), (inner, "g.in.ner.", True), (inner, "G.In.ner", True),
            (inner / "a.wsp", "g.in.ner.", True), (inner, "g.", False), (inner / "a.wsp", "g.", False),
            (tmp_path / "link/in.ner", "g.in.ner.", True), (tmp_path / "root", "h.", False)):
        assert tree(path, prefix).overlaps([whole]) is wanted, (path, prefix)
    assert tree(tmp_path / "root", "g.").overlaps([note(tree(inner, "g.in.ner."))])
    assert not tree(tmp_path / "root", "g.").overlaps([unfinished])


def test_a_name_is_the_first_ones_and_what_has_it_plainly_may_come_again() -> None:
    claims = Claims()
    assert claims.other(b"a.b", "a/b.wsp", True) == claims.other(b"a.b", "a/b.wsp", True) == ""
    assert claims.other(b"a.b", "a.b.wsp", False) == "a.b"
    assert claims.other(b"c", "C.wsp", False) == claims.other(b"c", "C.wsp", False) == ""
    assert claims.other(b"c", "c.wsp", True) == "C.wsp"


def test_names_begin_with_the_prefix_also_where_they_are_given() -> None:
    naming = Naming("g.", (("x/a.rrd", "one"), ("y/*", "two.*")))

    def name(parts: tuple[bytes, ...], origin: str) -> tuple[bytes, bool]:
        made = naming.series(parts, origin, False, (), "", ".rrd")
        return made.name, made.plainly

    assert name((b"x", b"a.rrd"), "x/a.rrd") == (b"g.one", False)
    assert name((b"y", b"z", b"b", b"in"), "y/z/b.rrd:in") == (b"g.two.z.b.in", False)
    assert name((b"w", b"c.rrd"), "w/c.rrd") == (b"g.w.c", True)
    assert name((b"w", b"c.d.rrd"), "w/c.d.rrd") == (b"g.w.c.d", False)
    assert name((b"w", b"C.rrd"), "w/C.rrd") == (b"g.w.C", False)
