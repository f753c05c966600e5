"""Settings of the server that are right alone and do not fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.errors import SettingsError
from istat.settings.types import OFF
from istat_server.options import DECLARATION, TOKENS


@pytest.mark.parametrize(("words", "says"), [
    (["--tls-key", "key"], "tls-key is set without tls-cert"),
    (["--tls-client-ca", "ca"], "tls-client-ca is set without tls-cert"),
    (["--read-token", "same", "--admin-token", "same"], "read-token and admin-token are the same"),
    (["--write-token", "same", "--admin-token", "same"], "write-token and admin-token are the same"),
    (["--admin-token", "sécret"], "admin-token has signs that HTTP cannot carry"),
    (["--samples-token", "x" * 1001], "samples-token is longer than 1000 signs"),
    (["--forward-token", "x" * 1001], "forward-token is longer than 1000 signs"),
    (["--read-token", " blank "], "read-token has signs that HTTP cannot carry"),
    (["--admin-open", "--admin-listen-address", "*"], "admin-open lets everybody delete who reaches admin-port"),
    (["--admin-open", "--admin-listen-address", "192.0.2.1"], "admin-open lets everybody delete"),
])
def test_what_does_not_fit_is_told_without_the_secret(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load([*words, "--check-config"], {})
    assert any(problem.startswith(says) for problem in caught.value.problems)
    assert not any(word in str(caught.value) for word in ("same'", "sécret", "blank"))


def test_tokens_and_a_certificate_with_its_key_in_one_file_fit() -> None:
    words = [f"--{name}={name} of mine" for name in TOKENS]
    values = DECLARATION.load([*words, "--tls-cert", "pair.pem", "--tls-client-ca", "ca.pem"], {})
    assert [values[name] for name in TOKENS] == [f"{name} of mine" for name in TOKENS]


def test_tokens_are_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(DECLARATION.settings[name].secret for name in TOKENS)
    with pytest.raises(SystemExit):
        DECLARATION.load(["--admin-token", "hush", "--sample-config"], {})
    assert "hush" not in capsys.readouterr().out


def test_the_admin_port_may_be_open_on_this_machine() -> None:
    for address in ("", "localhost", "127.0.0.1", "[::1]"):
        assert DECLARATION.load(["--admin-open", "--admin-listen-address", address], {})["admin-open"]


def test_ports_are_free_ones_or_off() -> None:
    values = DECLARATION.load([], {})
    assert (values["stat-port"], values["http-port"]) == (8111, 8000)
    assert (values["admin-port"], values["prometheus-port"]) == (OFF, OFF)
    values = DECLARATION.load(["--stat-port", "off", "--http-port", "OFF", "--admin-port", "0"], {})
    assert (values["stat-port"], values["http-port"], values["admin-port"]) == (OFF, OFF, 0)
    for wrong in ("-1", "65536", "", "none"):
        with pytest.raises(SettingsError, match="wants a port from 1 to 65535, 0 for a free one, or off"):
            DECLARATION.load(["--stat-port", wrong], {})


def test_a_file_has_ports_as_numbers_or_off(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('stat-port = "off"\nhttp-port = 8001\nadmin-port = "0"\n')
    values = DECLARATION.load(["--config", str(file)], {})
    assert (values["stat-port"], values["http-port"], values["admin-port"]) == (OFF, 8001, 0)
