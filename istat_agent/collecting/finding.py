"""Finds collectors: the built-in ones, entry points of group `istat_agent.plugins`, and drop-in `*.py` files.

All three go through one door (`loading`). What has not changed since it was found is not loaded again, and what is to
be isolated is not loaded at all. A plugin that cannot be loaded becomes one message for its author and stops nothing
else; where an earlier version of it was loaded, that one stays. It knows nothing of schedules, options' values or the
wire.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from types import ModuleType

import gevent

from istat.access import dropin
from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import Definition
from istat_agent import installed
from istat_agent.collecting import loading
from istat_agent.collecting.glance import Glance, glance
from istat_agent.collecting.threads import Late

ENTRY_POINTS = "istat_agent.plugins"
# In a checkout the built-in plugins lie in plugins/ beside this package; installed they have another name.
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT_IN = ("plugins", "istat_plugins") if os.path.exists(f"{CHECKOUT}/setup.py") else ("istat_plugins",)
LOADING_SECONDS = 10.0  # that a foreign plugin may take to be imported
PATIENCE_SECONDS = LOADING_SECONDS + 5.0  # after which all of them have been, or are late
# Why a plugin is isolated, where that is no verdict.
BY_SETTINGS, BY_ITSELF = "the settings say so", "it says so itself"
NOTHING = Glance((), frozenset())  # seen of a plugin without a source

Call = Callable[[Callable[[], None], float], None]  # calls a function in a thread, with a deadline [s]; raises Late
# (origin, stamp): says, as long as it lasts, that this thread runs code of a foreign plugin.
Mark = Callable[[str, str], AbstractContextManager[object]]
Wanted = Callable[[str], bool | None]  # (collector): whether settings say that it is isolated; None: they do not say
Why = Callable[[str, str], str]  # (origin, stamp) -> why the plugin is to run in a child, or ""


def unmarked(origin: str, stamp: str) -> AbstractContextManager[object]:
    """A Mark that says nothing."""
    return nullcontext()


def directly(function: Callable[[], None], timeout: float) -> None:
    """A Call that needs no thread and has no deadline."""
    function()


@dataclass(frozen=True)
class Found:
    """A collector and the plugin that brought it."""

    # None of one that is never imported here, since it is isolated: what it declares is known by its child only.
    definition: Definition | None
    origin: str  # for messages: the path, or the entry point
    own: bool = False  # one of ours; all others are foreign
    path: str | None = None  # of a drop-in file
    entry: str | None = None  # of an entry point: what it names, MODULE or MODULE:ATTRIBUTE
    stamp: str = ""  # another one when the plugin has changed
    isolated: str = ""  # why it is to run in a child, "" for one that need not; settings may say so besides
    called: str = ""  # its name, where there is no definition
    made: bool = False  # by a hook, which is asked anew at each reload: the source does not tell whether it is another

    @property
    def name(self) -> str:
        """The collector's name."""
        return self.called if self.definition is None else self.definition.name


@dataclass
class Collection:
    """What a search found: collectors by name, and a message per plugin that could not be used."""

    found: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # origin -> why the plugin's present version is not used
    tags: list[str] = field(default_factory=list)  # that plugins have for this machine
    pending: bool = False  # some plugin is still being loaded

    def refuse(self, origin: str, why: str) -> None:
        """Note that a plugin cannot be used."""
        self.problems.append(f"{origin}: {why}")
        self.refused[origin] = why


@dataclass(frozen=True)
class Source:
    """Where a plugin is."""

    origin: str
    own: bool = False
    path: str | None = None
    entry: str | None = None
    load: Callable[[], object] | None = None  # of what is no drop-in file
    mark: Hashable = None  # a drop-in file is looked at again when this is another one


@dataclass
class Loaded:
    """What came of a plugin when it was looked at last."""

    mark: Hashable
    stamp: str = ""
    isolated: str = ""
    seen: Glance = NOTHING
    found: list[Found] = field(default_factory=list)  # of the last version that could be loaded
    why: str = ""  # the present one cannot be used
    tags: tuple[str, ...] = ()  # for this machine
    trouble: str = ""  # with those; the collectors are fine
    plugin: object = None  # where its hooks are asked again at each reload
    late: bool = False  # it is still being loaded, in a thread that nobody waits for


