"""The collector `pagecache` on a real disk: what it counts, and what it says as a user who may not know."""
from __future__ import annotations

from pathlib import Path

from ftest.pagecache.pages import make, read_pages
from ftest.pagecache.users import as_user
from istat.pagecache.syscalls import PAGE
from istat.plugin import Config, Emit
from plugins.pagecache.collector import PageCache, label

FILES = 5


def read(folder: Path) -> tuple[dict[str, float], list[str]]:
    """Last part of the names -> value, and problems."""
    emit = Emit()
    for job in PageCache.start(Config({"trees": [str(folder)], "one-in": 1}, interval=1)):
        job.collect(emit)
    prefix = f"pagecache.{label(str(folder))}."
    assert all(name.startswith(prefix) for name in emit.gauges())
    return {name.removeprefix(prefix): value for name, value in emit.gauges().items()}, emit.problems


def test_the_owner_gets_exact_figures_and_another_user_none(folder: Path) -> None:
    folder.chmod(0o755)
    for number in range(FILES):
        path = make(folder / f"if{number}.rrd")
        read_pages(path, (0, 3, 14))
        path.chmod(0o644)
    found, problems = read(folder)
    assert problems == []
    assert found["files"] == FILES and found["unknown_files"] == 0
    assert found["resident_bytes"] == 3 * FILES * PAGE and found["pages_per_file"] == 3
    assert found["dirty_bytes"] == 0

    found, problems = as_user(lambda: read(folder))
    assert found == {"files": FILES, "unknown_files": FILES, "failed_files": 0}
    assert "CAP_FOWNER" in problems[0]
