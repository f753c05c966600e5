"""Settings: where values come from, and what is said about wrong ones."""

from __future__ import annotations

import tomllib
from pathlib import Path as FilePath
from typing import Any

import pytest

from istat.errors import SettingsError
from istat.retention import Ladder, Rule
from istat.settings.declaration import (
    Address,
    Choice,
    Declaration,
    Duration,
    Flag,
    HostPort,
    Integer,
    Many,
    Number,
    Path,
    Retention,
    RetentionRules,
    Setting,
    Size,
    Text,
    Type,
)

DECLARATION = Declaration(
    "istat-toy",
    "ISTAT_TOY",
    "/etc/istatd/toy.toml",
    [
        Setting("stat-port", Integer(0, 65535), 8111, "Port for samples.", example="8112"),
        Setting("store", Path(), None, "Folder of the store."),
        Setting("flush", Duration(lo=1), "2m", "Longest time in memory."),
        Setting("buffer", Size(), "8M", "Socket buffer.", unit="bytes"),
        Setting("verbose", Flag(), False, "Say more."),
        Setting("token", Text(), "", "What clients must know.", secret=True),
        Setting("tags", Many(Text()), "", "Tags."),
    ],
    about="A toy.",
    tables=("plugins",),
)


def problems(argv: list[str], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        DECLARATION.load(argv, environ or {})
    return caught.value.problems


def test_defaults() -> None:
    values = DECLARATION.load([], {})
    assert dict(values) == {
        "stat-port": 8111,
        "store": None,
        "flush": 120.0,
        "buffer": 8 << 20,
        "verbose": False,
        "token": "",
        "tags": (),
    }
    assert values.source("store") == "default"


def test_flags_win_over_environment_over_file_over_default(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(
        'stat-port = 1\nbuffer = "1k"\nflush = 30\nverbose = true\n[plugins.cpu]\ninterval = "5s"\n'
    )
    environ = {"ISTAT_TOY_STAT_PORT": "2", "ISTAT_TOY_BUFFER": "2k", "ISTAT_TOY_CONFIG": str(file)}
    values = DECLARATION.load(["--stat-port=3", "--store", "x"], environ)
    assert (values["stat-port"], values["buffer"], values["flush"], values["verbose"]) == (
        3,
        2048,
        30.0,
        True,
    )
    assert values["store"] == FilePath("x")
    sources = [values.source(n) for n in ("stat-port", "buffer", "flush", "token")]
    assert sources == ["flag", "environment", "file", "default"]
    assert values.tables == {"plugins": {"cpu": {"interval": "5s"}}}
    assert DECLARATION.load(["--no-verbose", "--config", str(file)], {})["verbose"] is False


def test_all_problems_are_told_at_once(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text('stat-prot = 1\nbuffer = true\nverbose = "yes"\n')
    found = problems(
        ["--config", str(file), "--stat-port", "70000", "--flsh=1", "stray", "--store"],
        {"ISTAT_TOY_FLUSH": "soon"},
    )
    assert "--flsh is no setting of istat-toy (did you mean 'flush'?)" in found
    assert "'stray' is no flag: write --NAME VALUE" in found
    assert "--store wants a value" in found
    assert f"{file}: 'stat-prot' is no setting of istat-toy (did you mean 'stat-port'?)" in found
    assert f"{file}: buffer wants a number of bytes such as 4096, 64k or 8M, not true" in found
    assert f'{file}: verbose wants true or false, not "yes"' in found
    assert "ISTAT_TOY_FLUSH wants a time such as 10s, 5m or 250ms of at least 1s, not 'soon'" in found
    assert "--stat-port wants a whole number from 0 to 65535, not '70000'" in found
    assert len(found) == 8


def test_a_wrong_secret_is_not_repeated() -> None:
    assert problems(["--token", "hush\nhush"]) == ["--token has a wrong value"]
    sample = Declaration("t", "T", "t", [Setting("key", Text(), "hush", "Key.", secret=True)])
    assert not [text for text in (sample.help(), sample.sample(), sample.table()) if "hush" in text]


def test_a_file_that_cannot_be_read(tmp_path: FilePath) -> None:
    missing = tmp_path / "missing.toml"
    assert problems(["--config", str(missing)]) == [
        f"cannot read the settings file {missing}: No such file or directory"
    ]
    missing.write_text("stat-port = = 1")
    assert problems(["--config", str(missing)])[0].startswith(f"{missing} is no TOML")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--help", "--stat-port N\n      Port for samples. (default 8111)"),
        ("--version", "istat-toy 0."),
        ("--check-config", "istat-toy: the settings are fine"),
        ("--sample-config", "# Port for samples.\n#stat-port = 8112"),
    ],
)
def test_questions_are_answered_and_end_the_program(
    flag: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        DECLARATION.load([flag], {})
    assert caught.value.code == 0
    assert said in capsys.readouterr().out


def test_check_config_reports_problems() -> None:
    assert problems(["--check-config", "--flush", "0"])


def test_the_sample_with_its_comments_removed_gives_the_defaults(tmp_path: FilePath) -> None:
    lines = [
        line[1:] if line.startswith("#") and " = " in line else line
        for line in DECLARATION.sample().splitlines()
    ]
    text = "\n".join(lines).replace("stat-port = 8112", "stat-port = 8111")
    assert set(tomllib.loads(text)) == set(DECLARATION.settings)
    file = tmp_path / "sample.toml"
    file.write_text(text)
    assert dict(DECLARATION.load(["--config", str(file)], {})) == dict(DECLARATION.load([], {}))


def test_the_table_has_a_row_for_every_setting() -> None:
    table = DECLARATION.table()
    assert [name for name in DECLARATION.settings if f"| `{name}` |" not in table] == []
    assert '| `flush` | a time such as 10s, 5m or 250ms of at least 1s | `"2m"` |' in table


def test_a_setting_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Declaration("t", "T", "t", [Setting("a", Flag(), False, ""), Setting("a", Flag(), False, "")])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Integer(), "-5", -5),
        (Number(0, 1), "0.5", 0.5),
        (Duration(), "1h30m", 5400.0),
        (Duration(), "250ms", 0.25),
        (Duration(), "2.5", 2.5),
        (Size(), "64KiB", 65536),
        (Size(), "10", 10),
        (Choice("udp", "tcp"), "tcp", "tcp"),
        (Address(), "[::1]:80", HostPort("::1", 80)),
        (Address(8111), "stats.example", HostPort("stats.example", 8111)),
        (Address(), "", None),
        (Address(), ":80", HostPort("", 80)),
        (Path(), "", None),
        (Many(Integer()), "1, 2,3", (1, 2, 3)),
        (Flag(), "off", False),
        (Retention(), "10s:1d", Ladder.parse("10s:1d")),
        (RetentionRules(), "a.*=10s:1d; b = 10s:2d", (Rule.parse("a.* = 10s:1d"), Rule.parse("b = 10s:2d"))),
        (RetentionRules(), "", ()),
    ],
)
def test_texts_that_are_values(kind: Type, text: str, value: Any) -> None:
    assert kind.parse(text) == value
    if value is not None:
        assert kind.from_toml(tomllib.loads(f"x = {kind.to_toml(value)}")["x"]) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Integer(1), "0"),
        (Integer(), "1.5"),
        (Number(), "nan"),
        (Number(), "inf"),
        (Duration(), "-1"),
        (Duration(hi=60), "2m"),
        (Size(hi=1024), "2k"),
        (Size(), "8 apples"),
        (Choice("udp", "tcp"), "sctp"),
        (Address(), "host"),
        (Address(), "::1:80"),
        (Address(), "a:99999"),
        (Flag(), "maybe"),
        (Retention(), "10s"),
        (RetentionRules(), "10s:1d"),
        (RetentionRules(), "a = 10s:1d; a = 10s:2d"),
    ],
)
def test_texts_that_are_not(kind: Type, text: str) -> None:
    with pytest.raises(ValueError, match="wants"):
        kind.parse(text)


def test_rules_may_be_a_table_in_the_file() -> None:
    table = tomllib.loads('["retention-rules"]\n"db.**" = "10s:1d,1h:1y"\n"*" = "1m:1d"')["retention-rules"]
    assert [rule.text for rule in RetentionRules().from_toml(table)] == ["db.** = 10s:1d,1h:1y", "* = 1m:1d"]
    with pytest.raises(ValueError, match="wants rules"):
        RetentionRules().from_toml([1])


def test_a_host_and_port_print_as_they_are_written() -> None:
    assert [str(HostPort("::1", 80)), str(HostPort("h", 1))] == ["[::1]:80", "h:1"]
