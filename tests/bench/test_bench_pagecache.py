"""The pieces of the page cache's benchmark, at tiny sizes."""
from __future__ import annotations

import json

from bench import pagecache
from bench.figures import Mode


def test_the_replay_row_has_every_policy_and_is_judged(capsys, tmp_path):
    saved = tmp_path / "saved.json"
    pagecache.main(["replay", "--quick", "--json", str(saved)])
    shown = capsys.readouterr().out
    for policy in (*pagecache.POLICIES, "Lru, all sizes"):
        assert f"replay, {policy}  " in shown
    pagecache.main(["--from", str(saved), "--markdown"])
    assert "| replay, Lirs |" in capsys.readouterr().out
    assert json.loads(saved.read_text())["modes"][0]["name"] == "replay"


def test_files_of_the_fleet_have_their_size_and_each_tool_is_understood(tmp_path):
    pagecache.make(tmp_path, 3)
    assert [path.stat().st_size for path in sorted(tmp_path.rglob("*.rrd"))] == [pagecache.SIZE] * 3
    assert pagecache.TOOLS[pagecache.VMTOUCH].pages("  Resident Pages: 9/78  36K/312K  11.5%\n") == 9
    assert pagecache.TOOLS[pagecache.UTIL_LINUX].pages("3\n3\n3\n") == 9
    assert pagecache.TOOLS[pagecache.OURS].pages('{"totals": {"resident": 9}}') == 9


def test_time_and_memory_are_both_judged():
    mode = Mode("fleet-100000", "", {pagecache.OURS: [{"s": 3.0, "cpu_s": 2.0, "peak_mb": 50.0}],
                                     pagecache.VMTOUCH: [{"s": 1.0, "cpu_s": 1.0, "peak_mb": 9.0}]})
    assert [row[-1] for row in pagecache.rows([mode])] == ["yes", "-"]
    mode.runs[pagecache.OURS][0]["peak_mb"] = 150.0
    assert next(pagecache.rows([mode]))[-1] == "NO"