class Finder:
    """Keeps what was found, so that a look loads only what is new or has changed."""

    def __init__(self, call: Call = directly, verdict: Why = lambda origin, stamp: "",
                 wanted: Wanted = lambda name: None, mark: Mark = unmarked,
                 host: Callable[[], str] = lambda: "localhost") -> None:
        """call: how foreign plugins are loaded. verdict: why a plugin is isolated though it does not say so itself.
        wanted(name): what settings say of whether a collector is isolated; None: nothing. mark(origin, stamp): says
        that a plugin runs meanwhile. host(): this machine's name in counters."""
        self._host = host
        self._call, self._verdict, self.wanted, self._mark = call, verdict, wanted, mark
        self._entries: list[Source] | None = None
        self._known: dict[str, Loaded] = {}  # by origin
        self._loading: dict[str, gevent.Greenlet] = {}

    def is_other(self) -> bool:
        """Whether there is another verdict on some plugin than when it was found."""
        return any(self._isolated(origin, known.stamp, known.seen) != known.isolated
                   for origin, known in self._known.items() if known.stamp and not known.late)

    def find(self, files: Mapping[str, Hashable], holding: Mapping[str, str] | None = None, again: bool = True,
             patience: float = PATIENCE_SECONDS, retry: bool = False) -> Collection:
        """Everything that can be found: built-in, installed, then the drop-in `files` (path -> what changes with the
        file). Never raises for a plugin's sake.

        holding: collector -> origin of the plugin that has the name already. again: also look for packages, try again
        what could not be loaded, and ask hooks anew; retry: only what could not be loaded. patience: how long it waits
        for what is being loaded [s]; what is not loaded then is as it was before, and found later.
        """
        sources = list(self._sources(files, again))
        self._forget({source.origin for source in sources})
        for source in sources:
            self._begin(source, again, retry)
        gevent.joinall(list(self._loading.values()), timeout=patience)
        found = _collected([(source.origin, self._known.get(source.origin)) for source in sources], holding or {})
        found.pending = bool(self._loading)
        return found

    def _sources(self, files: Mapping[str, Hashable], again: bool) -> Iterator[Source]:
        package = built_in_package()
        if package is not None:
            for module in pkgutil.iter_modules(package.__path__):
                if module.ispkg:
                    load = functools.partial(importlib.import_module, f"{package.__name__}.{module.name}.collector")
                    yield Source(f"built-in {module.name}", own=True, load=load)
        if again or self._entries is None:
            importlib.invalidate_caches()  # a package may have been installed just now
            entries = installed.entry_points(ENTRY_POINTS)
            self._entries = [Source(f"entry point {entry.name} ({entry.value})", entry=entry.value, load=entry.load)
                             for entry in entries]
        yield from self._entries
        for path, mark in files.items():
            yield Source(path, path=path, mark=mark)

    def _forget(self, there: set[str]) -> None:
        for origin in self._known.keys() - there:
            del self._known[origin]
            loading.forget_file(origin)
        for origin in self._loading.keys() - there:
            self._loading.pop(origin).kill(block=False)

    def _begin(self, source: Source, again: bool, retry: bool) -> None:
        """Load what is new, or has changed, unless that is being done already."""
        known = self._known.get(source.origin)
        same = (known is not None and known.mark == source.mark
                and self._isolated(source.origin, known.stamp, known.seen) == known.isolated)
        wanted = known is None or (again and not source.own) or (bool(known.why) and (again or retry))
        if same and known is not None and (known.late or not wanted):
            return
        if source.own:
            self._load(source)
        elif source.origin not in self._loading:
            one = gevent.Greenlet(self._load, source)
            self._loading[source.origin] = one
            one.link(lambda done: self._loaded(source.origin, done))
            one.start()

    def _loaded(self, origin: str, one: gevent.Greenlet) -> None:
        if self._loading.get(origin) is one:
            del self._loading[origin]

    def _load(self, source: Source) -> None:
        """Look at one plugin; what came of it stands in `_known` in the end."""
        before = self._known.get(source.origin) or Loaded(None)
        answer: list[Loaded] = []
        now = replace(before, mark=source.mark, why="", late=False)
        try:
            self._run(source, functools.partial(self._look, source, before, answer))
            now = answer[0]
        except Late as late:
            late.interrupt()
            now.why = f"it was not imported within {LOADING_SECONDS:g} s: let it wait for something in collect() only"
            now.late = True
        except PluginError as error:
            now.why = missing.text_of(error)
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            now.why = missing.told(error)
        self._known[source.origin] = now

    def _run(self, source: Source, look: Callable[[], None]) -> None:
        """Our own are loaded here and now. What ends the program in a module's first lines does not end the agent."""
        try:
            if source.own:
                look()
            else:
                self._call(look, LOADING_SECONDS)
        except SystemExit as error:
            raise PluginError(missing.told(error)) from None

    def _look(self, source: Source, before: Loaded, answer: list[Loaded]) -> None:
        """In a thread. What it finds is the answer; whatever the plugin raises, and PluginError."""
        text, path = _text(source)
        stamp = importlib.util.source_hash(text).hex() if text is not None else source.origin
        seen = NOTHING if text is None or source.own else glance(text, path, _default(source))
        now = Loaded(source.mark, stamp, self._isolated(source.origin, stamp, seen), seen=seen)
        same = stamp == before.stamp
        if same and before.found and now.isolated == before.isolated and before.plugin is None:
            now.found = before.found
        elif now.isolated:
            now.found = _unseen(source, now)
        else:
            with nullcontext() if source.own else self._mark(source.origin, stamp):
                plugin = before.plugin if same and before.plugin else _plugin(source, text, bool(before.stamp))
                now.plugin = plugin if loading.is_asked_anew(plugin) else None
                now.found = [_found(source, one, now) for one in loading.definitions_of(source.origin, plugin)]
                self._ask_for_tags(source.origin, now, before.tags)
        answer.append(now)

    def _ask_for_tags(self, origin: str, now: Loaded, before: tuple[str, ...]) -> None:
        """In a thread. Where a plugin cannot say now, its tags of before stay, and its collectors run."""
        if now.plugin is None:
            return
        try:
            now.tags = loading.tags_of(origin, now.plugin, self._host())
        except PluginError as error:
            now.tags, now.trouble = before, str(error)
        except Exception as error:  # noqa: BLE001 - a stranger's hook may raise anything
            now.tags, now.trouble = before, f"istat_tags(): {missing.told(error)}"

    def _isolated(self, origin: str, stamp: str, seen: Glance) -> str:
        """Why a plugin is not imported here, or "". Its collectors share a file, and so that."""
        for name in seen.names:
            wanted = self.wanted(name) if name is not None else None
            if wanted or (wanted is None and name in seen.isolated):
                return BY_SETTINGS if wanted else BY_ITSELF
        return self._verdict(origin, stamp)


