"""Finding collectors: built-in, entry points, drop-in files; and what a wrong one is told."""

import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from istat.access import trust
from istat.errors import PluginError
from istat.plugin import Definition, Emit, collector, hookimpl
from istat_agent import installed
from istat_agent.collecting.finding import discover
from istat_agent.collecting.loading import definitions_of

BUILT_IN = {"cpu", "disk", "exec", "load", "memory", "network", "pagecache", "processes", "space"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def problems(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    collection = discover([str(folder)])
    assert set(collection.found) >= BUILT_IN, "a wrong plugin must not stop the others"
    return collection.problems


GOOD = """
from istat.plugin import collector

@collector(interval=10)
def collect(emit):
    emit.gauge("queue.depth", 3)
"""


def test_built_in_collectors_come_through_the_same_door() -> None:
    collection = discover([])
    assert set(collection.found) >= BUILT_IN
    assert collection.problems == []


def test_drop_in_file(folder: Path) -> None:
    assert problems(folder, queue=GOOD) == []
    found = discover([str(folder)]).found["queue"]
    assert found.origin == str(folder / "queue.py")
    emit = Emit()
    found.definition(emit)
    assert emit.gauges() == {"queue.depth": 3}


def test_a_change_is_seen_and_nothing_is_left_in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = folder / "queue.py"
    for interval in (10, 20):       # the same size, and the same second
        path.write_text(GOOD.replace("10", str(interval)))
        os.utime(path, (1000, 1000))
        assert discover([str(folder)]).found["queue"].definition.interval == interval
    assert list(folder.iterdir()) == [path]


def test_each_wrong_file_is_one_message(folder: Path) -> None:
    told = problems(
        folder,
        argument=GOOD.replace("(emit)", "(emit, clock)"),
        crash="import no_such_library",
        empty="x = 1",
        exits="raise SystemExit(3)",
        good=GOOD,
        syntax="def (",
        twice=GOOD.replace("interval=10", "name='cpu'"),
    )
    assert len(told) == 6
    argument, crash, empty, exits, syntax, twice = told
    assert "argument.py: collect(emit, clock) asks for 'clock'; it can have (emit, config)" in argument
    assert "    5 | def collect(emit, clock):" in argument
    assert "No module named 'no_such_library'" in crash and "line 1 of" in crash
    assert "empty.py: holds no collector: put @collector() before a function collect(emit); if it is a script" in empty
    assert "SystemExit: 3" in exits
    assert "SyntaxError" in syntax
    assert "collector 'cpu' is already defined by built-in cpu" in twice


def test_file_that_everybody_may_write_is_not_loaded(folder: Path) -> None:
    path = folder / "queue.py"
    path.write_text(GOOD)
    path.chmod(0o666)
    (told,) = problems(folder)
    assert f"everybody may write {path} (chmod o-w {path})" in told


def test_a_file_behind_a_link_is_as_safe_as_where_it_lies(folder: Path) -> None:
    (folder / "open").mkdir()
    (folder / "open/queue.py").write_text(GOOD)
    (folder / "open").chmod(0o777)
    (folder / "queue.py").symlink_to("open/queue.py")
    told = f"not loaded: everybody may write {folder}/open (chmod o-w {folder}/open)"
    assert problems(folder) == [f"{folder}/queue.py: {told}"]
    (folder / "open").chmod(0o755)
    assert problems(folder) == []


def test_what_was_looked_at_is_what_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, check = folder / "queue.py", trust.opened

    def replaced(name: str) -> int:
        descriptor = check(name)
        path.rename(folder / "_old.py")
        path.write_text("raise SystemExit('another file was run')")
        return descriptor

    monkeypatch.setattr(trust, "opened", replaced)
    assert problems(folder, queue=GOOD) == []


def test_missing_folder_is_an_empty_one_and_hidden_files_are_not_looked_at(folder: Path) -> None:
    (folder / ".hidden.py").write_text("def (")
    (folder / "_shared.py").write_text("def (")
    assert discover(["/no/such/folder", str(folder)]).problems == []


def test_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    @collector(name="rack")
    def collect(emit: Emit) -> None:
        emit.gauge("rack", 1)

    def broken() -> object:
        raise ImportError("no such thing")

    points = [
        SimpleNamespace(name="rack", value="rack:collect", load=lambda: collect),
        SimpleNamespace(name="broken", value="broken", load=broken),
    ]
    monkeypatch.setattr(installed, "entry_points", lambda group: points)
    collection = discover([])
    assert collection.found["rack"].origin == "entry point rack (rack:collect)"
    assert collection.problems[0].startswith("entry point broken (broken): ImportError: no such thing")


def module(**members: object) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(members)
    return made


@collector(name="one")
def one(emit: Emit) -> None:
    emit.gauge("one", 1)


def test_hook_istat_collectors() -> None:
    @hookimpl
    def istat_collectors() -> list[Definition]:
        return [one]

    assert definitions_of("made", module(istat_collectors=istat_collectors)) == [one]


def told(plugin: object) -> str:
    with pytest.raises(PluginError) as caught:
        definitions_of("made", plugin)
    return str(caught.value)


def test_hook_with_a_wrong_argument_shows_both_definitions() -> None:
    @hookimpl
    def istat_collectors(clock: object) -> list[Definition]:
        return []

    message = told(module(istat_collectors=istat_collectors))
    assert "'clock'" in message and "istat_collectors" in message
    assert "def istat_collectors(clock: object)" in message
    assert "the agent has these hooks: istat_collectors()" in message


def test_hook_that_nobody_specified() -> None:
    @hookimpl
    def istat_colectors() -> list[Definition]:
        return []

    message = told(module(istat_colectors=istat_colectors))
    assert "unknown hook 'istat_colectors'" in message
    assert "the agent has these hooks: istat_collectors()" in message


def test_hook_that_returns_nonsense() -> None:
    @hookimpl
    def istat_collectors() -> object:
        return [lambda emit: None]

    assert "must return a list of what @collector returned" in told(module(istat_collectors=istat_collectors))
