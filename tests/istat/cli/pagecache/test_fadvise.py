"""`istat fadvise`: the sentence below its table, for files whose fate is made up."""
from __future__ import annotations

import pytest

from istat.cli import command
from istat.cli.pagecache import fadvise
from istat.pagecache.evicting import Evicted
from istat.pagecache.residency import refused, special
from istat.pagecache.sweeping import NOTHING, Swept

REFUSED = Swept("r", refused(PermissionError(1, "it is another user's")), NOTHING)


def swept(name, before, after, left=0):
    found = Evicted(before, "", after, left if before is not None else None)
    return Swept(name, special()._replace(size=8192, resident=before), found)


UNKNOWN = swept("u", None, None)


@pytest.mark.parametrize("words, files, said, status", [
    ((), [swept("a", 1, 0)], "1 file: 1 page evicted, 0 left", 0),
    ((), [swept("a", 1200, 2, 16), swept("b", 5, 0)], "2 files: 1,203 pages evicted, 16 left", 0),
    ((), [UNKNOWN], "1 file: unknown what is in memory; dontneed was told", 3),
    ((), [UNKNOWN, swept("a", 2, 0)], "1 file: 2 pages evicted, 0 left; without 1 file of unknown residency", 3),
    ((), [REFUSED, swept("a", 2, 0)], "1 file: 2 pages evicted, 0 left", 1),
    (("--no-verify",), [swept("a", 2, None)], "1 file: 2 pages asked to go", 0),
    (("--no-verify", "--verify"), [swept("a", 2, 0)], "1 file: 2 pages evicted, 0 left", 0),
    (("--dry-run",), [swept("a", 1, None)], "1 file: 1 page in memory; nothing was changed", 0),
    (("--dry-run",), [UNKNOWN, UNKNOWN], "2 files: unknown what is in memory; nothing was changed", 3),
    (("-a", "willneed"), [swept("a", 1, 26, None)],
     "1 file: 1 page in memory before, 26 pages after; willneed was told", 0),
    (("-a", "willneed", "--no-verify"), [swept("a", 1, None)], "1 file: willneed was told", 0)])
def test_the_sentence_says_what_is_known(words, files, said, status, monkeypatch, capsys):
    monkeypatch.setattr(fadvise.Sweeper, "sweep", lambda *_: iter(files))
    assert command.main(["fadvise", *words, "x"], None, {"fadvise": lambda: fadvise.COMMAND}) == status
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == said
    assert ("istat: 1 file failed" in err) == (status == 1)
