"""The server's plugin doors: each documented, wrong plugins refused in a sentence, built-in parts use them."""
from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest

from istat.errors import PluginError
from istat_server import builtin, hookspecs
from istat_server.hookspecs import HOOKS, hookimpl
from istat_server.plugins import of_each, plugin_manager

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_in_the_docs_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"| `{hook}({arguments})` |" in (DOCS / "operating.md").read_text()
    assert inspect.getdoc(getattr(hookspecs, hook))


def test_the_list_of_hooks_is_whole() -> None:
    manager = plugin_manager(installed=False)
    specified = {name for name in vars(manager.hook) if not name.startswith("_")}
    assert specified == set(HOOKS)


def test_the_built_in_parts_come_through_the_doors() -> None:
    manager = plugin_manager([builtin], installed=False)
    for hook in ("istat_open_store", "istat_inputs", "istat_routes"):
        assert [found.plugin for found in getattr(manager.hook, hook).get_hookimpls()] == [builtin]


def test_a_plugins_service_joins_the_built_in_ones() -> None:
    class Mine:
        @hookimpl
        def istat_inputs(self, server: SimpleNamespace) -> list[str]:
            return [f"mine on {server.settings.plugins['mine']['port']}"]

    manager = plugin_manager([Mine()], installed=False)
    settings = SimpleNamespace(plugins={"mine": {"port": 7}})
    assert manager.hook.istat_inputs(server=SimpleNamespace(settings=settings)) == [["mine on 7"]]


def test_what_each_plugin_gives_comes_with_its_name_in_the_order_of_registration() -> None:
    class First:
        @hookimpl
        def istat_outputs(self, server: object) -> list[object]:
            return [1, server]

    class Nothing:
        @hookimpl
        def istat_inputs(self, server: object) -> list[object]:
            return [2]

    class Last:
        __name__ = "last"

        @hookimpl
        def istat_outputs(self, server: object) -> list[object]:
            return [3]

    manager = plugin_manager([First(), Nothing(), Last()], installed=False)
    names = [(name.rpartition(".")[2], found) for name, found in of_each(manager, "istat_outputs", server=0)]
    assert names == [("First", [1, 0]), ("last", [3])]


def test_a_misspelt_hook_or_argument_is_told() -> None:
    class Misspelt:
        @hookimpl
        def istat_input(self, server: object) -> None: ...

    class Surplus:
        @hookimpl
        def istat_inputs(self, server: object, loop: object) -> None: ...

    for plugin, word in ((Misspelt(), "istat_input"), (Surplus(), "loop")):
        with pytest.raises(PluginError, match=word):
            plugin_manager([plugin], installed=False)
