"""`istat-server`: settings, log, limits, sockets, user; then a `Server` until a signal ends it.

Start order: what can be refused at once comes first (settings, ports), privileges are dropped before any
thread and any file of the store, and READY is told when samples are taken and queries answered.
"""
from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

import gevent
import pluggy
from gevent.event import Event

from istat import owners
from istat.cli import output
from istat.clock import Clock, StoppedClock, SystemClock
from istat.daemon import background, descriptors, logs, service
from istat.daemon.backoff import STEADY, BackOff
from istat.daemon.handover import Handover
from istat.daemon.listening.binding import ONE_OF
from istat.daemon.tls import certificate_of
from istat.errors import IstatError, SettingsError
from istat.exporter.mapping import tag_names
from istat.settings.declaration import Declaration, HostPort, Values
from istat_server import builtin
from istat_server.faults import Faults
from istat_server.foreign import oldstore
from istat_server.forwarding import opening as forwarding
from istat_server.front import Front
from istat_server.http.server import HttpServer
from istat_server.http.transport.connections import MOST_CONNECTIONS
from istat_server.ingest import endpoints
from istat_server.ingest.endpoints import Offer
from istat_server.keyvalue import opening
from istat_server.options import DECLARATION
from istat_server.plugins import Found, find_plugins
from istat_server.server import Server, prepare_folder
from istat_server.sockets import (
    Sockets,
    open_endpoints,
    open_services,
    placed,
    service_claims,
)

log = logging.getLogger("istat_server")

STANDARD_ERROR = 2
# How often a start or an end that takes long asks the service manager for more time, and for how much [s].
EXTEND_EVERY, EXTEND_BY = 10.0, 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0 after SIGTERM or SIGINT, else the error's (istat/errors.py)."""
    descriptors.open_standard()
    arguments = list(sys.argv[1:] if argv is None else argv)
    return output.run(functools.partial(start, arguments), functools.partial(logs.last_words, "istat-server"))


def start(arguments: Sequence[str]) -> int:
    """The same, but for what is printed and cannot be written."""
    faulthandler.enable(STANDARD_ERROR)     # where we were when the service manager's watchdog ended us
    try:
        plugins = find_plugins([builtin])
        declaration = DECLARATION.with_plugins(plugins.settings)
        settings = declaration.load(arguments, os.environ, plugins.problem, functools.partial(look, plugins))
        configure_log(settings)
        warn_of(settings)
        warn_of_old_store(settings, declaration.file_named(arguments, os.environ), declaration)
        oldstore.refuse(settings["store"], settings["retention"])
        leave = background.go("istat-server") if settings["daemonize"] else None
        back_off = BackOff(os.environ)
        if service.wait_to_start(back_off):
            run(settings, arguments, declaration, plugins, back_off, leave)
    except SettingsError as error:
        for problem in error.problems:
            logs.last_words("istat-server", problem)
        return error.exit_code
    except IstatError as error:
        logs.last_words("istat-server", str(error))
        return error.exit_code
    return 0


def run(settings: Values, arguments: Sequence[str], declaration: Declaration, plugins: Found,
        back_off: BackOff, leave: Callable[[], None] | None = None) -> None:
    """Start, serve until told to end, end. IstatError in a sentence when it cannot start. `leave`: leaves the terminal
    that it was started from, once all is up."""
    ending = Event()
    faults = Faults()
    faults.watch(gevent.get_hub())
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, ending.set)
    service.give_memory_back()
    http_connections, affordable = grant_connections(settings)
    front = Front()
    with contextlib.ExitStack() as held:
        held.enter_context(background.hold(settings["pid-file"]))   # first: whom it is that runs says more than a port
        certificate = certificate_of(settings)      # while we may still read what is root's
        forward_context = forwarding.context_of(settings)
        sockets = bind(settings, plugins.manager)
        sockets.affordable = affordable
        http = None
        if sockets.http is not None:
            http = held.enter_context(answering(HttpServer(front, sockets.http, http_connections, certificate,
                                                           front.mistakes, settings["http-memory"] << 20)))
        become_user(settings)
        tag_names(settings)     # as who reads them, and before the store is opened
        server = Server(settings, clock_of(settings), plugins.manager, sockets, front, faults, plugins.metrics,
                        certificate, forward_context)
        if http is not None:
            server.metrics.source("http", http.totals)
        with more_time():
            if not opened(server, ending):
                return
        gevent.signal_handler(signal.SIGHUP, reload, server, declaration, arguments)
        tell_ready(settings, sockets, http)
        if leave is not None:
            leave()
        stay(ending, back_off)
        end(server, http)


