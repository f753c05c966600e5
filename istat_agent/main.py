"""The command istat-agent: settings, signals, the service manager; `agent.py` does the work.

SIGTERM and SIGINT send what waits and end with status 0. SIGHUP reads settings and drop-in files again;
when they are wrong, the agent goes on as it was.
"""

from __future__ import annotations

import faulthandler
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any

import gevent
import gevent.queue

from istat import owners
from istat.cli import output
from istat.clock import SystemClock
from istat.daemon import background, descriptors, logs, service
from istat.daemon.backoff import STEADY, BackOff
from istat.errors import IstatError, SettingsError, SpoolError, UsageError
from istat.exporter.mapping import tag_names
from istat.exporter.series import exporter_of
from istat.settings.declaration import Renewal, Values
from istat.settings.setting import suggestion
from istat_agent import transport
from istat_agent.agent import Agent, link_of, once
from istat_agent.collecting.plan import Plan, host_name, make_plan
from istat_agent.collecting.threads import Threads
from istat_agent.control.answers import Control, Reload, outcome
from istat_agent.control.place import runtime_folder
from istat_agent.counters import Counters
from istat_agent.exporting.port import ExporterPort
from istat_agent.forwarding.folder import context_of
from istat_agent.isolation.anew import Handed
from istat_agent.isolation.watching import Isolation
from istat_agent.openings import Openings, leaving, open_all, spared
from istat_agent.options import DECLARATION
from istat_agent.settings import load

if TYPE_CHECKING:
    from istat_agent.forwarding.ports import Ports
    from istat_agent.forwarding.relay import Relay

log = logging.getLogger("istat_agent")
Watch = Callable[[Sequence[bytes]], None] | None

ACTIONS = ("--check-config", *(f"--{name}" for name in DECLARATION.actions))
STANDARD_ERROR = 2
PAUSE = 1.0  # seconds between the two readings of --once
EXIT_SECONDS = 10.0  # that all may take that is done when the program ends, of plugins and their libraries as well


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    descriptors.open_standard()
    arguments = list(sys.argv[1:] if argv is None else argv)
    return output.run(functools.partial(start, arguments), functools.partial(logs.last_words, "istat-agent"))


def start(arguments: Sequence[str]) -> int:
    """The same, but for what is printed and cannot be written."""
    if arguments and not arguments[0].startswith("-"):
        return command(arguments)
    faulthandler.enable(STANDARD_ERROR)     # where we were when the service manager's watchdog ended us
    actions = [action for action in ACTIONS if action in arguments]
    arguments = [argument for argument in arguments if argument not in ACTIONS]
    handed = Handed(os.environ)
    try:
        values = read_settings(arguments, actions)
        configure_log(values, actions)
        for text in values.warnings:
            log.warning("%s", text)
        away = handed.anew or actions
        leave = background.go("istat-agent") if values["daemonize"] and not away else leaving(handed)
        # Written and bound before we give up the right to do so.
        with background.hold(None if actions else values["pid-file"], handed.take("pid-file")) as pid_file:
            openings = None
            if not actions:
                values, openings = open_all(values, handed, pid_file, leave)
            if values["user"]:
                service.drop_privileges(values["user"])
            return act(actions, values) if openings is None else serve(arguments, values, openings)
    except SettingsError as error:
        for problem in error.problems:
            logs.last_words("istat-agent", problem)
        # Settings were right, and can only not be read any more: the service manager is to start us as it did before.
        return IstatError.exit_code if handed.anew else error.exit_code
    except IstatError as error:
        logs.last_words("istat-agent", str(error))
        return error.exit_code


def command(words: Sequence[str]) -> int:
    """Do what a first word without dashes asks for; UsageError's status when there is no such command."""
    if words[0] not in DECLARATION.commands:
        known = ", ".join(DECLARATION.commands)
        hint = suggestion(words[0], list(DECLARATION.commands))
        logs.last_words("istat-agent", f"there is no command {words[0]!r}{hint}; there are {known}, and --help")
        return UsageError.exit_code
    from istat_agent.control import commands  # only now: who serves needs none of them

    return commands.main(words)


def configure_log(values: Values, actions: Sequence[str] = ()) -> None:
    """(Re)open the log as the settings say; questions are answered where they are asked. IstatError."""
    owner = None
    if values["user"]:
        with suppress(KeyError):        # told where the user is to be taken
            owner = owners.identity(values["user"])
    logs.configure(None if actions else values["log-file"], values["log-level"], owner)


