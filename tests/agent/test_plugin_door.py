"""What the author of a collector meets: declaring, emitting, and being told what is wrong."""

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import PluginError
from istat.plugin import (
    MAX_SAMPLES,
    Choice,
    Config,
    Duration,
    Emit,
    Integer,
    Job,
    Metric,
    Rates,
    Setting,
    collector,
)


def test_ten_lines_are_a_collector() -> None:
    @collector(interval=30)
    def collect(emit):  # type: ignore[no-untyped-def]
        emit.gauge("queue.depth", 3)
        emit.event("jobs.done", 5)
        emit.event("jobs.done")

    emit = Emit(1000)
    (job,) = collect.start(Config())
    job.collect(emit)
    assert (collect.name, collect.interval) == ("test_plugin_door", 30)
    assert emit.gauges() == {"queue.depth": 3}
    assert emit.events() == {"jobs.done": 6}


def test_function_gets_its_options() -> None:
    @collector(name="redis", settings=[Setting("port", int, 6379, "TCP port"), Setting("share", float, 0.5, "a part")])
    def collect(emit: Emit, config: Config) -> None:
        emit.gauge("port", config["port"])
        emit.gauge("share", config["share"])

    emit = Emit()
    collect.start(Config(collect.configure({"port": 1, "share": 2, "interval": 60})))[0].collect(emit)
    assert emit.gauges() == {"port": 1, "share": 2.0}


def test_class_is_set_up_once() -> None:
    @collector(name="counted", settings=[Setting("step", int, 2, "how much")])
    class Counted:
        def __init__(self, start: int = 10) -> None:
            self.value = start

        def setup(self, config: Config) -> None:
            self.step = config["step"]

        def collect(self, emit: Emit) -> None:
            self.value += self.step
            emit.gauge("value", self.value)

    (job,) = Counted.start(Config({"step": 5}))
    for expected in (15, 20):
        emit = Emit()
        job.collect(emit)
        assert emit.gauges() == {"value": expected}


def test_class_with_several_jobs() -> None:
    @collector(name="many")
    class Many:
        def jobs(self) -> list[Job]:
            return [
                Job("a", lambda emit: emit.gauge("a", 1)),
                Job("b", lambda emit: emit.gauge("b", 2), interval=60),
            ]

    assert [(job.name, job.interval) for job in Many.start(Config())] == [("a", None), ("b", 60)]


def refused(declare: object) -> str:
    with pytest.raises(PluginError) as caught:
        declare()  # type: ignore[operator]
    return str(caught.value)


def test_unknown_argument_is_named_and_the_definition_shown() -> None:
    def collect(emit, clock):  # type: ignore[no-untyped-def]
        pass

    message = refused(lambda: collector()(collect))
    assert "collect(emit, clock) asks for 'clock'; it can have (emit, config)" in message
    assert "| " in message and "def collect(emit, clock):" in message


def test_missing_argument() -> None:
    def collect() -> None:
        pass

    assert "collect() does not take 'emit'" in refused(lambda: collector()(collect))


def test_what_would_do_nothing_when_it_is_called() -> None:
    def collect(emit: Emit) -> Iterator[tuple[str, int]]:
        yield "a", 1

    class Waits:
        async def collect(self, emit: Emit) -> None:
            pass

    assert "has a `yield`; it tells values by emit.gauge(name, value)" in refused(lambda: collector()(collect))
    assert "collect is async" in refused(lambda: collector()(Waits))


def test_wrong_classes() -> None:
    class NeedsUrl:
        def __init__(self, url):  # type: ignore[no-untyped-def]
            pass

        def collect(self, emit: Emit) -> None:
            pass

    class Empty:
        pass

    class Setup:
        def setup(self, config: Config, url: str) -> None:
            pass

        def collect(self, emit: Emit) -> None:
            pass

    assert "NeedsUrl() needs arguments" in refused(lambda: collector()(NeedsUrl))
    assert "neither collect(self, emit) nor jobs(self)" in refused(lambda: collector()(Empty))
    assert "asks for 'url'; it can have (self, config)" in refused(lambda: collector()(Setup))


def test_other_mistakes_of_a_declaration() -> None:
    def collect(emit: Emit) -> None:
        pass

    async def waits(emit: Emit) -> None:
        pass

    assert "write @collector() with brackets" in refused(lambda: collector(collect))  # type: ignore[arg-type]
    assert "@collector has no intervall: it takes name, interval, timeout, settings, metrics, help, default_on, " \
        "isolated" in refused(lambda: collector(intervall=10)(collect))  # type: ignore[arg-type]
    assert "is async" in refused(lambda: collector()(waits))
    assert "interval=0: whole seconds" in refused(lambda: collector(interval=0)(collect))
    assert "name='Bad Name'" in refused(lambda: collector(name="Bad Name")(collect))
    assert "the setting 'interval' is declared twice" in refused(
        lambda: collector(settings=[Setting("interval", int, 1, "")])(collect)
    )
    script = Metric("a", "", "", link="javascript:1")
    assert "the link of a is no http:// or https:// address" in refused(lambda: collector(metrics=[script])(collect))
    assert "is no Metric" in refused(lambda: collector(metrics=["a"])(collect))  # type: ignore[list-item]


