"""Ready sinks: files that are whole, as many as one wants; lines to a server."""
from __future__ import annotations

import os
import socket

import pytest

from istat.client import StatClient
from istat.cube import Easy, FolderSink, Instance, LinesSink
from tests.cube.easy.conftest import KEY


def requests_in(folder):
    frames = [Instance.deserialize(path.read_bytes()) for path in sorted(folder.iterdir())]
    return [frame.cube("http").totals["requests"] for frame in frames]


def test_frames_of_intervals_are_files_of_which_the_newest_stay(master, clock, tmp_path):
    folder = tmp_path / "made" / "here"
    easy = Easy(master, sink=FolderSink(folder, keep=3), clock=clock)
    requests = easy.counter("http", "requests")
    for n in range(5):
        requests.incrby(KEY, n)
        easy.collect()
    assert requests_in(folder) == [2, 3, 4]
    assert all(path.name.startswith("web-") and path.suffix == ".cube" for path in folder.iterdir())


def test_all_may_stay(master, clock, tmp_path):
    easy = Easy(master, sink=FolderSink(tmp_path, keep=None, compress=False), clock=clock)
    for _ in range(5):
        easy.collect()
    assert requests_in(tmp_path) == [0] * 5


def test_another_senders_files_are_left_alone(master, clock, tmp_path):
    for _ in range(2):
        easy = Easy(master, sink=FolderSink(tmp_path, keep=1), clock=clock)
        easy.collect()
        easy.collect()
    assert len(list(tmp_path.iterdir())) == 2


def test_all_since_a_start_is_one_file_which_is_replaced(master, clock, tmp_path):
    easy = Easy(master, output="cumulative", sink=FolderSink(tmp_path), clock=clock)
    requests = easy.counter("http", "requests")
    for _ in range(3):
        requests.incrby(KEY)
        easy.collect()
    assert requests_in(tmp_path) == [3]


def test_the_name_of_an_instance_leads_out_of_no_folder(clock, tmp_path):
    easy = Easy(Instance("../../über web/1"), sink=FolderSink(tmp_path), clock=clock)
    assert easy.collect() is True
    path, = tmp_path.iterdir()
    assert path.name.startswith("ber_web_1-")


def test_the_longest_name_of_an_instance_makes_no_file_name_that_is_too_long(clock, tmp_path):
    easy = Easy(Instance("w" * 255), sink=FolderSink(tmp_path), clock=clock)
    assert easy.collect() is True
    assert len(list(tmp_path.glob("w*.cube"))) == 1


def test_a_folder_that_cannot_be_written_is_an_error_of_the_sink_and_leaves_nothing(master, clock, tmp_path):
    (tmp_path / "taken").write_text("a file")
    easy = Easy(master, sink=FolderSink(tmp_path / "taken"), clock=clock)
    assert easy.collect() is False
    assert isinstance(easy.stats()["error"], OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_file_that_cannot_be_put_in_its_place_leaves_none_beside_it(master, clock, tmp_path):
    easy = Easy(master, output="cumulative", sink=FolderSink(tmp_path), clock=clock)
    easy.collect()
    path, = tmp_path.iterdir()
    path.unlink()
    path.mkdir()        # a folder has the file's name
    assert easy.collect() is False
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_no_file_at_all_is_no_folder_of_frames(tmp_path):
    with pytest.raises(ValueError, match="newest"):
        FolderSink(tmp_path, keep=0)


class Client:
    """Takes lines as StatClient does."""

    def __init__(self):
        self.lines, self.flushed, self.dropped = [], 0, 0

    def send(self, line):
        self.lines.append(line)

    def flush(self):
        self.flushed += 1


def test_a_frame_becomes_lines(master, clock):
    client = Client()
    easy = Easy(master, sink=LinesSink(lambda: client, distributions=False), clock=clock)
    requests = easy.counter("http", "requests")
    for n in (3, 4):
        requests.incrby(KEY, n)
        clock.advance(10)
        assert easy.collect() is True
    counted = [line.split() for line in client.lines if line.startswith(b"*cubes.http.requests")]
    assert [(int(when), float(value)) for _, when, value in counted] == [(1009, 3), (1019, 4)]
    assert client.flushed == 2
    assert not [line for line in client.lines if b".p50" in line], "options are the exporter's"


def test_lines_go_by_the_network(master, clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        easy = Easy(master, sink=LinesSink(lambda: StatClient(*server.getsockname())), clock=clock)
        easy.counter("http", "requests").incrby(KEY, 5)
        clock.advance(10)
        easy.collect()
        assert b"*cubes.http.requests 1009 5" in server.recv(65536)


def test_all_since_a_start_is_no_matter_for_a_server_that_adds(master, clock):
    easy = Easy(master, output="cumulative", sink=LinesSink(Client), clock=clock)
    assert easy.collect() is False
    assert "adds up" in str(easy.stats()["error"])


def test_lines_that_are_lost_are_told(master, clock, caplog):
    class Away(Client):
        def flush(self):
            self.dropped += len(self.lines)
            self.lines = []

    easy = Easy(master, sink=LinesSink(Away), clock=clock)
    assert easy.collect() is True
    assert "could not be sent and are lost" in caplog.text


def test_a_forked_process_has_a_connection_of_its_own(master, clock, monkeypatch):
    made = []

    def connect():
        made.append(Client())
        return made[-1]

    easy = Easy(master, sink=LinesSink(connect), clock=clock)
    easy.collect()
    easy.collect()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    easy.collect()
    assert [client.flushed for client in made] == [2, 1]


def test_a_sink_of_lines_wants_what_makes_a_client():
    for wrong in ("127.0.0.1:8111", object()):
        with pytest.raises(TypeError, match="LinesSink.lambda: StatClient"):
            LinesSink(wrong)