def read_settings(arguments: Sequence[str], actions: Sequence[str]) -> Values:
    """The settings; for --check-config, what is wrong with them is told together with the collectors' problems."""
    try:
        return load(arguments)
    except SettingsError as error:
        if "--check-config" not in actions:
            raise
        values = DECLARATION.attempt(arguments, os.environ)[0]
        if values["user"]:
            service.drop_privileges(values["user"])
        raise SettingsError([*error.problems, *make_plan(values, Counters(), call=Threads().call).problems]) from error


def act(actions: Sequence[str], values: Values) -> int:
    """Answer the questions that do not start a daemon; the status of wrong settings where something does not run.
    SettingsError for --check-config with problems."""
    with only_ours() as say:
        plan = make_plan(values, Counters(), call=Threads().call)
        check_ways(values)
        tag_names(values)
        if "--check-config" in actions:
            if plan.problems:
                raise SettingsError(plan.problems)
            say("istat-agent: the settings are fine\n")
        if "--list-collectors" in actions:
            say(listing(plan))
        if "--once" in actions:
            tell(plan)
            say("".join(f"{line}\n" for line in once(values, plan, SystemClock(), PAUSE)))
    return SettingsError.exit_code if plan.problems else 0


@contextmanager
def only_ours() -> Iterator[Callable[[str], object]]:
    """How to print on standard output. What plugins and their libraries print there goes to standard error meanwhile:
    it would be taken for ours."""
    ours, descriptor = sys.stdout, _descriptor(sys.stdout)
    with redirect_stdout(sys.stderr):
        if descriptor is None:  # no real one: in a test, or closed
            yield (ours or sys.stderr).write
            return
        ours.flush()
        kept = os.dup(descriptor)
        with suppress(OSError):  # standard error is closed
            os.dup2(STANDARD_ERROR, descriptor)
        try:
            yield functools.partial(_write, kept)
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)