def stay(ending: Event, back_off: BackOff) -> None:
    """Be alive, as the service manager sees it, until told to end."""
    gevent.spawn_later(STEADY, back_off.forget)
    watchdog = gevent.spawn(keep_watchdog)
    ending.wait()
    back_off.forget()
    service.stopping()
    watchdog.kill()


@contextlib.contextmanager
def answering(http: HttpServer) -> Iterator[HttpServer]:
    """HTTP, which says "starting" until the store is open; stopped at the end."""
    http.start()
    try:
        yield http
    finally:
        http.stop()


def bind(settings: Values, plugins: pluggy.PluginManager) -> Sockets:
    """All that is listened on: bound, or handed over. What was handed over and is not asked for any more is let go.
    SettingsError, PluginError, PortInUse, CannotListen."""
    handover = Handover(service.listen_fds())
    sockets = open_endpoints(offered(plugins, settings), settings["udp-buffer-size"], handover)
    open_services(settings, sockets, handover)
    handover.close()
    return sockets


def end(server: Server, http: HttpServer | None) -> None:
    """Take what has arrived, answer what was asked, write what is held."""
    log.info("ending: taking what has arrived, writing what is held")
    with more_time():
        server.end_input()
        if http is not None:
            http.stop()
        server.close()
    log.info("ended")


def opened(server: Server, ending: Event) -> bool:
    """Open and start it; False when it was told to end meanwhile, as while a replica copies its master's store."""
    failed: list[BaseException] = []

    def act() -> None:
        try:
            open_and_start(server)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failed.append(error)

    task = gevent.spawn(act)
    gevent.wait([task, ending], count=1)
    if not task.ready():
        log.info("ending: the store was not open yet")
        task.kill()
        return False
    if failed:
        raise failed[0]
    return True


def open_and_start(server: Server) -> None:
    """A server that serves; one that cannot has let go of its store when the error arrives."""
    try:
        server.open()
        server.start()
    except BaseException:
        server.end_input()
        server.close()
        raise


def grant_connections(settings: Values) -> tuple[int, int]:
    """Let the process open `num-files`; how many connections of HTTP, and of senders, that leaves beside the store's
    files. A warning where it is not what was asked for, or costs connections."""
    wanted, senders = settings["num-files"], settings["max-connections"]
    limit = service.raise_file_limit(wanted)
    http, affordable = descriptors.connections(limit, MOST_CONNECTIONS, senders)
    cure = "raise num-files"
    if limit < wanted:
        cure = f"raise LimitNOFILE= of the service, or say ulimit -n {wanted} first"
    if affordable < senders or http < MOST_CONNECTIONS:
        log.warning("at most %d files can be open: for that max-connections is %d instead of %d, and HTTP has %d "
                    "connections instead of %d, so that the store finds room for its own; %s", limit,
                    min(affordable, senders), senders, http, MOST_CONNECTIONS, cure)
    elif limit < wanted and settings.source("num-files") != "default":
        log.warning("at most %d files can be open instead of %d; %s", limit, wanted, cure)
    return http, affordable


def look(plugins: Found, settings: Values) -> None:
    """For --check-config, whether what the settings name can be used, as far as that shows without binding a port or
    opening the store. SettingsError with all problems of certificate, endpoints and tag names; PluginError."""
    oldstore.refuse(settings["store"], settings["retention"])
    problems: list[str] = []
    for part in (certificate_of, forwarding.context_of, functools.partial(offered, plugins.manager), tag_names):
        try:
            part(settings)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)


def udp_at_home(settings: Values) -> str:
    """Which setting lets UDP in from this machine only, "" where none does."""
    if settings["samples-token"]:
        return "samples-token"
    return "samples-tls" if settings["samples-tls"] == "required" else ""


def offered(plugins: pluggy.PluginManager, settings: Values) -> list[Offer]:
    """All endpoints, ours and those of plugins, with their addresses. SettingsError for a clash, CannotListen,
    PluginError."""
    offers = endpoints.asked(plugins, settings)
    endpoints.check_names(offers)
    offers = placed(offers, udp_at_home=udp_at_home(settings))
    endpoints.check_addresses([*(offer.claim() for offer in offers),
                               *service_claims(settings)])
    return offers


