"""A server, assembled: store, intake, inputs and outputs, the ticks that drive them, and how they end.

It knows no command line, no signals and no service manager: that is `main`.
"""
from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import resource
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import gevent
import pluggy
from gevent.event import Event
from gevent.lock import RLock

from istat import __version__, owners
from istat.access import guarded
from istat.cli.report import server_problems
from istat.clock import Clock, SystemClock
from istat.daemon import missing
from istat.daemon.tls import Certificate
from istat.errors import IstatError, PluginError, SettingsError, StoreError, StoreFull
from istat.kernels import IMPLEMENTATION
from istat.metrics import Metric
from istat.settings.declaration import Values
from istat_server.declared.declared import Declared
from istat_server.declared.opening import open_declared
from istat_server.faults import Faults
from istat_server.forwarding.opening import open_tee
from istat_server.forwarding.tee import Tee
from istat_server.front import Front
from istat_server.hookspecs import ServerContext, Service
from istat_server.http.app import body_limit, make_app
from istat_server.http.openapi import described
from istat_server.http.origins import Origins
from istat_server.http.rights import Rights
from istat_server.ingest.batches import Batches
from istat_server.ingest.intake import Intake
from istat_server.ingest.pump import Pump
from istat_server.ingest.rate import Rate
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.keyvalue.opening import open_namespaces
from istat_server.mistakes import KINDS
from istat_server.plugins import first_of, of_each
from istat_server.replica.master.asking import ask_known
from istat_server.replica.master.leases import Leases
from istat_server.replica.opening import master_of
from istat_server.roster import Roster, Sender
from istat_server.selfmetrics import INTERVAL, METRICS, PREFIX, REFUSAL_METRICS, STORE_METRICS, SelfMetrics
from istat_server.sockets import Sockets
from istat_server.store.files.reserve import FULL
from istat_server.store.interface import Capability, Store
from istat_server.store.ondisk import make_folder

log = logging.getLogger(__name__)

# How often the store gets its tick [s]: it hands the journal over, so this is half of the 100 ms within
# which a sample that was read is safe from the end of the process.
TICK_SECONDS = 0.05
PAGE_BYTES = resource.getpagesize()
# Metrics that /api/v1/status has under `ingest`.
INGEST = (*(f"statserver.{what}" for what in ("udp", "tcp", "unix", "tls", "connect")), "batches.")
HTTP = "http."      # what those begin with that it has under `http`
# Senders whose mistakes it tells, and collectors that fail: some 20 KB.
TOLD = 50
# What a store and a service have, whoever brings them.
STORE = ("capabilities", *(name for name in vars(Store) if not name.startswith("_")))
SERVICE = ("name", "start", "stop")


