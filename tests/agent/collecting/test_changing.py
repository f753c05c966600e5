"""Plugins that come, change and go: what is loaded anew, what stays, and what nobody loses."""

import gc
import importlib.metadata
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import gevent
import pytest

from istat.errors import PluginError
from istat.plugin import API_VERSION, Emit
from istat_agent import installed
from istat_agent.collecting import finding, loading
from istat_agent.collecting.finding import Collection, Finder
from istat_agent.collecting.threads import Threads

GOOD = """
from istat.plugin import collector

@collector()
def collect(emit):
    emit.gauge("queue.depth", 3)
"""


class Bench:
    """A folder of drop-in files, and a finder that looks at it."""

    def __init__(self, folder: Path, **options: object) -> None:
        folder.chmod(0o700)
        self.folder = folder
        self.finder = Finder(**options)  # type: ignore[arg-type]
        self.marks: dict[str, int] = {}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self.marks[name] = self.marks.get(name, 0) + 1

    def find(self, holding: dict[str, str] | None = None, again: bool = False, patience: float = 10.0) -> Collection:
        files = {str(self.folder / name): mark for name, mark in sorted(self.marks.items())
                 if (self.folder / name).exists()}
        return self.finder.find(files, holding, again, patience)

    def value(self, name: str = "queue", **found: object) -> float:
        definition = self.find().found[name].definition
        assert definition is not None
        emit = Emit()
        definition(emit)
        return emit.gauges()["queue.depth"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_module_that_was_changed_in_place_has_its_new_code(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    assert bench.value() == 3
    bench.write("queue.py", GOOD.replace("3", "4"))
    assert bench.value() == 4


def test_what_is_the_same_is_not_loaded_again(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    before = bench.find().found
    bench.write("queue.py", GOOD)   # written anew, with what was there
    bench.write("other.py", GOOD)
    after = bench.find(again=True).found
    assert after["queue"] is before["queue"]
    assert after["cpu"] is before["cpu"]
    assert after["other"] is not before["queue"]


def test_what_cannot_be_loaded_any_more_goes_on_and_is_told(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    before = bench.find().found["queue"]
    bench.write("queue.py", "def (")
    found = bench.find()
    assert found.found["queue"] is before
    (told,) = found.problems
    assert told.startswith(f"{bench.folder}/queue.py: SyntaxError") and "what was loaded before goes on" in told
    bench.write("queue.py", GOOD)
    assert bench.find().problems == []
    assert bench.find().found["queue"] is before


def test_a_file_that_others_could_change_now_is_not_loaded_but_what_was_goes_on(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    before = bench.find().found["queue"]
    bench.write("queue.py", GOOD.replace("3", "4"))
    (bench.folder / "queue.py").chmod(0o666)
    found = bench.find()
    assert found.found["queue"] is before
    assert "everybody may write" in found.problems[0]


def test_what_could_not_be_loaded_is_tried_again_when_somebody_wants_that(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("queue.py", "import no_such_library\n" + GOOD)
    assert "no_such_library" in bench.find().problems[0]
    monkeypatch.setitem(sys.modules, "no_such_library", SimpleNamespace())
    assert "no_such_library" in bench.find().problems[0]
    assert bench.find(again=True).problems == []


def test_a_file_that_went_and_came_is_another_one(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    before = bench.find().found["queue"]
    name = loading.DROP_IN_PREFIX + "queue"
    assert name in sys.modules
    (bench.folder / "queue.py").unlink()
    assert "queue" not in bench.find().found
    assert name not in sys.modules
    bench.write("queue.py", GOOD)
    assert bench.find().found["queue"] is not before


def test_a_file_that_was_renamed_is_another_collector(bench: Bench) -> None:
    bench.write("queue.py", GOOD)
    bench.find()
    bench.write("line.py", GOOD)
    (bench.folder / "queue.py").unlink()
    found = bench.find().found
    assert "queue" not in found and "line" in found


def test_of_two_with_one_name_the_one_that_runs_keeps_it(bench: Bench) -> None:
    named = GOOD.replace("collector()", 'collector(name="queue")')
    bench.write("b.py", named)
    assert bench.find().found["queue"].path == f"{bench.folder}/b.py"
    bench.write("a.py", named.replace("3", "4"))
    running = {"queue": f"{bench.folder}/b.py"}
    found = bench.find(running)
    assert found.found["queue"].path == f"{bench.folder}/b.py"
    told = f"collector 'queue' is already defined by {bench.folder}/b.py; give it another name: @collector(name=...)"
    assert found.problems == [f"{bench.folder}/a.py: {told}"]
    assert found.refused == {f"{bench.folder}/a.py": told}
    (bench.folder / "b.py").unlink()
    found = bench.find(running)
    assert found.found["queue"].path == f"{bench.folder}/a.py"
    assert found.problems == []


def test_a_name_that_both_lose_and_one_takes_of_ours(bench: Bench) -> None:
    bench.write("cpu.py", GOOD)
    found = bench.find({"cpu": f"{bench.folder}/cpu.py"})
    assert found.found["cpu"].own
    assert "collector 'cpu' is already defined by built-in cpu" in found.problems[0]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("1.0", ""),
        ("2.0", "it was written for version 2.0 of istatd's plugins, and this is 1.0: install a newer istatd"),
        ("1.1", "it was written for version 1.1 of istatd's plugins, and this is 1.0: install a newer istatd"),
        ("0.9", "it was written for version 0.9 of istatd's plugins, and this is 1.0: it has to be written anew"),
        ("1", "ISTAT_API = '1': write what it was written for as MAJOR.MINOR, such as '1.0'"),
        ("1.x", "ISTAT_API = '1.x': write what it was written for"),
    ],
)
def test_what_a_plugin_was_written_for(bench: Bench, wanted: str, told: str) -> None:
    assert API_VERSION == "1.0"
    bench.write("queue.py", f"ISTAT_API = {wanted!r}\n{GOOD}")
    problems = bench.find().problems
    assert told in problems[0] if told else problems == []


def test_that_it_is_no_text_is_told_too(bench: Bench) -> None:
    bench.write("queue.py", f"ISTAT_API = 1.0\n{GOOD}")
    assert "ISTAT_API = 1.0: write what it was written for as MAJOR.MINOR" in bench.find().problems[0]


def test_isolated_ones_are_never_imported(tmp_path: Path) -> None:
    text = "raise SystemExit('imported')\n" + GOOD
    bench = Bench(tmp_path, wanted={"queue": True}.get)
    bench.write("queue.py", text)
    bench.write("said.py", text.replace("collector()", "collector(isolated=True)"))
    bench.write("both.py", text.replace("collector()", 'collector("one")').replace("3", "4")
                + GOOD.replace("collector()", 'collector("two", isolated=True)'))
    bench.write("dark.py", text.replace("collector()", "collector(name=NAME, isolated=True)"))
    found = bench.find()
    reasons = {name: one.isolated for name, one in found.found.items() if not one.own}
    assert reasons == {"queue": "the settings say so", **dict.fromkeys(("said", "one", "two"), "it says so itself")}
    assert all(found.found[name].definition is None for name in reasons)
    (told,) = found.problems
    assert told.startswith(f"{tmp_path}/dark.py: runs in a child (it says so itself), and what its collectors are")


def test_a_verdict_moves_a_plugin_until_it_changes(tmp_path: Path) -> None:
    verdicts: dict[tuple[str, str], str] = {}
    bench = Bench(tmp_path, verdict=lambda origin, stamp: verdicts.get((origin, stamp), ""))
    bench.write("queue.py", GOOD)
    found = bench.find().found["queue"]
    assert not bench.finder.is_other()
    verdicts[found.origin, found.stamp] = "it stood still"
    assert bench.finder.is_other()
    moved = bench.find().found["queue"]
    assert (moved.definition, moved.isolated, moved.stamp) == (None, "it stood still", found.stamp)
    assert not bench.finder.is_other()
    assert bench.find().found["queue"] is moved
    bench.write("queue.py", GOOD + "# better\n")
    assert bench.find().found["queue"].definition is not None


def test_settings_may_move_one_back(tmp_path: Path) -> None:
    settings: dict[str, bool] = {}
    bench = Bench(tmp_path, wanted=settings.get)
    bench.write("queue.py", GOOD.replace("()", "(isolated=True)", 1))
    assert bench.find().found["queue"].isolated
    settings["queue"] = False
    assert bench.find().found["queue"].definition is not None


def test_the_hook_is_asked_at_each_reload(bench: Bench) -> None:
    hook = """
from istat.plugin import collector, hookimpl
asked = []
@hookimpl
def istat_collectors():
    asked.append(1)
    @collector(name=f"asked{len(asked)}")
    def collect(emit):
        emit.gauge("a", len(asked))
    return [collect]
"""
    bench.write("queue.py", hook)
    assert "asked1" in bench.find().found
    assert "asked1" in bench.find().found
    assert "asked2" in bench.find(again=True).found


def test_who_takes_long_to_be_imported_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOADING_SECONDS", 60.0)
    bench, gate = Bench(tmp_path, call=Threads(4).call), tmp_path / "gate"
    bench.write("slow.py", f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)\n" + GOOD)
    bench.write("queue.py", GOOD)
    with gevent.Timeout(20):
        while "queue" not in (found := bench.find(patience=0.05)).found:
            pass
    assert found.pending and "slow" not in found.found
    gate.touch()
    with gevent.Timeout(20):
        while (found := bench.find(patience=0.05)).pending:
            pass
    assert "slow" in found.found and found.problems == []


def test_who_hangs_while_it_is_imported_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOADING_SECONDS", 0.3)
    bench = Bench(tmp_path, call=Threads(4).call)
    bench.write("hangs.py", "import time\nwhile True:\n    time.sleep(0.005)\n")
    (told,) = bench.find().problems
    assert told == f"{tmp_path}/hangs.py: it was not imported within 0.3 s: let it wait for something in collect() only"
    assert bench.find(again=True).problems == [told], "it is not tried again until it changes"
    with gevent.Timeout(20):
        while any("hangs.py" in str(frame.f_code.co_filename) for frame in sys._current_frames().values()):
            gevent.sleep(0.01)
    monkeypatch.setattr(finding, "LOADING_SECONDS", 60.0)
    bench.write("hangs.py", GOOD)
    assert bench.find().problems == []


def test_a_search_from_the_beginning_tells_of_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOADING_SECONDS", 0.2)
    tmp_path.chmod(0o700)
    (tmp_path / "hangs.py").write_text("import time\nwhile True:\n    time.sleep(0.005)\n")
    (told,) = finding.discover([str(tmp_path)], Threads(1).call).problems
    assert "it was not imported within 0.2 s" in told


def package(folder: Path, value: int) -> None:
    home = folder / "istat_test_package"
    home.mkdir(exist_ok=True)
    (home / "__init__.py").write_text("")
    (home / "numbers.py").write_text(f"NUMBER = {value}\n")
    (home / "collector.py").write_text("from istat_test_package.numbers import NUMBER\n" + GOOD.replace("3", "NUMBER")
                                       + f"# {value}\n")


def test_a_package_that_was_installed_anew_has_its_new_code_after_a_reload(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(bench.folder))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    entry = importlib.metadata.EntryPoint("queue", "istat_test_package.collector", "")
    there: list[importlib.metadata.EntryPoint] = []
    monkeypatch.setattr(installed, "entry_points", lambda group: there)
    bench.find()
    there.append(entry)
    package(bench.folder, 3)
    assert "istat_test_package" not in bench.find().found
    found = bench.find(again=True).found["istat_test_package"]
    assert bench.value("istat_test_package") == 3
    assert bench.find(again=True).found["istat_test_package"] is found
    package(bench.folder, 4)
    bench.find(again=True)
    assert bench.value("istat_test_package") == 4
    loading.forget_package(entry.value)
    assert "istat_test_package.numbers" not in sys.modules


def test_the_file_of_an_entry_point_is_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "istat_test_bad").mkdir()
    (tmp_path / "istat_test_bad/__init__.py").write_text("raise SystemExit")
    (tmp_path / "istat_test_bad/a.py").write_text("raise SystemExit")
    assert loading.entry_file("istat_test_bad.a:collect") == f"{tmp_path}/istat_test_bad/a.py"
    assert loading.entry_file("istat_test_bad") == f"{tmp_path}/istat_test_bad/__init__.py"
    assert loading.entry_file("istat_test_bad.none") is None
    assert loading.entry_file("math") is None
    with pytest.raises(SystemExit):
        loading.load_entry("istat_test_bad.a:collect")


def test_a_file_without_bound_is_not_read(bench: Bench) -> None:
    bench.write("queue.py", "#" * (loading.MOST_SOURCE + 1))
    with pytest.raises(PluginError, match="has more than"):
        loading.read(str(bench.folder / "queue.py"))


def test_thousands_of_versions_leave_nothing_behind(bench: Bench) -> None:
    def versions(count: int) -> None:
        for n in range(count):
            text = f"import dataclasses\n{GOOD}\n@dataclasses.dataclass\nclass A:\n    a: int = {n}\n"
            bench.write("queue.py", "def (" if n % 5 == 4 else text)
            bench.find()

    versions(20)
    gc.collect()
    before = len(gc.get_objects()), len(sys.modules), threading.active_count(), len(os.listdir("/proc/self/fd"))
    versions(400)
    gc.collect()
    after = len(gc.get_objects()), len(sys.modules), threading.active_count(), len(os.listdir("/proc/self/fd"))
    assert after[1] == before[1]
    assert after[2] <= before[2] and after[3] <= before[3]      # what tests before have left may end meanwhile
    assert after[0] - before[0] < 200, "half an object for each version"
