"""The agent's hooks: each is typed, documented and tested here, and counted. What they promise has a version."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

from istat.errors import PluginError
from istat.plugin import API_VERSION, Definition, Emit, collector, hookimpl
from istat_agent import hookspecs
from istat_agent.agent import suffix
from istat_agent.collecting.finding import discover
from istat_agent.collecting.loading import HOOKS, definitions_of, tags_of
from istat_agent.collecting.plan import make_plan
from istat_agent.counters import Counters
from istat_agent.options import DECLARATION

ROOT = Path(__file__).parents[2]
#: Each hook, and what tests it.
TESTED = {
    "istat_collectors": ("test_istat_collectors_makes_collectors", "test_istat_collectors_of_wrong_kinds_is_told"),
    "istat_tags": ("test_istat_tags_are_tags_of_all_that_is_sent", "test_istat_tags_of_wrong_kinds_are_told",
                   "test_istat_tags_that_fail_cost_no_collector"),
}


def plugin(**members: object) -> ModuleType:
    """A module with these members."""
    module = ModuleType("plugin")
    vars(module).update(members)
    return module


def test_each_hook_is_typed_documented_and_tested() -> None:
    specified = {name for name, hook in vars(hookspecs).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")}
    assert specified == set(HOOKS) == set(TESTED)
    page = (ROOT / "docs/adding-a-collector.md").read_text()
    for name, hook in HOOKS.items():
        hints = get_type_hints(hook)
        assert hints.keys() == {*inspect.signature(hook).parameters, "return"}, name
        assert inspect.getdoc(hook), name
        assert f"### `{name}({', '.join(inspect.signature(hook).parameters)})`" in page
        assert all(test in globals() for test in TESTED[name]), name


def test_the_version_is_told_where_plugins_are_explained() -> None:
    page = (ROOT / "docs/adding-a-collector.md").read_text()
    assert f'ISTAT_API = "{API_VERSION}"' in page
    major, minor = API_VERSION.split(".")
    assert major.isdigit() and minor.isdigit()


def a_collector(name: str = "one") -> Definition:
    @collector(name=name)
    def collect(emit: Emit) -> None:
        emit.gauge("one", 1)

    return collect


def test_istat_collectors_makes_collectors() -> None:
    @hookimpl
    def istat_collectors() -> list[Definition]:
        return [a_collector(f"rack{n}") for n in (2, 1)]

    found = definitions_of("here", plugin(istat_collectors=istat_collectors, not_listed=a_collector("not_listed")))
    assert [one.name for one in found] == ["rack2", "rack1"]
    assert [one.name for one in definitions_of("here", plugin(a=a_collector("a"), b=a_collector("b")))] == ["a", "b"]


def test_istat_collectors_of_wrong_kinds_is_told() -> None:
    @hookimpl
    def istat_collectors() -> list[str]:
        return ["rack1"]

    with pytest.raises(PluginError, match=r"istat_collectors\(\) must return a list of what @collector returned"):
        definitions_of("here", plugin(istat_collectors=istat_collectors))


def test_an_unknown_hook_and_an_unknown_argument_show_what_there_is() -> None:
    @hookimpl
    def istat_colectors() -> list[Definition]:
        return []

    with pytest.raises(PluginError) as caught:
        definitions_of("here", plugin(istat_colectors=istat_colectors))
    assert "istat_colectors" in str(caught.value)
    assert "the agent has these hooks: istat_collectors(), istat_tags(host)" in str(caught.value)

    @hookimpl
    def istat_tags(zone: str) -> list[str]:
        return [zone]

    with pytest.raises(PluginError) as caught:
        definitions_of("here", plugin(istat_tags=istat_tags))
    assert "zone" in str(caught.value) and "def istat_tags(zone: str)" in str(caught.value)


def test_istat_tags_are_tags_of_all_that_is_sent(tmp_path: Path) -> None:
    (tmp_path / "cloud.py").write_text("""
from istat.plugin import hookimpl

@hookimpl
def istat_tags(host):
    return ["zone.eu1", f"rack.of_{host}"]
""")
    values = DECLARATION.load(["--plugin-dir", str(tmp_path), "--host", "Web1", "--tags", "class.web,zone.eu1"], {})
    plan = make_plan(values, Counters())
    assert plan.problems == []
    assert suffix(values, plan.tags) == "^host.web1^class.web^zone.eu1^rack.of_web1"
    assert suffix(values) == "^host.web1^class.web^zone.eu1"


@pytest.mark.parametrize(("answer", "words"), [
    ("zone.eu1", "must return a list of texts such as 'zone.eu1', not 'zone.eu1'"),
    ([1], "must return a list of texts"),
    (["zone eu1"], "'zone eu1' is no tag"),
    ([""], "'' is no tag"),
    (["a^b"], "'a^b' is no tag"),
    ([f"a{n}" for n in range(9)], "returned 9 tags; 8 are taken"),
])
def test_istat_tags_of_wrong_kinds_are_told(answer: object, words: str) -> None:
    @hookimpl
    def istat_tags() -> object:
        return answer

    with pytest.raises(PluginError) as caught:
        tags_of("here", plugin(istat_tags=istat_tags), "web1")
    assert words in str(caught.value)


def test_istat_tags_that_fail_cost_no_collector(tmp_path: Path) -> None:
    file = tmp_path / "cloud.py"
    file.write_text("""
from istat.plugin import collector, hookimpl

@hookimpl
def istat_tags(host):
    raise OSError("the metadata service does not answer")

@collector()
def collect(emit):
    emit.gauge("cloud.up", 1)
""")
    found = discover([str(tmp_path)])
    assert "cloud" in found.found and found.tags == []
    (problem,) = found.problems
    assert problem.startswith(f"{file}: istat_tags(): OSError: the metadata service does not answer (line ")
    assert problem.endswith("; its tags stay as they were")


def test_tags_are_asked_for_again_and_stay_where_that_fails(tmp_path: Path) -> None:
    from istat_agent.collecting.finding import Finder

    file, zone = tmp_path / "cloud.py", tmp_path / "zone"
    file.write_text(f"""
import pathlib
from istat.plugin import hookimpl

@hookimpl
def istat_tags():
    return [pathlib.Path({str(zone)!r}).read_text()]
""")
    finder, files = Finder(), {str(file): 1}
    zone.write_text("zone.a")
    assert finder.find(files).tags == ["zone.a"]
    zone.write_text("zone.b")
    assert finder.find(files, again=False).tags == ["zone.a"]
    assert finder.find(files).tags == ["zone.b"]
    zone.unlink()
    found = finder.find(files)
    assert found.tags == ["zone.b"] and "No such file or directory" in found.problems[0]
    zone.write_text("zone.c")
    assert (finder.find(files).tags, finder.find(files).problems) == (["zone.c"], [])
    assert finder.find({}).tags == []