class Server:
    """All parts of one running server. `open`, `start`, and in the end `end_input` and `close`."""

    def __init__(self, settings: Values, clock: Clock, plugins: pluggy.PluginManager, sockets: Sockets,
                 front: Front, faults: Faults, metrics: Sequence[Metric] = (),
                 certificate: Certificate | None = None, forward_context: ssl.SSLContext | None = None) -> None:
        """`metrics`: those that plugins declare; `certificate`: what TLS sockets show, None where there are none;
        `forward_context`: by which targets of forwarding are reached, None: without TLS."""
        self.settings = settings
        self.certificate = certificate
        self.rights = Rights(settings)
        self.origins = Origins(settings)
        self.clock = clock
        self.faults = faults
        self.metrics = SelfMetrics((*METRICS, *metrics))
        self.mistakes = front.mistakes
        self.declared = Declared(clock, self.mistakes, self.metrics.declared(), PREFIX)
        self.roster = Roster(SystemClock())
        self.pump = Pump(faults.note)
        self._opened: Store | None = None
        self.intake: Intake
        self.batches: Batches
        self.tee: Tee | None = None
        self._forward_context = forward_context
        self.namespaces: Namespaces | None = None
        self._plugins = plugins
        self._sockets = sockets
        self._front = front
        self._services: list[Service] = []
        self._loops: list[gevent.Greenlet] = []
        self._ending = Event()
        self._started = clock.monotonic()
        self._ids_at_start = 0.0
        self._rate = Rate(SystemClock())
        self._feeding = RLock()
        self._lag = self._lag_before = 0.0      # longest in this and in the last interval of self-metrics [s]
        self._self = Sender("self", "istatd", clock.now())

    @property
    def store(self) -> Store:
        """The store, which is open."""
        assert self._opened is not None, "it is not open"
        return self._opened

    def open(self) -> None:
        """Open the store and build what hangs on it. StoreError and its kinds, or PluginError, say what is wrong."""
        folder = self.settings["store"]
        try:
            owner, opened = first_of(self._plugins, "istat_open_store", settings=self.settings, clock=self.clock)
        except OSError as error:
            raise store_error(error, f"the store {folder} cannot be opened", folder) from error
        if opened is None:
            raise StoreError("no plugin opens the store that the settings name")
        lacking = [name for name in STORE if not hasattr(opened, name)]
        if lacking:
            raise PluginError(f"the plugin {owner}: istat_open_store gives {opened!r:.80}, which is no store: it lacks "
                              f"{', '.join(lacking)}; istat_server/store/interface.py says what one has")
        self._opened = opened
        check_wishes(self.settings, self.store)
        self.intake = Intake(self.store, self.mistakes)
        self.batches = Batches(self.store, self.intake, self.roster, self.mistakes, self.settings["samples-token"])
        self.metrics.source("batches", self.batches.totals)
        self._services = [open_declared(self.declared, self.settings, self.clock, self.store, self.intake)]
        self.metrics.source("declared", self.declared.totals)
        ask_known(self.store, functools.partial(master_of, self.settings))
        self.leases = Leases(lambda: self.store, self.clock, self.settings["replica-lease"])
        self.metrics.source("leases", self.leases.totals)
        self.tee = open_tee(self.settings, self.clock, self.store, self._forward_context)
        if self.tee is not None:
            self.tee.hang_on(self.intake, self.batches, self.declared, self.metrics)
        self.namespaces = open_namespaces(self.settings, self.clock)
        self.namespaces.read_only = lambda: self.store.read_only
        self.metrics.source("settings", self.namespaces.totals)
        if self.settings["settings-open"] and self.origins.wide:
            log.warning("settings-open is set, and others than this machine can ask: whoever may read may replace "
                        "everybody's boards; give the write-token to who is to change them instead")
        self._ids_at_start = figure(self.store.status(), "ids")
        self.metrics.source("server", self._measure)
        context = ServerContext(self.settings, self.clock, self.store, self.intake, self.roster,
                                self.mistakes, self.metrics, self.pump, self._sockets, self.status,
                                self.namespaces, self.batches, self.leases, self.declared, self.certificate,
                                self.sample_metrics)
        for hook in ("istat_inputs", "istat_outputs"):
            for owner, found in of_each(self._plugins, hook, server=context):
                for service in found:
                    if not all(hasattr(service, name) for name in SERVICE):
                        raise PluginError(f"the plugin {owner}: {hook} gives {service!r:.80}, which is no service: it "
                                          f"wants {', '.join(SERVICE)}")
                    self._services.append(service)
        if self.tee is not None:
            self._services.append(self.tee)     # the last to end, when all has been taken
        table = described(of_each(self._plugins, "istat_routes", server=context))
        packs = not self.settings["disallow-compressed-responses"]
        self._front.serve(make_app(table, self.rights, self.origins, packs), body_limit(table))

    def start(self) -> None:
        """Take samples and answer queries from now on. PluginError names the service that cannot start."""
        self._started = self.clock.monotonic()
        self._loops = [gevent.spawn(self._tick_store), gevent.spawn(self._tick_metrics)]
        self.pump.start()
        self.origins.ask_names()
        for service in self._services:
            try:
                service.start()
            except IstatError:
                raise
            except (Exception, SystemExit) as error:
                raise PluginError(f"{service.name} cannot start: {missing.told(error)}") from error

    def end_input(self) -> None:
        """Take what has arrived, then nothing more. Queries are still answered."""
        self.pump.stop()
        for service in self._services:
            self._guarded(f"the end of {service.name}", service.stop)
        self._ending.set()
        gevent.joinall(self._loops)

    def close(self) -> None:
        """Write what is held and let go of the store; nothing that was read is lost."""
        if self.namespaces is not None:
            self._guarded("the end of the namespaces", self.namespaces.close)
        if self._opened is not None:
            self._opened.close()

    def reload(self, settings: Values) -> None:
        """Take over what can change while the server runs, tokens and a renewed certificate too. A service that fails
        to keeps no other from it."""
        self.settings = settings
        self.rights.take(settings)
        self.origins.take(settings)
        if self.certificate is not None:
            try:
                self.certificate.renew()
            except SettingsError as error:
                log.error("the certificate stays the old one: %s", error)
        for service in self._services:
            take_over = getattr(service, "reload", None)
            if take_over is not None:
                self._guarded(f"the reload of {service.name}", functools.partial(take_over, settings))

    def refusals(self) -> dict[str, int]:
        """What was refused, by kind of mistake: by the store, and by those who did not even ask it."""
        found = dict(self.mistakes.counts)
        for kind, count in self.store.totals().refused.items():
            found[kind] = found.get(kind, 0) + count
        return found

    def status(self) -> dict[str, object]:
        """What `/api/v1/status` says."""
        totals = self.store.totals()
        values = self.metrics.values()
        ingest: dict[str, object] = {"samples": totals.samples, "lines": totals.lines}
        ingest.update({name.removeprefix("statserver."): value for name, value in values.items()
                       if name.startswith(INGEST)})
        if self._rate.value is not None:
            ingest["samples_per_second"] = self._rate.value
        http = {name.removeprefix(HTTP): value for name, value in values.items() if name.startswith(HTTP)}
        refused, store = self.refusals(), self.store.status()
        failing = self.roster.failing()
        helped = {kind: asdict(KINDS[kind]) for kind, count in refused.items() if count and kind in KINDS}
        now = self.clock.now()
        found = {"version": __version__, "kernels": IMPLEMENTATION, "time": now,
                 "uptime": self.clock.monotonic() - self._started, "counters": self.store.count(),
                 "store": dict(store), "ingest": ingest, "http": http, "refused": refused,
                 "refused_help": helped, "refused_by": self.mistakes.complaints(TOLD),
                 "failing": failing[:TOLD], "system": {**self._system(store), "collectors_failing": len(failing)},
                 "listening": self._sockets.listening()}
        if self.tee is not None:
            found["forward"] = self.tee.forwarder.status()
        replicas = self.leases.known_lags()
        if replicas:
            found["replicas"] = replicas
        return {**found, "problems": list(server_problems(found, now))}

    def _system(self, store: Mapping[str, object]) -> dict[str, object]:
        """What this machine grants the server, beside what the settings want of it."""
        found: dict[str, object] = {
            "udp_buffer_bytes": self._sockets.udp_buffer,
            "udp_buffer_wanted_bytes": self.settings["udp-buffer-size"] * 1024,
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "open_files_wanted": self.settings["num-files"],
            "max_connections": self.settings["max-connections"],
            "connections_granted": min(self.settings["max-connections"], self._sockets.affordable),
            "max_counters": self.settings["max-counters"],
            "senders_online": self.roster.online(),
        }
        with contextlib.suppress(OSError, KeyError):     # a store of a plugin's may have no folder
            disk = os.statvfs(str(store["folder"]))
            found.update(disk_free_bytes=disk.f_bavail * disk.f_frsize, disk_bytes=disk.f_blocks * disk.f_frsize)
        return found

    def _guarded(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the rest must go on whatever a plugin does
            self.faults.note(what, error)

    def _tick_store(self) -> None:
        """Give the store its ticks; how late one comes is how long the hub was busy."""
        due = self.clock.monotonic() + TICK_SECONDS
        while not self._ending.wait(max(0.0, due - self.clock.monotonic())):
            now = self.clock.monotonic()
            self._lag = max(self._lag, now - due)
            if self.tee is not None:
                self._guarded("the spool's tick", self.tee.tick)
            self._guarded("the store's tick", self.store.tick)    # one that fails once may recover
            due = now + TICK_SECONDS

    def _tick_metrics(self) -> None:
        while not self._ending.wait(INTERVAL):
            self._guarded("the self-metrics", self.feed_metrics)

    def feed_metrics(self) -> None:
        """Put the self-metrics into the store at the end of an interval."""
        self.sample_metrics()
        self._lag_before, self._lag = self._lag, 0.0

    def sample_metrics(self) -> None:
        """Put them there as samples of now. One at a time: plugins may take their time for values."""
        if self.store.read_only:        # a replica has its master's; its own are told to who asks
            return
        with self._feeding:
            text = memoryview(self.metrics.lines(int(self.clock.now())))
            self._rate.end(self.store.totals().samples)
            self.intake.feed(text, 0, len(text), self._self)
            self._rate.begin(self.store.totals().samples)

    def _measure(self) -> Mapping[str, float]:
        totals, refused = self.store.totals(), self.refusals()
        size, resident = _memory()
        used = resource.getrusage(resource.RUSAGE_SELF)
        values: dict[str, float] = {f"refused.{kind}": count for kind, count in refused.items()}
        values.update(self._measure_store())
        values.update({
            "counter.dequeue": totals.samples, "statserver.lines": totals.lines,
            **{metric: sum(refused.get(kind, 0) for kind in kinds) for metric, kinds in REFUSAL_METRICS.items()},
            "statserver.agents": self.roster.online(), "statserver.failing": len(self.roster.failing()),
            "hub.lag": max(self._lag, self._lag_before),
            "http.requests": self._front.requests, "http.errors.http": self._front.errors,
            "http.current": self._front.current, "http.refused.host": self.origins.refused,
            "exceptions": self.faults.count,
            "app.memory.vmsize": size, "app.memory.vmrss": resident,
            "app.cpu": used.ru_utime + used.ru_stime,
            "app.uptime": self.clock.monotonic() - self._started,
        })
        return values

    def _measure_store(self) -> Mapping[str, float]:
        status = self.store.status()
        found = {name: figure(status, key) for name, key in STORE_METRICS.items() if key in status}
        return {**found, "counter.created": figure(status, "ids") - self._ids_at_start,
                "counter.closed": figure(status, "counters_deleted") + figure(status, "counters_retired")}


def check_wishes(settings: Values, store: Store) -> None:
    """StoreError when the settings want what a store cannot do."""
    ladders = [settings["retention"], *(rule.ladder for rule in settings["retention-rules"])]
    if len(ladders) > 1 and Capability.RULES not in store.capabilities:
        raise StoreError("this store has the same levels for all counters: take retention-rules out")
    if any(ladder.seasons for ladder in ladders) and Capability.SEASONS not in store.capabilities:
        raise StoreError("this store has no seasonal levels: take them out of retention and retention-rules")
    if (settings["rollup"] or settings["make-parents"]) and Capability.ANCESTORS not in store.capabilities:
        raise StoreError("this store knows no ancestors of counters: take rollup and make-parents out")


def figure(status: Mapping[str, object], key: str) -> float:
    """A number of a store's status; 0 where it tells none."""
    value = status.get(key)
    return value if isinstance(value, (int, float)) else 0


def prepare_folder(folder: os.PathLike[str], owner: owners.User | None) -> None:
    """Make the store's folder; root that is to be `owner` gives it away when it is new. StoreError in a sentence, also
    where root would work as root in the store of another."""
    try:
        guarded.check(folder)
        if os.path.isdir(folder):
            if os.geteuid() == owners.ROOT and (owner is None or owner.uid == owners.ROOT):
                _refuse_anothers(folder)
            return
        make_folder(Path(folder))
        if owner is not None:
            with guarded.Place(folder) as place:
                place.give(owner)
    except FileExistsError as error:
        raise StoreError(f"the store {folder} is no folder; name another with --store") from error
    except OSError as error:
        raise store_error(error, f"the folder {folder} of the store cannot be made", folder) from error


def _refuse_anothers(folder: os.PathLike[str]) -> None:
    """StoreError for root in a store of another user, who could lead it anywhere by links."""
    name = owners.name_of(owners.owner_of(folder).uid)
    if name != owners.name_of(owners.ROOT):
        raise StoreError(f"the store {folder} belongs to the user {name}, and root works in no store of another: start "
                         f"it with --user {name}, or make the store root's (chown -R root {folder})")


def store_error(error: OSError, what: str, folder: os.PathLike[str]) -> StoreError:
    """The sentence for the system's refusal, with what to do about it. StoreFull for a full disk."""
    words = f"{what}: {error.strerror or error}"
    if error.errno in FULL:
        return StoreFull(f"{words}; make room on its disk (df {folder}), or name another folder with --store")
    if isinstance(error, PermissionError):
        give = f"chown -R {owners.user()}" if os.path.isdir(folder) else f"install -d -o {owners.user()}"
        return StoreError(f"{words}{owners.refused(error.filename or folder)}; run it as the user that the folder "
                          f"belongs to, give it to this one ({give} {folder}), or name another with --store")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return StoreError(f"{words}; raise LimitNOFILE= of the service, or say ulimit -n 65536 first")
    return StoreError(f"{words}; name another with --store")


def _memory() -> tuple[int, int]:
    """Virtual and resident size [bytes], as proc(5) tells them in statm."""
    with open("/proc/self/statm") as file:
        size, resident = file.read().split()[:2]
    return int(size) * PAGE_BYTES, int(resident) * PAGE_BYTES