def _text(source: Source) -> tuple[bytes | None, str]:
    """(the source of a plugin, None where that cannot be found; its path). PluginError."""
    if source.path is not None:
        return loading.read(source.path), source.path
    path = loading.entry_file(source.entry) if source.entry is not None else None
    if path is None:
        return None, ""
    try:
        with open(path, "rb") as file:
            return file.read(), path
    except OSError:
        return None, ""     # its import says what is wrong


def _default(source: Source) -> str:
    """What a collector is called that has no name of its own."""
    if source.path is not None:
        return loading.stem(source.path)
    parts = (source.entry or "").partition(":")[0].strip().split(".")
    return parts[-2] if parts[-1] == "collector" and len(parts) > 1 else parts[-1]


def _plugin(source: Source, text: bytes | None, changed: bool) -> object:
    """Import it."""
    if source.path is not None:
        return loading.load_file(source.path, text)
    if changed and source.entry is not None:
        loading.forget_package(source.entry)
    assert source.load is not None
    return source.load()


def _found(source: Source, definition: Definition, now: Loaded) -> Found:
    return Found(definition, source.origin, source.own, source.path, source.entry, now.stamp,
                 made=now.plugin is not None)


def _unseen(source: Source, now: Loaded) -> list[Found]:
    """The collectors of a plugin that is not imported here. PluginError where their names cannot be seen."""
    if not now.seen.names or None in now.seen.names:
        raise PluginError(f"runs in a child ({now.isolated}), and what its collectors are called cannot be seen: write "
                          '@collector(name="...") before each of them')
    return [Found(None, source.origin, source.own, source.path, source.entry, now.stamp, now.isolated, name)
            for name in now.seen.names if name is not None]


def _collected(known: Iterable[tuple[str, Loaded | None]], holding: Mapping[str, str]) -> Collection:
    """All that was found; of several collectors of one name that which has it already, or else the first."""
    collection = Collection()
    plugins = [(origin, one) for origin, one in known if one is not None]
    theirs = {(found.name, origin) for origin, one in plugins for found in one.found}
    for origin, one in plugins:
        collection.tags += one.tags
        if one.trouble:
            collection.problems.append(f"{origin}: {one.trouble}; its tags stay as they were")
        if one.why:
            collection.refuse(origin, one.why + ("; what was loaded before goes on" if one.found else ""))
        for found in one.found:
            name, earlier = found.name, collection.found.get(found.name)
            holder = holding.get(name, origin)
            if earlier is None and (holder == origin or (name, holder) not in theirs or found.own):
                collection.found[name] = found
                continue
            by = earlier.origin if earlier is not None else holder
            collection.refuse(origin, f"collector {name!r} is already defined by {by}; give it another name: "
                                      "@collector(name=...)")
    return collection


def discover(plugin_dirs: Sequence[str], call: Call = directly, wanted: Wanted = lambda name: None,
             host: str = "localhost") -> Collection:
    """Everything that can be found now, by a search from the beginning. Never raises."""
    files: dict[str, Hashable] = {}
    problems: dict[str, str] = {}
    for folder in plugin_dirs:
        try:
            files.update(dict.fromkeys(dropin.python_files([folder])))
        except OSError as error:
            problems[folder] = f"cannot be read: {error.strerror}"
    collection = Finder(call, wanted=wanted, host=lambda: host).find(files)
    for folder, why in problems.items():
        collection.refuse(folder, why)
    return collection


def built_in_package() -> ModuleType | None:
    """The package of the built-in collectors, or None where it is not installed."""
    for name in BUILT_IN:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if getattr(package, "ISTAT_BUILT_IN", False):
            return package
    return None
