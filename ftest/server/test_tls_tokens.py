"""A server with TLS and tokens, driven by `istat`, by the agent and by the page in a real browser; its certificate and
its tokens are renewed while it runs."""
from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ftest.harness.browser import READY, VENDOR, until
from ftest.harness.browser import browser as browser
from ftest.harness.serverprocess import ServerProcess
from tests.certificates import Authority
from tests.skips import need

pytestmark = [pytest.mark.seconds(12)]
ROOT = Path(__file__).parents[2]
READS, RULES = "r3ads", "ru1es"
SETTINGS = """
tls-cert = "{folder}/server.pem"
tls-key = "{folder}/server.key"
read-token = "{reads}"
admin-token = "{rules}"
"""


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Iterator[ServerProcess]:
    for name in ("server.pem", "server.key"):
        shutil.copy(authority.folder / name, tmp_path / name)
    config = tmp_path / "server.toml"
    config.write_text(SETTINGS.format(folder=tmp_path, reads=READS, rules=RULES))
    with ServerProcess(tmp_path, ca=authority.ca, token=READS, config=config) as server:
        yield server
    log = server.log()
    assert READS not in log and RULES not in log


def istat(server: ServerProcess, authority: Authority, *words: str, **tokens: str) -> subprocess.CompletedProcess[str]:
    """The command, which believes our authority."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ISTAT_")}
    environment = {**clean, "PYTHONPATH": str(ROOT), "ISTAT_URL": server.url, "ISTAT_CA": str(authority.ca), **tokens}
    return subprocess.run([sys.executable, "-m", "istat.cli.command", *words], env=environment, text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def delays_nobody(server: ServerProcess) -> None:
    """Connections that say nothing."""
    silent = [socket.create_connection(("127.0.0.1", server.http_port), 10) for _ in range(100)]
    times = [requests.get(server.url + "/health", timeout=10, **server.ask).elapsed.total_seconds() for _ in range(5)]
    assert sorted(times)[2] < 0.5       # generous: catches accidents only
    for one in silent:
        one.close()


def test_istat_reads_and_changes_with_its_tokens_only(server: ServerProcess, authority: Authority) -> None:
    server.send_tcp(b"t.a 1\nt.b 2\n")
    server.wait_for_samples(2)
    refused = istat(server, authority, "ls", "t.*")
    assert refused.returncode == 83
    assert "this needs the read-token or the admin-token" in refused.stderr and "ISTAT_TOKEN" in refused.stderr
    reads = {"ISTAT_TOKEN": READS}
    assert istat(server, authority, "ls", "t.*", **reads).stdout == "t.a\nt.b\n"
    assert f"runs at {server.url}" in istat(server, authority, "status", **reads).stdout
    assert json.loads(istat(server, authority, "query", "t.a", "--json", **reads).stdout)["missing"] == []
    lesser = istat(server, authority, "delete", "t.a", "--yes", **reads)
    assert lesser.returncode == 83 and "the read-token does not do" in lesser.stderr
    done = istat(server, authority, "delete", "t.a", "--yes", ISTAT_ADMIN_TOKEN=RULES)
    assert (done.returncode, done.stderr) == (0, "")
    assert istat(server, authority, "ls", "t.*", **reads).stdout == "t.b\n"
    distrusted = istat(server, authority, "ls", ISTAT_CA=str(Path(ssl.__file__)), **reads)
    assert distrusted.returncode in (2, 85) and "Traceback" not in distrusted.stderr
    plain = istat(server, authority, "ls", "--server", server.url.replace("https", "http"), **reads)
    assert plain.returncode == 85 and "does it speak TLS? then write https://" in plain.stderr


def test_certificate_and_tokens_are_renewed(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    def shown() -> str:
        context = ssl.create_default_context(cafile=str(authority.ca))
        with socket.create_connection(("127.0.0.1", server.http_port), 10) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return str(dict(part[0] for part in secure.getpeercert()["subject"])["commonName"])     # type: ignore

    delays_nobody(server)
    shutil.copy(authority.folder / "other.pem", tmp_path / "server.pem")
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: "the certificate stays the old one: tls-key" in server.log(), "the mistake is told")
    assert shown() == "server"
    shutil.copy(authority.folder / "other.key", tmp_path / "server.key")
    config = tmp_path / "server.toml"
    config.write_text(config.read_text().replace(READS, "n3w"))
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: shown() == "other", "the new certificate is shown")

    def status(token: str) -> int:
        sent = {"Authorization": f"Bearer {token}"}
        url = f"{server.url}/api/v1/names"
        return requests.get(url, headers=sent, verify=str(authority.ca), timeout=10).status_code

    assert (status(READS), status("n3w"), status(RULES)) == (401, 200, 200)
    assert server.healthy(), "whether it lives is anybody's to know"


@pytest.mark.browser
def test_the_page_shows_what_an_agent_sends_once_it_has_the_token(
    browser: Any, server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    need(VENDOR.exists(), "the page's chart library (python setup.py build_ui)")
    agent = subprocess.Popen([sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{server.stat_port}",
                              "--host", "web1", "--interval", "1", "--transport", "tcp", "--tls", "--tls-ca",
                              str(authority.ca)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        server.wait_until(lambda: server.get("/api/v1/names", match="cpu.*.host.web1")["names"], "the agent is heard",
                          30)
        assert server.ingest()["tls.connects"] == 1
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1100, "height": 800})
        page = context.new_page()
        asked: list[str | None] = []
        page.on("request", lambda request: asked.append(request.headers.get("authorization"))
                if "/api/" in request.url else None)
        page.goto(server.url + "/")
        page.wait_for_selector("#token[open]")
        assert page.inner_text("#token-why") == "This needs the read-token or the admin-token."
        assert page.evaluate("document.activeElement.id") == "token-value"
        page.fill("#token-value", "guessed")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#token-why').textContent.startsWith('The token is wrong')")
        page.fill("#token-value", READS)
        page.keyboard.press("Enter")
        page.wait_for_selector(READY, timeout=20_000)
        until(page, "document.querySelectorAll('.card').length > 3")
        assert page.locator("#token[open]").count() == 0 and page.locator("#banner").is_hidden()
        assert page.evaluate("sessionStorage.getItem('istatd-token')") == READS
        assert page.evaluate("document.cookie") == "" and READS not in page.url
        asked.clear()
        page.reload()
        page.wait_for_selector(READY, timeout=20_000)
        assert asked and set(asked) == {f"Bearer {READS}"}
        other = context.new_page()      # another tab has a storage of its own
        other.goto(server.url + "/")
        other.wait_for_selector("#token[open]")
        other.keyboard.press("Escape")
        until(other, "!document.querySelector('#banner').hidden")
        assert "this needs the read-token" in other.inner_text("#banner-text")
        other.click("#banner-button")
        other.wait_for_selector("#token[open]")
        context.close()
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)


def test_a_certificate_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    code, said = ServerProcess(tmp_path, **{"tls-cert": "/nonexistent/cert.pem"}).start_expecting_failure()
    assert (code, said.count("\n")) == (78, 1), said
    assert said.startswith("istat-server: tls-cert /nonexistent/cert.pem cannot be read: No such file or directory; ")


def test_a_client_without_a_certificate_is_refused_where_one_is_wanted(authority: Authority, tmp_path: Path) -> None:
    mine = [str(authority.folder / "other.pem"), str(authority.folder / "other.key")]
    pair = {"tls-cert": authority.folder / "server.pem", "tls-key": authority.folder / "server.key"}
    server = ServerProcess(tmp_path, ca=authority.ca, **pair, **{"tls-client-ca": authority.ca})
    server.ask["cert"] = tuple(mine)
    with server:
        assert istat(server, authority, "ls", ISTAT_CERT=mine[0], ISTAT_KEY=mine[1]).returncode == 0
        refused = istat(server, authority, "ls")
        assert (refused.returncode, "--cert FILE" in refused.stderr) == (85, True), refused.stderr