def tell_ready(settings: Values, sockets: Sockets, http: HttpServer | None) -> None:
    """Say on standard output, in the log and to the service manager that all is up."""
    # What was made so far stays: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    told, services = sockets.told(), sockets.told_services()
    stat = [word for word in told if word.startswith("stat-port=")]
    others = [word for word in told if word not in stat]
    page = [f"http-port={http.port}"] if http is not None else []
    try:
        print(" ".join(("istat-server ready", *stat, *page, *others, *services)), flush=True)
    except OSError as error:        # that nobody can be told is no reason not to serve
        output.let_go()
        log.warning("standard output cannot be written (%s), so it does not say that we are ready", error.strerror)
    words = ", ".join((*(word.replace("stat-port=", "port ") for word in stat), *others)) or "no port"
    more = "".join(f", {word}" for word in services)
    url = http_url(settings["http-listen-address"], http.port, bool(settings["tls-cert"])) if http else "no port"
    log.info("ready: samples on %s of %s, HTTP on %s%s", words, settings["listen-address"] or "this machine", url, more)
    service.ready(f"samples on {words}, HTTP on {f'port {http.port}' if http else 'no port'}{more}")


def http_url(listen: str, port: int, tls: bool) -> str:
    """Where the page is, as an address that can be opened: what means every address is none."""
    host = listen.strip("[]")
    elsewhere = " (and at every address of this machine)" if host in ONE_OF else ""
    host = ONE_OF.get(host, host)
    return f"{'https' if tls else 'http'}://{HostPort(host, port)}/{elsewhere}"


def clock_of(settings: Values) -> Clock:
    """The machine's clock, or one that stands at `fake-time`."""
    return StoppedClock(float(settings["fake-time"])) if settings["fake-time"] else SystemClock()


def become_user(settings: Values) -> None:
    """Make the store's folder, and give up root for `user` if that is set."""
    owner = new_user(settings)
    prepare_folder(settings["store"], owner)
    opening.prepare_folder(settings, owner)
    forwarding.prepare_folder(settings, owner)
    if settings["user"]:
        service.drop_privileges(settings["user"])


def new_user(settings: Values) -> owners.User | None:
    """Whom root becomes for `user`; None when that is nobody else. IstatError when there is no such user."""
    if not settings["user"] or os.geteuid() != owners.ROOT:
        return None
    try:
        return owners.identity(settings["user"])
    except KeyError:
        raise IstatError(f"there is no user called {settings['user']!r}; name another with --user") from None


def configure_log(settings: Values) -> None:
    """(Re)open the log as the settings say. LogFileError when the file cannot be written."""
    logs.configure(settings["log-file"], settings["log-level"], new_user(settings))


def warn_of(settings: Values) -> None:
    """Log what is wrong with where the settings stand."""
    for text in settings.warnings:
        log.warning("%s", text)


def warn_of_old_store(settings: Values, file: str, declaration: Declaration) -> None:
    """Log what is left to import, where a file of istatd's names its store and another one is used."""
    if not file:
        return
    named = declaration.attempt(["--config", file], {}, strangers=True)[0]["store"]
    if named != settings["store"] and (told := oldstore.not_imported(named, settings["store"])):
        log.warning("%s", told)


def reload(server: Server, declaration: Declaration, arguments: Sequence[str]) -> None:
    """SIGHUP: read the settings again, reopen the log, take over what can change; the rest is named."""
    service.reloading()
    try:
        settings = declaration.load(arguments, os.environ)
        configure_log(settings)
        warn_of(settings)
        renewal = declaration.renew(server.settings, settings)
        if renewal.waiting:
            log.warning("these settings change with a restart only: %s", ", ".join(renewal.waiting))
        server.reload(renewal.values)
        log.info("reloaded; changed: %s", ", ".join(renewal.changed) or "nothing")
    except (SettingsError, logs.LogFileError) as error:
        log.error("not reloaded, all stays as it was: %s", error)
    finally:
        service.ready()     # whatever a plugin did: else the service manager waits for ever


def keep_watchdog() -> None:
    """Tell the service manager that the event loop turns, for as long as it does."""
    interval = service.watchdog_interval()
    while interval:
        service.watchdog()
        gevent.sleep(interval)


@contextlib.contextmanager
def more_time() -> Iterator[None]:
    """While inside: keep telling the service manager that a long start or end goes on."""
    def extend() -> None:
        while True:
            service.extend_timeout(EXTEND_BY)
            service.watchdog()
            gevent.sleep(EXTEND_EVERY)

    greenlet = gevent.spawn(extend)
    try:
        yield
    finally:
        greenlet.kill()


if __name__ == "__main__":
    sys.exit(main())
