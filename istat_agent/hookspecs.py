"""The agent's doors for plugins. A plugin that only decorates functions with `@collector` needs none of them.

It holds specifications only; `plugins.py` finds plugins and calls them.
"""

from __future__ import annotations

import pluggy

from istat.plugin import Definition

PROJECT = "istat_agent"
hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def istat_collectors() -> list[Definition]:  # type: ignore[empty-body]
    """The collectors of this plugin: what `@collector` returned, in the order they should be listed.

    For a plugin that makes collectors at run time, or picks them by what the machine has. Called once at
    load and again at each reload. A module without it offers all its `@collector` objects.
    """


@hookspec
def istat_tags(host: str) -> list[str]:  # type: ignore[empty-body]
    """More tags for all that this agent sends, such as `["zone.eu1"]`, besides those of the setting `tags`.

    For what a machine knows of itself, as a cloud's zone. `host`: its name in counters. Called when the plugin is
    loaded, and at each reload, within the time that loading may take (10 s): it may ask a service of its network. What
    fails is told, and the tags of before stay. Not called of a plugin that is isolated.
    """
