"""Settings: where values come from, and what is said about wrong ones."""

from __future__ import annotations

import tomllib
from pathlib import Path as FilePath
from typing import Any

import pytest

from istat.errors import PluginError, SettingsError
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
    PluginSettings,
    Retention,
    RetentionRules,
    Setting,
    Size,
    Text,
    Type,
    Values,
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
TOY = PluginSettings("toy", [
    Setting("port", Integer(0, 65535), 0, "Port of the toy.", reloadable=True),
    Setting("greeting", str, "hello", "What it says.", "words"),
    Setting("key", Text(), "", "What it keeps to itself.", secret=True),
])
WITH_TOY = DECLARATION.with_plugins([TOY])


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


def test_a_file_with_an_editors_byte_order_mark_is_read(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_bytes(b"\xef\xbb\xbfstat-port = 8120\n")
    assert DECLARATION.load(["--config", str(file)], {})["stat-port"] == 8120
    file.write_bytes(b"\xff\xfestat-port = 8120\n")
    assert problems(["--config", str(file)]) == [
        f"{file} is no TOML: its byte 1 is not UTF-8; save it as UTF-8"]


@pytest.mark.parametrize("value", [0.1, 0.25, 90.0, 0.0025, 1.2345, 604800.0])
def test_a_time_is_written_so_that_it_reads_back(value: float) -> None:
    assert Duration().parse(Duration().to_toml(value).strip('"')) == value


def test_settings_below_a_table_of_their_own_are_told_where_they_stand(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text("[server]\nstat-port = 8120\n")
    assert problems(["--config", str(file)]) == [
        f"{file}: istat-toy has no table [server]; a setting stands under its own name, before all tables"]


@pytest.mark.parametrize("text", ["stat-port = " + "9" * 5000, "tags = " + "[" * 5000])
def test_a_file_of_numbers_and_brackets_without_end_is_told_in_a_sentence(text: str, tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(text)
    assert problems(["--config", str(file)]) == [
        f"{file} has a number that is too long, or brackets within brackets too deep to be read"]


def test_no_more_is_read_of_a_file_than_settings_may_have(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text("#" * (1 << 20))
    assert DECLARATION.load(["--config", str(file)], {})["stat-port"]
    for endless in (file, FilePath("/dev/zero")):
        file.write_text("#" * (1 << 20) + "\n")
        assert problems(["--config", str(endless)]) == [
            f"the settings file {endless} has more than 1,048,576 bytes: name the right one"]


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
        ("--version", "istat-toy 2."),
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
        (Duration(), "0.1s", 0.1),
        (Duration(), "1.5h", 5400.0),
        (Duration(), ".5m", 30.0),
        (Duration(), "2.5ms", 0.0025),
        (Duration(), "1w", 604800.0),
        (Duration(), "1w1d", 691200.0),
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
        (Address(80), "a..b"),
        (Address(80), "x" * 64 + ".example"),
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


# --- plugins' tables ----------------------------------------------------------------------------------------


def test_plugins_have_the_settings_that_they_declare(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text("[plugins.toy]\nport = 7\n")
    values = WITH_TOY.load(["--config", str(file)], {})
    toy = values.plugins["toy"]
    assert dict(toy) == {"port": 7, "greeting": "hello", "key": ""}
    assert (toy.source("port"), toy.source("greeting")) == ("file", "default")
    assert dict(WITH_TOY.load([], {}).plugins["toy"]) == {"port": 0, "greeting": "hello", "key": ""}


def test_problems_of_plugins_are_told_with_all_others(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text('stat-port = -1\n[plugins.toy]\nprot = 7\nport = "x"\nkey = 5\n[plugins.toi]\na = 1\n')
    with pytest.raises(SettingsError) as caught:
        WITH_TOY.load(["--config", str(file), "--check-config"], {})
    assert caught.value.problems == [
        f"{file}: stat-port wants a whole number from 0 to 65535, not '-1'",
        f"{file}: plugins.toi: there is no plugin with such settings (did you mean 'toy'?); there are toy",
        f"{file}: plugins.toy.prot: no such setting (did you mean 'port'?); there are port, greeting, key",
        f"{file}: plugins.toy.port wants a whole number from 0 to 65535, not 'x'",
        f"{file}: plugins.toy.key has a wrong value",
    ]
    file.write_text("plugins.toy = 5\n")
    with pytest.raises(SettingsError, match=r"plugins.toy must be a table: \[plugins.toy\]"):
        WITH_TOY.load(["--config", str(file)], {})


def test_what_went_wrong_with_plugins_is_told_first_and_their_tables_are_no_mistake(tmp_path: FilePath) -> None:
    file = tmp_path / "toy.toml"
    file.write_text("[plugins.other]\na = 1\n")
    broken = PluginError("the plugin other cannot be loaded: it is broken")
    with pytest.raises(PluginError, match="other cannot be loaded"):
        WITH_TOY.load(["--config", str(file), "--check-config"], {}, broken)
    with pytest.raises(SettingsError) as caught:
        WITH_TOY.load(["--config", str(file), "--buffer", "x"], {}, broken)
    assert caught.value.problems[0] == str(broken)
    assert len(caught.value.problems) == 2
    with pytest.raises(SystemExit):
        WITH_TOY.load(["--help"], {}, broken)


def test_help_and_sample_tell_of_plugins(tmp_path: FilePath) -> None:
    assert ("In the file's table [plugins.toy]:\n\n  port = N\n      Port of the toy.\n"
            "  greeting = TEXT\n      What it says. [words] (default hello)\n") in WITH_TOY.help()
    sample = WITH_TOY.sample()
    assert sample.startswith(DECLARATION.sample())
    assert tomllib.loads(sample.replace("\n#port", "\nport").replace("\n#greeting", "\ngreeting")) == {
        "plugins": {"toy": {"port": 0, "greeting": "hello"}}
    }
    assert "plugins.toy" not in DECLARATION.sample()


def test_a_reload_takes_over_what_may_and_names_the_rest() -> None:
    def values(stat_port: int, verbose: bool, port: int, greeting: str) -> Values:
        return Values({**WITH_TOY.load([], {}), "stat-port": stat_port, "verbose": verbose},
                      plugins={"toy": Values({"port": port, "greeting": greeting, "key": ""})})

    declaration = Declaration("t", "T", "t", [
        Setting("stat-port", int, 1, ""), Setting("verbose", bool, False, "", reloadable=True)
    ]).with_plugins([TOY])
    old = values(1, False, 5, "hello")
    renewal = declaration.renew(old, values(2, True, 6, "bye"))
    assert renewal.changed == ["verbose", "plugins.toy.port"]
    assert renewal.waiting == ["stat-port", "plugins.toy.greeting"]
    assert (renewal.values["stat-port"], renewal.values["verbose"]) == (1, True)
    assert dict(renewal.values.plugins["toy"]) == {"port": 6, "greeting": "hello", "key": ""}
    again = declaration.renew(renewal.values, values(2, True, 6, "bye"))
    assert (again.changed, again.waiting) == ([], ["stat-port", "plugins.toy.greeting"])
    assert declaration.reload_note() == "SIGHUP takes over `verbose`; all else wants a restart."


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("Toy", [], "a plugin's table has a name of lower-case letters"),
    ("toy", [Setting("a", int, 0, ""), Setting("a", str, "", "")], "'a' is declared twice"),
    ("toy", [Setting("a", Integer(1), 0, "")], "the default of 'a' is not of its type: wants a whole number of"),
    ("toy", [5], "5 is no Setting"),
])
def test_a_plugins_declaration_that_cannot_be(name: str, settings: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PluginSettings(name, settings)


def test_pythons_own_types_stand_for_the_plainest() -> None:
    plain = [Setting("a", kind, default, "").type for kind, default in
             ((bool, False), (int, 1), (float, 1.5), (str, "x"), (list[str], ["x"]))]
    assert plain == [Flag(), Integer(), Number(), Text(), Many(Text())]
    assert Setting("a", list[str], ["x", "y"], "").default == ("x", "y")
def test_values_that_do_not_fit_each_other_are_told() -> None:
    toy = Declaration("t", "T", "t", [Setting("low", Integer(), 1, "Low."), Setting("high", Integer(), 2, "High.")],
                      together=lambda values: ["low is above high"] if values["low"] > values["high"] else [])
    assert toy.load(["--low", "2"], {})["low"] == 2
    for more in ([], ["--check-config"]):
        with pytest.raises(SettingsError, match="low is above high"):
            toy.load(["--low", "3", *more], {})
    with pytest.raises(SettingsError) as caught:
        toy.load(["--low", "x"], {})
    assert len(caught.value.problems) == 1, "values that cannot be read are not compared"


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_a_file_that_everybody_may_write_is_refused(tmp_path: FilePath, mode: int) -> None:
    file = tmp_path / "toy.toml"
    file.write_text("stat-port = 1\n")
    file.chmod(mode)
    assert problems(["--config", str(file)]) == [
        f"everybody may write the settings file {file} (mode {mode:04o}), and so decide what is done: chmod o-w {file}"]
    file.chmod(0o660)
    assert DECLARATION.load(["--config", str(file)], {})["stat-port"] == 1


@pytest.mark.parametrize(("text", "secrets"), [
    ('token = "s3cret"', "token"), ('[plugins.toy]\nkey = "s3cret"', "plugins.toy.key"),
    ('token = "s3cret"\n[plugins.toy]\nkey = "s3cret"', "token, plugins.toy.key"), ('token = ""', ""),
    ("tags = []", "")])
def test_secrets_in_a_file_that_everybody_may_read_are_warned_of(tmp_path: FilePath, text: str, secrets: str,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(text)
    file.chmod(0o644)
    told = f"everybody may read the settings file {file} (mode 0644), in which stands {secrets}: chmod o-r {file}"
    assert WITH_TOY.load(["--config", str(file)], {}).warnings == ((told,) if secrets else ())
    with pytest.raises(SystemExit) as ended:
        WITH_TOY.load(["--config", str(file), "--check-config"], {})
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("istat-toy: the settings are fine\n", f"istat-toy: warning: {told}\n" if secrets else "")
    assert bool(WITH_TOY.load(["--config", str(file)], {"ISTAT_TOY_TOKEN": "other"}).warnings) is bool(secrets)
    file.chmod(0o640)
    assert WITH_TOY.load(["--config", str(file)], {"ISTAT_TOY_TOKEN": "s3cret"}).warnings == ()