def test_wrong_options_are_all_told() -> None:
    @collector(
        name="redis", settings=[Setting("port", int, 6379, ""), Setting("tls", bool, False, ""),
                                Setting("keys", list[str], [], "")]
    )
    def collect(emit: Emit) -> None:
        pass

    with pytest.raises(ValueError) as caught:
        collect.configure({"port": "x", "tls": 1, "keys": [1], "prot": 1})
    assert str(caught.value).splitlines() == [
        "plugins.redis.port wants a whole number, not 'x'",
        "plugins.redis.tls wants true or false, not 1",
        "plugins.redis.keys wants text on one line, not 1",
        "plugins.redis.prot: no such setting (did you mean 'port'?); there are interval, timeout, isolated, "
        "max-samples, max-names, max-cpu, memory, port, tls, keys",
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("*a", 1, "emit.event() adds the '*' itself"),
        ("", 1, "not a counter name"),
        ("#a", 1, "not a counter name"),
        ("a", "3", "must be a number, not str"),
        ("a", True, "must be a number, not bool"),
        ("a", None, "must be a number, not NoneType"),
        ("a", math.nan, "leave out what is not known"),
        ("a", math.inf, "must be finite"),
    ],
)
def test_what_cannot_be_sent_is_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(PluginError, match=r"emit\.gauge") as caught:
        Emit().gauge(name, value)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_blanks_in_names_become_underscores() -> None:
    emit = Emit()
    emit.gauge("queue of\tmail\n", 1)
    assert emit.gauges() == {"queue_of_mail_": 1}


def test_a_reading_is_bounded_and_ends_with_its_deadline() -> None:
    emit = Emit()
    for i in range(MAX_SAMPLES + 5):
        emit.gauge("a", i)
    assert (len(emit.readings), emit.refused) == (MAX_SAMPLES, 5)
    late = Emit()
    late.closed = True
    late.gauge("a", 1)
    assert (late.readings, late.refused) == ([], 1)


def test_metric_patterns() -> None:
    metric = Metric("disk.<device>.reads", "1/s", "")
    assert metric.matches("disk.sda.reads")
    assert not metric.matches("disk..reads")
    assert not metric.matches("disk.sda.reads2")


@given(st.lists(st.integers(0, 10**18), min_size=2, max_size=20))
def test_rates_are_exact_where_totals_grow_and_absent_where_they_fall(totals: list[int]) -> None:
    rates = Rates()
    for i, total in enumerate(totals):
        found = rates.update({"a": total}, 10.0 * i)
        if i and total >= totals[i - 1]:
            assert found == {"a": (total - totals[i - 1]) / 10.0}
        else:
            assert found == {}


def test_rates_without_time_passing() -> None:
    rates = Rates()
    rates.update({"a": 1}, 5.0)
    assert rates.update({"a": 2}, 5.0) == {}


def test_types_say_more_than_pythons_own_and_are_checked() -> None:
    settings = [
        Setting("port", Integer(1, 65535), 6379, "TCP port"),
        Setting("pause", Duration(), "5m", "between two tries"),
        Setting("by", Choice("udp", "tcp"), "udp", "how"),
    ]

    @collector(name="redis", settings=settings)
    def collect(emit: Emit) -> None:
        pass

    assert all(setting.reloadable for setting in collect.settings), "a SIGHUP begins collectors anew"
    found = dict(collect.configure({"pause": "250ms"}))
    assert found == {
        "interval": None, "timeout": None, "isolated": False, "max-samples": 20_000, "max-names": None, "max-cpu": 20.0,
        "memory": 256 * 2**20, "port": 6379, "pause": 0.25, "by": "udp",
    }
    with pytest.raises(ValueError) as caught:
        collect.configure({"port": 0, "by": "sctp", "interval": 0, "timeout": 0})
    assert str(caught.value).splitlines() == [
        "plugins.redis.port wants a whole number from 1 to 65535, not '0'",
        "plugins.redis.by wants one of udp, tcp, not 'sctp'",
        "plugins.redis.interval wants a whole number from 1 to 86400, not '0'",
        "plugins.redis.timeout wants a number of at least 0.001, not '0'",
    ]
    with pytest.raises(ValueError, match=r"plugins.redis must be a table: \[plugins.redis\]"):
        collect.configure(5)


def test_mistakes_in_a_declared_setting_are_told_with_the_definition() -> None:
    def collect(emit: Emit) -> None:
        pass

    def told(*settings: Setting) -> str:
        return refused(lambda: collector(name="redis", settings=settings)(collect))

    wrong = told(Setting("port", int, 1.5, ""))
    assert "the default of 'port' is not of its type: wants a whole number, not '1.5'" in wrong
    assert "a setting has a name of lower-case letters" in told(Setting("Port", int, 1, ""))
    assert "'port' is no Setting(name, type, default, help)" in told("port")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"setting 'port': a type is one such as int, str or Duration\(\), not 6379"):
        Setting("port", 6379, "TCP port", "")


def test_what_an_older_collector_imports_is_answered_with_how_it_is_written_now() -> None:
    with pytest.raises(PluginError, match=r"Option is Setting now: write settings=\[Setting\(name, type, default"):
        from istat.plugin import Option  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'Optoin'"):
        from istat.plugin import Optoin  # noqa: F401
