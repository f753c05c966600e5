"""`istat cacheplan advise` on real files: whether they have the advice RANDOM is seen in the page cache."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ftest.pagecache import pages
from tests.istat.cli.pagecache.test_cacheplan import rrd_file

ISTAT = (sys.executable, "-c", "from istat.cli.console import main; raise SystemExit(main())")


def advice(path: Path) -> dict[str, dict[str, object]]:
    out = subprocess.run([*ISTAT, "cacheplan", "advise", "--memory", "1G", "--json", str(path)], check=True, timeout=60,
                         stdout=subprocess.PIPE).stdout
    return {one["what"]: one for one in json.loads(out)["advice"]}


@pytest.mark.parametrize("advised", [True, False])
def test_pages_that_nobody_asked_for_are_seen(folder: Path, advised: bool) -> None:
    path = rrd_file(folder / "if.rrd")
    pages.evict(path)
    if advised:
        pages.read_pages(path, [0, 3, 16])
    else:
        path.read_bytes()
    found = advice(path.parent)
    assert found["random"]["now"] is not advised
    assert ("the advice works" in str(found["random"]["text"])) is advised
    assert "KiB ahead" in str(found["read-ahead"]["text"])


def test_a_device_is_read_for_as_long_as_asked_and_nothing_is_left(folder: Path) -> None:
    out = subprocess.run([*ISTAT, "cacheplan", "--memory", "1G", "--json", "--test-device", str(folder)], check=True,
                         timeout=120, stdout=subprocess.PIPE).stdout
    found = json.loads(out)
    assert found["device_iops"] > 10 and found["budget"] == pytest.approx(found["device_iops"] / 2)
    assert list(folder.iterdir()) == []
