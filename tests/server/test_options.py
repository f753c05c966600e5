"""Settings of the server that are right alone and do not fit each other."""

from __future__ import annotations

import pytest

from istat.errors import SettingsError
from istat_server.options import DECLARATION, TOKENS


@pytest.mark.parametrize(("words", "says"), [
    (["--tls-key", "key"], "tls-key is set without tls-cert"),
    (["--tls-client-ca", "ca"], "tls-client-ca is set without tls-cert"),
    (["--read-token", "same", "--admin-token", "same"], "read-token and admin-token are the same"),
    (["--write-token", "same", "--admin-token", "same"], "write-token and admin-token are the same"),
    (["--admin-token", "sécret"], "admin-token has signs that HTTP cannot carry"),
    (["--read-token", " blank "], "read-token has signs that HTTP cannot carry"),
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
