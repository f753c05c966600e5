"""From settings and plugins to what runs; and the command's answers that start no daemon."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from istat.clock import SystemClock
from istat.plugin import Config, Emit, Setting, collector
from istat.settings.declaration import Values
from istat_agent import main, settings
from istat_agent.agent import once, suffix
from istat_agent.collecting.finding import Collection, Found
from istat_agent.collecting.plan import Plan, make_plan
from istat_agent.counters import Counters
from istat_agent.options import DECLARATION


@collector(name="queue", interval=30, settings=[Setting("depth", int, 3, "how deep")])
def queue(emit: Emit, config: Config) -> None:
    emit.gauge("queue.depth", config["depth"])


@collector(name="extra", default_on=False)
def extra(emit: Emit) -> None:
    emit.event("extra")


@collector(name="picky")
class Picky:
    def setup(self, config: Config) -> None:
        raise RuntimeError("no such device")

    def collect(self, emit: Emit) -> None:
        pass


def values(folder: Path, *argv: str, toml: str = "") -> Values:
    path = folder / "agent.toml"
    path.write_text(toml)
    return DECLARATION.load(["--host", "web1", "--config", str(path), *argv], {})


def plan(settings: Values) -> Plan:
    found = {d.name: Found(d, "test") for d in (queue, extra, picky())}
    return make_plan(settings, Counters(), Collection(found))


def picky():  # type: ignore[no-untyped-def]
    return Picky


def tasks(made: Plan) -> dict[str, tuple[int, float]]:
    return {task.job.name: (task.interval, task.timeout) for task in made.tasks}


def test_defaults(tmp_path: Path) -> None:
    made = plan(values(tmp_path))
    assert tasks(made) == {"queue": (30, 30.0), "agent": (10, 10.0)}
    assert made.problems == ["collector picky does not run: test: RuntimeError: no such device"]


def test_set_up_that_wants_to_end_the_agent_does_not(tmp_path: Path) -> None:
    @collector(name="rude")
    class Rude:
        def setup(self, config: Config) -> None:
            raise SystemExit(1)

        def collect(self, emit: Emit) -> None:
            pass

    made = make_plan(values(tmp_path), Counters(), Collection({"rude": Found(Rude, "test")}))
    assert tasks(made) == {"agent": (10, 10.0)}
    assert made.problems == ["collector rude does not run: test: SystemExit: 1"]


def test_set_up_may_tell_of_a_part_that_does_not_run(tmp_path: Path) -> None:
    @collector(name="half")
    class Half:
        def setup(self, config: Config) -> None:
            config.problems.append("/dev/x is no queue (mkqueue /dev/x)")

        def collect(self, emit: Emit) -> None:
            pass

    made = make_plan(values(tmp_path), Counters(), Collection({"half": Found(Half, "test")}))
    assert set(tasks(made)) == {"half", "agent"}
    assert made.problems == ["collector half: /dev/x is no queue (mkqueue /dev/x)"]


def test_tags_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    assert suffix(values(tmp_path, "--tags", "class.web,a b,x^y")) == "^host.web1^class.web"


def test_enable_disable_and_tables(tmp_path: Path) -> None:
    toml = 'enable = ["queue", "extra"]\n[plugins.queue]\ninterval = 5\ntimeout = 2\ndepth = 9\n'
    made = plan(values(tmp_path, toml=toml))
    assert tasks(made) == {"queue": (5, 2.0), "extra": (10, 10.0)}
    emit = Emit()
    made.tasks[0].job.collect(emit)
    assert emit.gauges() == {"queue.depth": 9}
    assert tasks(plan(values(tmp_path, "--disable", "queue,picky"))) == {"agent": (10, 10.0)}


def test_all_problems_at_once_and_the_rest_runs(tmp_path: Path) -> None:
    toml = 'disable = ["picky", "cpuu"]\ntags = ["a b"]\n'
    toml += "[plugins.queue]\ndepht = 1\ninterval = 0.5\n[plugins.redis]\n"
    made = plan(values(tmp_path, toml=toml))
    assert tasks(made) == {"agent": (10, 10.0)}
    assert made.problems == [
        "plugins.redis: there is no plugin with such settings; there are agent, extra, picky, queue",
        "tags: 'a b' has a blank, a caret or a star",
        "disable: there is no collector 'cpuu'; there are agent, extra, picky, queue",
        "collector queue does not run: plugins.queue.depht: no such setting (did you mean 'depth'?);"
        " there are interval, timeout, isolated, max-samples, max-names, max-cpu, memory, depth\n"
        "plugins.queue.interval wants a whole number from 1 to 86400, not '0.5'",
    ]


def test_wrong_intervals(tmp_path: Path) -> None:
    made = plan(values(tmp_path, "--disable", "picky", toml="[plugins.queue]\ninterval = 0.5\n"))
    assert made.problems == [
        "collector queue does not run: plugins.queue.interval wants a whole number from 1 to 86400, not '0.5'"
    ]


def test_once_gives_the_lines_that_would_be_sent(tmp_path: Path) -> None:
    settings = values(tmp_path, "--enable", "queue", "--tags", "class.web")
    (line,) = once(settings, plan(settings), SystemClock(), 0.0)
    name, time, value = line.split()
    assert (name, value) == ("queue.depth^host.web1^class.web", "3")
    assert int(time) % 10 == 0


def test_once_gives_what_was_reported_before_a_time_out(tmp_path: Path) -> None:
    release = threading.Event()

    @collector(name="slow", timeout=0.2)
    def slow(emit: Emit) -> None:
        emit.gauge("before", 1)
        release.wait()
        emit.gauge("after", 1)

    settings = values(tmp_path, "--enable", "slow,queue")
    found = {d.name: Found(d, "test") for d in (slow, queue)}
    lines = once(settings, make_plan(settings, Counters(), Collection(found)), SystemClock(), 0.0)
    release.set()
    assert [line.split("^")[0] for line in lines] == ["before", "queue.depth"]


def drop_in(folder: Path, text: str) -> None:
    folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    (folder / "queue.py").write_text(text)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command itself: whatever comes out of its descriptors."""
    command = [sys.executable, "-m", "istat_agent.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_a_plugin_prints_is_not_taken_for_what_we_print(tmp_path: Path) -> None:
    noise = "import os\nprint('loading.noise 1')\nos.system('echo noise.of.a.child 2')\n"
    drop_in(tmp_path / "d", noise + "from istat.plugin import collector\n@collector()\ndef collect(emit):\n"
                            "    print('noise 3')\n    os.write(1, b'noise.of.c 4\\n')\n    emit.gauge('a', 1)\n")
    words = ("--plugin-dir", tmp_path / "d", "--enable", "queue")
    found = run("--once", "--host", "web1", *words)
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["a^host.web1"]
    assert found.returncode == 0
    assert all(f"noise {n}" in found.stderr or f" {n}\n" in found.stderr for n in range(1, 5))
    found = run("--list-collectors", *words)
    assert found.stdout.startswith("COLLECTOR") and "noise" not in found.stdout
    found = run("--check-config", *words)
    assert (found.stdout, found.returncode) == ("istat-agent: the settings are fine\n", 0)


def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run([sys.executable, "-m", "istat_agent.main", "--list-collectors", "--plugin-dir", ""],
                               stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert found.stderr == "istat-agent: standard output cannot be written: No space left on device\n"
    assert found.returncode == 1


@pytest.mark.parametrize("action", ["--once", "--list-collectors", "--check-config"])
def test_what_does_not_run_is_told_and_is_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "PAUSE", 0)
    (tmp_path / "d").mkdir(mode=0o755)
    for enable, file, told in (("nosuch", "", "enable: there is no collector 'nosuch'"),
                               ("load", "queue.py", "queue.py: SyntaxError"),
                               ("exec", "check", "/d/check: it is not executable (chmod +x ")):
        path = tmp_path / "d" / file
        if file:
            path.write_text("def (")
        assert main.main([action, "--plugin-dir", str(tmp_path / "d"), "--enable", enable]) == 78
        captured = capsys.readouterr()
        assert told in captured.out + captured.err
        assert "fine" not in captured.out
        if file:
            path.unlink()


def test_command_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "PAUSE", 0)
    drop_in(
        tmp_path / "d",
        "from istat.plugin import collector\n@collector()\ndef collect(emit):\n    emit.event('a b', 2)\n",
    )
    status = main.main(["--once", "--host", "web1", "--plugin-dir", str(tmp_path / "d"), "--enable", "queue"])
    assert status == 0
    assert capsys.readouterr().out.startswith("*a_b^host.web1 ")


