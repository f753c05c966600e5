"""Namespaces of a real server: nothing that was answered is lost by a kill, whoever writes at once; istatd's page's
requests, edits by hand, and `istat settings`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import requests

from ftest.harness.serverprocess import ServerProcess

OPEN = {"ISTAT_SERVER_SETTINGS_OPEN": "true"}
HEADERS = {"Authorization": "Bearer writes"}
WRITERS, USERS = 4, 2


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    """Several write at once, each its own keys, until the server is killed under them."""
    with ServerProcess(tmp_path, write_token="writes") as server:
        answered: list[dict[str, str]] = [{} for _ in range(WRITERS)]

        def write(writer: int) -> None:
            number = 0
            while True:
                key, number = f"k{writer}.{number % 5}", number + 1
                try:
                    answer = requests.post(f"{server.url}/?s=u{writer % USERS}", json={key: str(number)},
                                           headers=HEADERS, timeout=10)
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    answered[writer][key] = str(number)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda: all(len(one) == 5 for one in answered), "each has written some")
        server.kill9()
        for thread in threads:
            thread.join()
        server.start()
        for writer, expected in enumerate(answered):
            found = server.get(f"/?s=u{writer % USERS}")
            for key, value in expected.items():
                assert int(found[key]) in (int(value), int(value) + 5), "the last one answered, or the one under way"
                rows = server.get("/api/v1/namespace/versions", name=f"u{writer % USERS}", key=key)["versions"]
                assert value in [row["value"] for row in rows[:2]]
        server.assert_no_traceback()


def test_the_requests_of_istatds_page(tmp_path: Path) -> None:
    board = json.dumps({"size": {"width": 600, "height": 240}, "graphs": [["cpu.idle"]], "formats": [3]})
    with ServerProcess(tmp_path, environment=OPEN) as server:
        def post(name: str, values: dict[str, str]) -> requests.Response:
            return requests.post(f"{server.url}/?s={name}", json=values, timeout=10)

        assert requests.get(f"{server.url}/?s=users&sk=user.cit", timeout=10).status_code == 404
        assert post("users", {"user.cit": '{"password":"abc"}'}).text == '{"success":true}'
        assert post("cit", {"dashboard.front": board, "dashboard.back": board}).text == '{"success":true}'
        assert post("cit", {"dashboard.back": ""}).text == '{"success":true}'
        server.restart()
        assert server.get("/?s=cit&sk=dashboard.*") == {"dashboard.front": board}
        folder = tmp_path / "store/settings"
        (folder / "global.set").write_bytes((folder / "cit.set").read_bytes())
        assert server.get("/?s=global") == {"dashboard.front": board}


def istat(server: ServerProcess, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "istat.cli.command", "settings", words[0], "--server", server.url,
                           *words[1:]], capture_output=True, text=True, timeout=60, env=environment)


def test_istat_settings(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, write_token="writes", settings=tmp_path / "elsewhere") as server:
        assert istat(server, "set", "ops", "oncall", "alice").returncode != 0
        for value in ("alice", "bob"):
            assert istat(server, "set", "ops", "oncall", value, ISTAT_TOKEN="writes").returncode == 0
        assert istat(server, "restore", "ops", "oncall", "1", ISTAT_TOKEN="writes").stdout == "oncall: version 3\n"
        assert istat(server, "get", "ops", "oncall").stdout == "alice\n"
        assert (tmp_path / "elsewhere/ops.set").read_bytes() == b"# istatd settings 1\noncall=alice\n"
        assert istat(server, "list").stdout.split()[0] == "ops"


def test_an_oversized_file_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    folder = tmp_path / "store/settings"
    folder.mkdir(parents=True)
    (folder / "big.set").write_bytes(b"a=" + b"x" * (1 << 20))
    (folder / "good.set").write_bytes(b"# istatd settings 1\na=1\n")
    with ServerProcess(tmp_path) as server:
        assert server.get("/?s=good") == {"a": "1"}
        assert requests.get(f"{server.url}/?s=big", timeout=10).status_code == 503
        assert "big.set: it has 1048578 bytes" in server.log()


def test_it_warns_where_others_could_write(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment=OPEN, http_listen_address="*") as server:
        assert "settings-open is set, and others than this machine can ask" in server.log()
