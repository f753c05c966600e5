"""What has many jobs that do not end takes no turn of others: neither of ours, nor of plugins, nor of scripts."""

import threading
from collections.abc import Callable, Iterator

import gevent
import pytest

from istat.clock import SystemClock
from istat.plugin import Emit, Job
from istat_agent.collecting.collecting import Collecting
from istat_agent.collecting.plan import Plan
from istat_agent.collecting.schedule import Task
from istat_agent.collecting.threads import MAX_THREADS
from istat_agent.counters import Counters, Failing

MANY = MAX_THREADS + 6


class Bench:
    """What collects, and the names that came from it."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.released = threading.Event()
        self.came: set[str] = set()
        self.collecting = Collecting(self.take, Counters(), clock, Failing(clock))

    def take(self, emit: Emit) -> None:
        self.came.update(emit.gauges())

    def stuck(self, emit: Emit) -> None:
        self.released.wait(30)

    def run(self, *tasks: Task, until: set[str]) -> None:
        self.collecting.apply(Plan({}, tasks=list(tasks)))
        with gevent.Timeout(20, AssertionError(f"there is only {self.came}")):
            while not until <= self.came:
                gevent.sleep(0.01)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.released.set()
    made.collecting.stop()


def says(name: str) -> Callable[[Emit], None]:
    return lambda emit: emit.gauge(name, 1)


OWN = Task("cpu", Job("cpu", says("own")), 10, 10.0, "built-in cpu")
FOREIGN = Task("good", Job("good", says("foreign")), 10, 10.0, "good.py", own=False)
CHILD = Task("calm", Job("calm", says("child")), 10, 10.0, "calm.py", own=False, isolated=True, waits=False)
SCRIPT = Task("exec", Job("exec:fine", says("script")), 10, 10.0, "built-in exec", waits=False)


def test_a_plugin_with_more_jobs_than_there_are_threads(bench: Bench) -> None:
    many = [Task("many", Job(f"many:{n}", bench.stuck), 10, 10.0, "many.py", own=False) for n in range(MANY)]
    bench.run(*many, OWN, FOREIGN, CHILD, SCRIPT, until={"own", "foreign", "child", "script"})


def test_a_child_with_more_jobs_than_there_are_threads(bench: Bench) -> None:
    many = [Task("many", Job(f"many:{n}", bench.stuck), 10, 10.0, "many.py", own=False, isolated=True, waits=False)
            for n in range(MANY)]
    bench.run(*many, OWN, FOREIGN, CHILD, SCRIPT, until={"own", "foreign", "child", "script"})


def test_more_scripts_than_there_are_threads(bench: Bench) -> None:
    many = [Task("exec", Job(f"exec:{n}", bench.stuck), 10, 10.0, "built-in exec", waits=False) for n in range(MANY)]
    bench.run(*many, OWN, FOREIGN, until={"own", "foreign"})