def test_command_check_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_in(tmp_path / "d", "def (")
    status = main.main(["--check-config", "--plugin-dir", str(tmp_path / "d"), "--enable", "cpu,nothing"])
    told = capsys.readouterr().err
    assert status == 78
    assert "queue.py: SyntaxError" in told
    assert "enable: there is no collector 'nothing'" in told
    assert main.main(["--check-config", "--plugin-dir", ""]) == 0


def test_a_folder_that_somebody_typed_and_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "nope"
    assert main.main(["--check-config", "--plugin-dir", f"{tmp_path},{missing}"]) == 78
    assert capsys.readouterr().err == f"istat-agent: plugin-dir: there is no folder {missing}\n"
    file = tmp_path / "agent.toml"
    file.write_text(f'plugin-dir = ["{missing}"]\n')
    assert main.main(["--check-config", "--config", str(file)]) == 0
    monkeypatch.setenv("ISTAT_AGENT_PLUGIN_DIR", str(missing))
    assert main.main(["--check-config", "--config", str(file)]) == 78


@pytest.mark.parametrize("place", ["agent.toml", ""])
def test_settings_that_others_could_change_are_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """They name programs and folders that are run."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    (folder / "agent.toml").write_text("")
    link = tmp_path / "agent.toml"
    link.symlink_to(folder / "agent.toml")
    arguments = ["--config", str(link), "--plugin-dir", ""]
    assert main.main([*arguments, "--check-config"]) == 0
    (folder / place).chmod(0o777)
    capsys.readouterr()
    for action in ("--check-config", "--list-collectors"):
        assert main.main([*arguments, action]) == 78
        cure = f"everybody may write {folder / place} (chmod o-w {folder / place})"
        assert f"the settings file says what is run, and {cure}" in capsys.readouterr().err
    assert main.main(["--config", "/dev/null", "--plugin-dir", "", "--check-config"]) == 0


def test_settings_that_cannot_be_looked_at_are_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(path: str) -> None:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(settings.trust, "check", check)
    (tmp_path / "agent.toml").write_text("")
    assert main.main(["--config", str(tmp_path / "agent.toml"), "--check-config"]) == 78
    assert "which says what is run: Input/output error" in capsys.readouterr().err


def test_command_check_config_tells_of_settings_and_collectors_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('intervall = 5\n[plugins.cpu]\nper-core = "often"\n[plugins.cppu]\n')
    assert main.main(["--check-config", "--config", str(file), "--plugin-dir", "", "--max-datagram", "1"]) == 78
    assert capsys.readouterr().err.splitlines() == [
        f"istat-agent: {file}: 'intervall' is no setting of istat-agent (did you mean 'interval'?)",
        "istat-agent: --max-datagram wants a whole number from 200 to 65000, not '1'",
        "istat-agent: plugins.cppu: there is no plugin with such settings (did you mean 'cpu'?); there are agent, cpu, "
        "disk, exec, load, memory, network, pagecache, processes, space",
        'istat-agent: collector cpu does not run: plugins.cpu.per-core wants true or false, not "often"',
    ]


def test_command_list_collectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--list-collectors", "--plugin-dir", "", "--disable", "load"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "10 s" in lines["cpu"] and "built-in cpu" in lines["cpu"]
    assert " off " in lines["load"]
    assert "60 s" in lines["space"]


def test_wrong_settings_end_with_the_status_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--server", "no port:x"]) == 78
    assert "--server wants an address" in capsys.readouterr().err


def test_an_agent_that_sends_datagrams_loads_no_tls() -> None:
    """Its libraries are 5 MB, a fifth of all that an agent takes."""
    code = "import sys, istat_agent.main; print(sorted({'ssl', '_ssl', 'gevent.ssl'} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
