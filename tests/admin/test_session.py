"""Commands of the admin port and their answers, byte for byte."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import SystemClock
from istat.errors import StoreError
from istat_server.admin import switches
from istat_server.admin.commands import COMMANDS
from istat_server.admin.operations import Operations
from istat_server.admin.session import LONGEST_LINE, PART_BYTES
from tests.admin.conversation import NOW, TOKEN, Conversation


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    for name in switches.NAMES:
        switches.turn(name, False)
    logging.getLogger().setLevel(level)


def names(talk: Conversation) -> list[str]:
    """Which of these there are."""
    asked = ("d.a.b", "a.b", "a.b.c", "tep.asd", "tep.asd.x", "tep.asdx", "other")
    return [name for name in asked if talk.store.find(name.encode())]


def test_the_example_session(talk: Conversation) -> None:
    """Answers end by CR LF, the last line is `ok`; names are echoed, those that are not there too."""
    talk = Conversation(SystemClock())
    talk.feed(b"d.a.b 1\n")
    assert talk.say(b"stats\r\n") == b"http.port=18011\r\nhttp.current=0\r\nok\r\n"
    assert talk.say(b"delete.ctr d.a.b,nosuch\n") == b"d.a.b\r\nnosuch\r\nok\r\n"
    assert names(talk) == []


def test_help_is_made_of_the_table(talk: Conversation) -> None:
    lines = talk.say(b"help\n").decode().split("\r\n")
    assert [line.split()[0] for line in lines[:-2]] == [*COMMANDS] and lines[-2:] == ["ok", ""]
    for name in ("help", "stats", "flush", "faketime", "purge", "debug", "loglevel", "delete.ctr", "delete.pattern",
                 "flush.setting", "load.setting", "quit", "auth"):
        assert name in COMMANDS
    free = {line.split()[0] for line in lines[:-2] if "wants auth" not in line}
    assert free == {"help", "stats", "flush", "purge", "auth", "quit"}


@pytest.mark.parametrize(("line", "answer"), [
    (b"", b"huh? ('help' for help)\r\n"),
    (b"   ", b"huh? ('help' for help)\r\n"),
    (b"xxx", b"huh? ('help' for help) (received 'xxx')\r\n"),
    (b"Flush", b"huh? ('help' for help) (received 'Flush')\r\n"),
    (b"flushx 1", b"huh? ('help' for help) (received 'flushx 1')\r\n"),
    (b"a\x1b[2Jb", b"huh? ('help' for help) (received 'a\\x1b[2Jb')\r\n"),
    (b"flush", b"ok\r\n"), (b" flush \r", b"ok\r\n"),
    (b"purge", b"ok\r\n"), (b"purge 0,60", b"ok\r\n"), (b"purge 0", b"ok\r\n"), (b"purge 0, 0", b"ok\r\n"),
    (b"purge x,y", b"x\r\ny\r\nhuh? purge takes how many offline senders stay, and how many seconds the others must be "
                   b"gone\r\n"),
    (b"debug http", b"http: off\r\nok\r\n"), (b"debug nosuch", b"ok\r\n"), (b"debug nosuch,on", b"ok\r\n"),
    (b"debug http,on", b"http: on\r\nok\r\n"),
    (b"debug http,on,x", b"huh? too many arguments\r\n"),
    (b"debug http,maybe", b"huh? a switch is on or off\r\n"), (b"debug http,", b"huh? a switch is on or off\r\n"),
    (b"loglevel 3,1", b"loglevel 3 1\r\nok\r\n"),
    (b"loglevel 6", b"huh? loglevel must be between 0 and 5\r\n"),
    (b"loglevel 1,6", b"huh? loglevel must be between 0 and 5\r\n"),
    (b"loglevel x", b"huh? loglevel must be between 0 and 5\r\n"),
    (b"loglevel 1,2,3", b"huh? loglevel must be between 0 and 5\r\n"),
    (b"faketime 1700001000", b"ok\r\n"),
    (b"faketime", b"huh? requires one argument (timestamp)\r\n"),
    (b"faketime 1,2", b"huh? requires one argument (timestamp)\r\n"),
    (b"delete.ctr", b"huh? delete.ctr requires one or more counter names.\r\n"),
    (b"delete.ctr ,", b"huh? delete.ctr requires one or more counter names.\r\n"),
    (b"delete.ctr x", b"x\r\nok\r\n"),
    (b"delete.pattern nosuch.*", b"ok\r\n"),
    (b"flush.setting users", b"ok\r\n"), (b"load.setting users", b"ok\r\n"),
    (b"flush.setting", b"huh? flush.setting requires one argument (the name of settings)\r\n"),
    (b"load.setting a,b", b"huh? load.setting requires one argument (the name of settings)\r\n"),
    (b"quit", b""),
])
def test_answers(talk: Conversation, line: bytes, answer: bytes) -> None:
    assert talk.say(line + b"\n") == answer
    assert talk.session.ended == (line == b"quit")


@pytest.mark.parametrize("argument", [b"x", b"0", b"-1", b"1.5", b"0x10", b"1e9", b"9" * 400, b"\xff",
                                      b"1700000000000"])
def test_faketime_answers_what_is_no_time(talk: Conversation, argument: bytes) -> None:
    assert talk.say(b"faketime " + argument + b"\n") == (
        b"huh? a timestamp is a whole number of Unix seconds, and not 0\r\n")
    assert talk.clock.now() == NOW


def test_faketime_sets_the_clock_that_stands(talk: Conversation) -> None:
    talk.feed(b"a %d 1\n" % NOW)
    assert talk.say(b"faketime %d\nstats\n" % (NOW + 86_400)) == (
        b"ok\r\nhttp.port=18011\r\nhttp.current=0\r\nfakeTime.value=%d\r\nok\r\n" % (NOW + 86_400))
    talk.feed(b"a %d 2\n" % (NOW + 86_400))         # the store knows it at once: that is no time ahead any more
    assert talk.store.totals().samples == 2


def test_a_clock_that_goes_is_not_set() -> None:
    assert Conversation(SystemClock()).say(b"faketime 5\n") == b"huh? Not started with --fake-time.\r\n"


def test_stats_tell_what_is_on() -> None:
    talk = Conversation(SystemClock(), http_port=0)
    assert talk.say(b"stats\n") == b"ok\r\n"
    talk = Conversation()
    talk.in_progress = 3
    assert b"http.current=3\r\n" in talk.say(b"stats\n")


def test_stats_tell_of_replicas_where_there_may_be_some(talk: Conversation) -> None:
    assert b"replica" not in talk.say(b"stats\n")
    figures = {"replica.lag.a": 0.5, "replica.lag.b": 1.0, "replica.following": 1.0}
    operations = Operations(talk.store, talk.roster, talk.clock, talk.namespaces, lambda: figures, 8000,
                            lambda seconds: None, lambda: None, replicas_may_come=True, replica_of="http://m:8000")
    assert [line for line in operations.stats() if line.startswith("replica")] == [
        "replicaServer.port=8000", "replicaServer.current=2", "replicaOf.source=http://m:8000",
        "replicaOf.connected=1", "replicaOf.queue=0"]


def test_flush_is_done_in_order_before_it_is_answered(talk: Conversation) -> None:
    """What has come is read, self-metrics become samples, the store writes, then namespaces; targets have it last."""
    assert talk.say(b"flush\n") == b"ok\r\n"
    assert talk.done == ["samples", "metrics", "store", "namespaces", "targets"]


def test_a_flush_that_fails_says_why(talk: Conversation) -> None:
    talk.namespaces.error = StoreError("the disk is full")
    assert talk.say(b"flush\n") == b"huh? the disk is full\r\n"
    talk.namespaces.error = OSError(28, "No space left on device")
    assert talk.say(b"flush\n") == b"huh? not all of it could be written: No space left on device\r\n"
    talk.namespaces.error = None
    assert talk.say(b"flush\n") == b"ok\r\n"


def test_settings_are_written_and_read_again(talk: Conversation) -> None:
    assert talk.say(b"flush.setting users\nload.setting a-b.c\n") == b"ok\r\nok\r\n"
    assert talk.done == ["flush users", "load a-b.c"]
    talk.namespaces.error = StoreError("no such settings")
    assert talk.say(b"load.setting nosuch\n") == b"huh? no such settings\r\n"


def test_purge_forgets_senders_that_are_gone(talk: Conversation) -> None:
    gone = [talk.roster.connected("tcp", f"192.0.2.{number}:1") for number in range(3)]
    here = talk.roster.connected("tcp", "192.0.2.9:1")
    for number, sender in enumerate(gone):
        sender.last_seen = NOW - 100 * number
        talk.roster.disconnected(sender)
    assert talk.say(b"purge\n") == b"ok\r\n"        # those that were not heard for more than 60 s
    assert set(talk.roster.senders()) == {here, gone[0]}
    assert talk.say(b"purge 1,0\npurge 0,0\n") == b"ok\r\nok\r\n"
    assert len(talk.roster) == 2                    # not heard for more than 0 s: none yet
    gone[0].last_seen = NOW - 1
    talk.say(b"purge 1,0\n")
    assert len(talk.roster) == 2
    talk.say(b"purge 0,0\n")
    assert [*talk.roster.senders()] == [here]


def test_a_parent_stays_when_its_child_is_deleted_and_the_other_way_round(talk: Conversation) -> None:
    talk.feed(b"a.b 1\na.b.c 1\n*other 1\n")
    assert talk.say(b"delete.ctr A.B,*other\n") == b"A.B\r\n*other\r\nok\r\n"       # in any spelling
    assert names(talk) == ["a.b.c"]
    assert talk.say(b"delete.ctr a.b, a.b.c\n") == b"a.b\r\na.b.c\r\nok\r\n"
    assert names(talk) == []


def test_patterns_delete_what_fits(talk: Conversation) -> None:
    talk.feed(b"tep.asd 1\ntep.asd.x 1\ntep.asdx 1\nother 1\na.b 1\n")
    answer = talk.say(b"delete.pattern tep.asd*,a.?\n")
    assert sorted(answer.split(b"\r\n")[:-2]) == [b"a.b", b"tep.asd", b"tep.asd.x", b"tep.asdx"]
    assert answer.endswith(b"\r\nok\r\n") and names(talk) == ["other"]


def test_patterns_with_a_blank_between_them_delete_nothing(talk: Conversation) -> None:
    talk.feed(b"a.b 1\nother 1\n")
    assert talk.say(b"delete.pattern a.* other\n").startswith(b"huh? no counter has a blank in its name")
    assert talk.say(b"delete.pattern a.b,a.* x\n").startswith(b"huh? ")
    assert talk.say(b"delete.pattern\n") == b"huh? delete.pattern requires one or more patterns.\r\n"
    assert names(talk) == ["a.b", "other"]


def test_many_are_deleted_and_told_in_parts(talk: Conversation) -> None:
    talk.feed(b"".join(b"n%d 1\n" % number for number in range(5000)))
    parts = [part for part in talk.session.take(b"delete.pattern n*\n") if part]
    assert len(parts) > 1 and max(map(len, parts)) < PART_BYTES + 1000
    assert b"".join(parts).count(b"\r\n") == 5001 and talk.store.count() == 0


# -- rights


def test_what_changes_wants_a_token() -> None:
    talk = Conversation(is_open=False)
    talk.feed(b"a.b 1\n")
    for line in (b"delete.ctr a.b", b"delete.pattern *", b"faketime 5", b"debug", b"loglevel", b"flush.setting x",
                 b"load.setting x"):
        assert talk.say(line + b"\n") == b"huh? this wants the admin-token first: auth TOKEN\r\n"
    assert names(talk) == ["a.b"] and not talk.done and talk.clock.now() == NOW
    assert talk.say(b"help\nstats\nflush\npurge 0,0\n").count(b"ok\r\n") == 4
    assert talk.say(b"auth %s\ndelete.ctr a.b\n" % TOKEN.encode()) == b"ok\r\na.b\r\nok\r\n"
    other = talk.another()
    assert talk.say(b"delete.ctr x\n", other).startswith(b"huh? this wants")        # each connection for itself


def test_wrong_tokens_are_counted_and_end_the_connection() -> None:
    talk = Conversation(is_open=False)
    assert talk.say(b"auth\nauth nope\n") == b"huh? the token is wrong\r\n" * 2
    assert (talk.wrong, talk.session.ended) == (2, False)
    assert talk.say(b"auth " + b"x" * 1000 + b"\nauth %s\nflush\n" % TOKEN.encode()) == b"huh? the token is wrong\r\n"
    assert (talk.wrong, talk.session.ended, talk.done) == (3, True, [])


def test_without_a_token_nothing_can_be_changed() -> None:
    talk = Conversation(token="", is_open=False)
    for line in (b"auth", b"auth ", b"auth x", b"delete.ctr a"):
        assert talk.say(line + b"\n").startswith(b"huh? this wants a token, and the server has no admin-token")
    assert talk.wrong == 0


def test_an_open_port_wants_none_and_takes_any() -> None:
    talk = Conversation(token="", is_open=True)
    assert talk.say(b"auth whatever\ndelete.ctr x\n") == b"ok\r\nx\r\nok\r\n"


def test_a_new_token_holds_for_those_who_were_let_in() -> None:
    talk = Conversation(is_open=False)
    assert talk.say(b"auth %s\n" % TOKEN.encode()) == b"ok\r\n"
    talk.guard.take(talk.settings("another"))
    assert talk.say(b"debug http\n").startswith(b"huh? this wants the admin-token first")
    talk.guard.take(talk.settings("another", True))
    assert talk.say(b"debug http\n") == b"http: off\r\nok\r\n"


# -- lines


def test_commands_come_in_any_pieces(talk: Conversation) -> None:
    whole = b"stats\r\npurge 0,0\n\nloglevel 3,1\ndelete.ctr a,b\nquit\nflush\n"
    expected = Conversation().say(whole)
    assert expected.endswith(b"a\r\nb\r\nok\r\n")       # nothing behind quit is done
    for size in (1, 2, 7):
        other = Conversation()
        found = b"".join(other.say(whole[at:at + size]) for at in range(0, len(whole), size) if not other.session.ended)
        assert found == expected


def test_long_lines_are_refused_and_what_follows_is_taken(talk: Conversation) -> None:
    refused = b"huh? a line has at most %d bytes\r\n" % LONGEST_LINE
    assert talk.say(b"x" * (3 * LONGEST_LINE) + b"\nstats\n").startswith(refused + b"http.port=")
    for size in (1021, 1022, 1023, 1024, 1025, 2048, LONGEST_LINE - 11):
        name = b"n" * size
        assert talk.say(b"delete.ctr " + name + b"\n") == name + b"\r\nok\r\n"
    assert talk.say(b"delete.ctr " + b"n" * (LONGEST_LINE - 10) + b"\n") == refused


def test_many_commands_at_once_are_all_taken_as_they_are(talk: Conversation) -> None:
    assert talk.say(b"flush\n" * 5000) == b"ok\r\n" * 5000
    assert talk.session.commands == 5000


def test_a_request_of_http_is_let_go_with_all_behind_it(talk: Conversation) -> None:
    """A web page can have one sent to any port of the machine that it is looked at on."""
    talk.feed(b"a.b 1\n")
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\ndelete.pattern *\r\nflush\r\n"
    assert talk.say(request) == b""
    assert talk.session.ended and talk.session.http and names(talk) == ["a.b"] and not talk.done
    other = talk.another()
    assert talk.say(b"\r\nGET /?x HTTP/1.1\r\nflush\r\n", other) == b"huh? ('help' for help)\r\n"
    assert other.http


WORDS = st.sampled_from([b"help", b"stats", b"flush", b"purge", b"faketime", b"debug", b"loglevel", b"delete.ctr",
                         b"delete.pattern", b"flush.setting", b"load.setting", b"auth", b" ", b",", b"\n", b"\r\n",
                         b"1", b"on", b"http", b"*", b"?", b"\0", b"\xff", b"x" * 1024, b"-1", TOKEN.encode()])


@given(st.lists(WORDS | st.binary(max_size=20), max_size=40), st.integers(1, 50), st.booleans())
def test_any_bytes_are_answered_line_by_line(words: list[bytes], size: int, is_open: bool) -> None:
    talk = Conversation(is_open=is_open)
    data = b"".join(words)
    found = b""
    for at in range(0, len(data), size):
        if talk.session.ended:
            break
        found += talk.say(data[at:at + size])
    lines = found.split(b"\r\n")
    assert lines.pop() == b"" and all(line.decode().isprintable() for line in lines)
    last = [line for line in lines if line == b"ok" or line.startswith(b"huh? ")]
    assert len(last) >= talk.session.commands - 1
    if not talk.session.ended:
        assert talk.session.commands == data.count(b"\n")


# -- the log


def test_switches_log_the_parts_in_detail(talk: Conversation) -> None:
    log = logging.getLogger("istat_server.http")
    assert talk.say(b"debug\n").count(b": off\r\n") == len(switches.NAMES) == 15
    talk.say(b"debug http,on\n")
    assert log.level == logging.DEBUG and b"http: on\r\n" in talk.say(b"debug\n")
    talk.say(b"debug http,off\n")
    assert log.level == logging.NOTSET
    assert talk.say(b"debug segv,on\ndebug segv\n") == b"segv: on\r\nok\r\n" * 2     # for nothing


@pytest.mark.parametrize(("number", "level"), [
    (0, logging.ERROR), (1, logging.WARNING), (2, logging.INFO), (3, logging.DEBUG), (5, logging.DEBUG)])
def test_levels_are_numbers(talk: Conversation, number: int, level: int) -> None:
    assert talk.say(b"loglevel %d\n" % number) == b"loglevel %d 1\r\nok\r\n" % number
    assert logging.getLogger().level == level
    logging.getLogger().setLevel(logging.WARNING)       # as a reload does
    assert talk.say(b"loglevel\n") == b"loglevel 1 1\r\nok\r\n"


def test_the_page_has_every_command_as_help_does() -> None:
    page = (Path(__file__).parents[2] / "docs/formats/admin-port.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    who = {True: "everybody", False: "who has the token"}
    told = [(f"{command.name} {command.words}".strip().replace("|", "\\|"), command.help, who[command.free])
            for command in COMMANDS.values()]
    assert rows == [f"| `{words}` | {help} | {free} |" for words, help, free in told]
