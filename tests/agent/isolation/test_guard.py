"""What foreign code may not do in the agent's process."""

from __future__ import annotations

import _thread
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.errors import PluginError
from istat_agent.isolation.guard import guarded

ROOT = Path(__file__).parents[3]

TRIES: dict[str, Callable[[], object]] = {
    "os.fork": os.fork,
    "subprocess.Popen": lambda: subprocess.run(["true"], check=False),
    "os.system": lambda: os.system("true"),
    "os.posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "os.exec": lambda: os.execv("/bin/true", ["true"]),
    "os._exit(7)": lambda: os._exit(7),
    "os.kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "os.abort()": lambda: os.abort(),  # noqa: PLW0108 - as it is then
    "os.closerange(3, 4096)": lambda: os.closerange(3, 4096),
    "signal.raise_signal": lambda: signal.raise_signal(signal.SIGTERM),
    "signal.alarm(1)": lambda: signal.alarm(1),
    "signal.setitimer": lambda: signal.setitimer(signal.ITIMER_REAL, 0.1),
    "_thread.interrupt_main()": lambda: _thread.interrupt_main(),  # noqa: PLW0108
    "resource.setrlimit": lambda: resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)),
    "resource.prlimit": lambda: resource.prlimit(0, resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)),
    "os.killpg": lambda: os.killpg(os.getpgid(0), signal.SIGKILL),
}


@pytest.mark.parametrize("name", TRIES)
def test_it_is_told_and_isolated_and_nothing_happens(name: str) -> None:
    told: list[str] = []
    with pytest.raises(PluginError, match="isolated=True"), guarded(told.append):
        TRIES[name]()
    (why,) = told
    assert name in why


def test_all_else_may_do_it_meanwhile() -> None:
    done: list[int] = []
    with guarded(lambda why: pytest.fail(why)):
        thread = threading.Thread(target=lambda: done.append(subprocess.run(["true"], check=False).returncode))
        thread.start()
        thread.join()
    assert done == [0]
    assert subprocess.run(["true"], check=False).returncode == 0


def test_a_fork_that_is_not_seen_does_not_come_back_as_a_second_agent() -> None:
    program = (f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
               "import ctypes, os\nfrom istat_agent.isolation.guard import guarded\n"
               "with guarded(print):\n    child = ctypes.CDLL(None).fork()\n"
               "print('back', flush=True)\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["back", "1"], done.stderr


def test_limits_may_be_asked_for() -> None:
    with guarded(lambda why: pytest.fail(why)):
        assert resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE) == resource.getrlimit(resource.RLIMIT_NOFILE)


def test_signals_to_others_are_its_own_affair() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other, guarded(lambda why: pytest.fail(why)):
        os.kill(other.pid, 0)
        os.killpg(other.pid, signal.SIGKILL)