def _write(descriptor: int, text: str) -> None:
    """All of a text, at once. BrokenPipeError, and IstatError for what else may be in the way."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(descriptor, data):]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise IstatError(f"standard output cannot be written: {error.strerror}") from None


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def listing(plan: Plan) -> str:
    """The collectors found, a line each, and below them what cannot run."""
    rows = [("COLLECTOR", "EVERY", "FROM", "WHAT")]
    every = {task.collector: f"{task.interval} s" for task in reversed(plan.tasks)}
    for name, found in sorted(plan.found.items()):
        interval = every.get(name, "no jobs" if name in plan.enabled else "off")
        rows.append((name, interval, found.origin, plan.help(name)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows]
    return "".join(f"{line}\n" for line in [*lines, *plan.problems])


def check_ways(values: Values) -> None:
    """SettingsError for files of certificates that cannot be used."""
    if values["forward"]:
        context_of(values)
    else:
        link_of(values, b"", SystemClock())


def serve(arguments: Sequence[str], values: Values, openings: Openings) -> int:
    """Run until SIGTERM or SIGINT."""
    back_off = BackOff(os.environ)
    isolation = Isolation(runtime_folder(os.environ), openings.handed)
    try:
        if isolation.wait() if isolation.anew else service.wait_to_start(back_off):
            run(arguments, values, openings, back_off, isolation)
    finally:
        isolation.stop()
        faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True, file=STANDARD_ERROR)
    return 0


def run(arguments: Sequence[str], values: Values, openings: Openings, back_off: BackOff,
        isolation: Isolation) -> None:
    """All between the first reading and the last one."""
    counters, clock = Counters(), SystemClock()
    commands: gevent.queue.Queue[str | Reload] = gevent.queue.Queue()
    for number, command in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")):
        gevent.signal_handler(number, commands.put, command)
    watchdog = service.watchdog_interval()
    if watchdog is not None:
        gevent.spawn(keep_alive, watchdog)
    exporter = exporting(values, openings.prometheus, clock)
    watch = exporter.feed if exporter is not None else None
    try:
        relay = relaying(values, openings.ports, counters, clock, watch)
    except SpoolError as error:
        values, relay = spared(values, error), None
    tell_ports(exporter, openings.ports)
    control = Control(values, clock, commands.put)
    control.start()
    if values["watchdog"]:
        isolation.watch(values["watchdog"], openings.kept)
    agent = launch(values, counters, clock, watch, relay, isolation)
    control.about(values, status(values), agent)
    service.ready(status(values))
    if openings.leave is not None:
        openings.leave()
    gevent.spawn_later(STEADY, steady, back_off, isolation)
    while (command := commands.get()) != "stop":
        values = reload(command, values, arguments, agent, control)
    service.stopping()
    back_off.forget()
    control.stop()
    agent.stop()
    if relay is not None:
        relay.stop()
    if exporter is not None:
        exporter.stop()
    tell_end(relay, counters)


def reload(command: str | Reload, values: Values, arguments: Sequence[str], agent: Agent, control: Control) -> Values:
    """Take over settings and drop-in files as they are now; the settings that hold then. `command`: a Reload is
    answered."""
    service.reloading()
    try:
        renewal = read_again(values, arguments)
    except (SettingsError, logs.LogFileError) as error:
        log.error("settings not read again, going on with the old ones: %s", error)
        if isinstance(command, Reload):
            command.set_exception(error)
    else:
        values = renewal.values
        changes = agent.reload(values)
        control.about(values, status(values), agent)
        log.info("settings read again; changed: %s; collectors: %s", ", ".join(renewal.changed) or "nothing", changes)
        if isinstance(command, Reload):
            command.set(outcome(changes, renewal.changed, renewal.waiting, agent.problems()))
    service.ready(status(values))
    return values


def steady(back_off: BackOff, isolation: Isolation) -> None:
    """It has been up for a while."""
    back_off.forget()
    isolation.steady()


def tell_end(relay: Relay | None, counters: Counters) -> None:
    """Say what was done."""
    if relay is None:
        log.info("ended; %d samples collected, %d datagrams sent", counters.samples, counters.datagrams)
    else:
        log.info("ended; %d samples collected, %d lines of programs taken", counters.samples, counters.local)


def read_again(values: Values, arguments: Sequence[str]) -> Renewal:
    """What the settings are now. SettingsError, LogFileError when they cannot be used."""
    new, held = transport.held(values, load(arguments))
    renewal = DECLARATION.renew(values, new)
    check_ways(renewal.values)      # certificates that do not fit are told while the old ones work
    configure_log(renewal.values)
    waiting = [*held, *renewal.waiting]
    if waiting:
        log.warning("these settings change with a restart only: %s", ", ".join(waiting))
    return renewal._replace(waiting=waiting)


def exporting(values: Values, listener: socket.socket | None, clock: SystemClock) -> ExporterPort | None:
    """What answers at prometheus-port. SettingsError for the file of tag names."""
    if listener is None:
        return None
    port = ExporterPort(exporter_of(values, socket.gethostname()), listener, clock, values)
    port.start()
    return port


def relaying(values: Values, ports: Ports | None, counters: Counters, clock: SystemClock, watch: Watch) -> Relay | None:
    """What forwards, if that is wanted. SpoolError, SettingsError."""
    if ports is None:
        return None
    from istat_agent.forwarding.relay import Relay

    relay = Relay(values, ports, counters, clock, watch)
    relay.start()
    return relay


def tell_ports(exporter: ExporterPort | None, ports: Ports | None) -> None:
    """Say on standard output where we can be reached, if anywhere."""
    words = [*(ports.told() if ports is not None else ()),
             *([f"prometheus-port={exporter.port}"] if exporter is not None else ())]
    if not words:
        return
    try:
        print(" ".join(("istat-agent ready", *words)), flush=True)
    except OSError as error:        # that nobody can be told is no reason not to serve
        output.let_go()
        log.warning("standard output cannot be written (%s)", error.strerror)


def launch(values: Values, counters: Counters, clock: SystemClock, watch: Watch, relay: Relay | None,
           isolation: Isolation) -> Agent:
    """A running agent for these settings; problems of plugins go to the log."""
    agent = Agent(values, counters, clock, watch, relay, isolation)
    agent.start()
    log.info("%s: %s", status(values), ", ".join(agent.running()) or "nothing")
    return agent


def tell(plan: Plan) -> None:
    """Log what cannot run."""
    for problem in plan.problems:
        log.error("%s", problem)


def keep_alive(interval: float) -> None:
    """Tell the service manager that the hub is not blocked, for ever."""
    while True:
        service.watchdog()
        gevent.sleep(interval)


def status(values: Values) -> str:
    """The line for `systemctl status`."""
    if values["forward"]:
        return f"forwarding to {', '.join(map(str, values['forward']))} as host {host_name(values)}"
    return f"sending to {values['server']} as host {host_name(values)}"


if __name__ == "__main__":
    sys.exit(main())
