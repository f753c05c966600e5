"""One store, many lives: load it, kill the server at some moment, start it again, compare all buckets.

Knows when what was seen must be there, and which files may be; the stream and its reference are crashload's. All
decisions are drawn from one seed: ISTAT_CRASH_SEED repeats a run's.
"""
from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from ftest.crash import crashbatches
from ftest.crash.crashchanges import CHANGES, Change
from ftest.crash.crashload import (
    LADDER,
    LEVELS,
    NOW,
    OTHER_LADDERS,
    SEQUENCE,
    Answer,
    Line,
    Reference,
    Stream,
    compare,
    find_end,
    first_bucket,
)
from ftest.crash.hurried import FastServer
from ftest.harness.serverprocess import ServerProcess
from istat_server.store.files import manifest

SAFE = 0.4      # [s] the store's 100 ms, and what a loaded machine and its disk may need for one write
LINES_AT_ONCE = 40
TOKEN = "crash"
EXPECTED_IN = 20.0      # [s] for background work of a loaded machine to come to rest


class Feeder(threading.Thread):
    """Sends a stream over one connection until it breaks; `sent` is all that may have arrived."""

    def __init__(self, server: ServerProcess, stream: Stream, now: int, fresh: list[str], pause: float) -> None:
        super().__init__(daemon=True)
        self.sent: list[Line] = []
        self._server, self._stream, self._now, self._fresh, self._pause = server, stream, now, fresh, pause

    def run(self) -> None:
        """Until the server is gone."""
        try:
            with self._server.connect() as sock:
                while True:
                    lines = self._stream.lines(self._now, self._fresh, LINES_AT_ONCE)
                    self.sent += lines
                    sock.sendall(b"".join(line.text for line in lines))
                    time.sleep(self._pause)
        except OSError:
            return          # the server was killed


class Harness:
    """One store, many lives."""

    def __init__(self, folder: Path, seed: int, **options: object) -> None:
        self.random = random.Random(seed)
        self.server = FastServer(folder, retention=LADDER, flush=1, fake_time=NOW, admin_token=TOKEN, **options)
        self.server.store = Path(str(self.server.options["store"]))
        self.notes = folder / "batches"
        self.server.environment[crashbatches.VARIABLE] = str(self.notes)
        self.now = NOW
        self.stream = Stream(seed)
        self.reference = Reference()
        self.figures = {"kills": 0, "cuts": 0, "jobs": 0, "lines": 0, "compared": 0, "changes": 0, "batches": 0,
                        "pins": 0}

    def life(self, number: int) -> None:
        """Load, kill, restart, compare."""
        rng, server = self.random, self.server
        feeder = Feeder(server, self.stream, self.now, [f"life.n{number}.c{at}" for at in range(2)],
                        rng.choice([0.002, 0.005, 0.02]))
        feeder.start()
        crashbatches.paused(self.notes).unlink(missing_ok=True)
        server.prepare()
        changes = self._begin_changes(f"life.n{number}.")
        marks = self._watch(time.monotonic() + rng.uniform(0.02, 1.1), changes)
        killed = self._kill()
        crashbatches.paused(self.notes).touch()
        feeder.join()
        self.figures["pins"] += crashbatches.check_pins(server.store, crashbatches.state_of(server.store))
        safe = max((seen for at, seen in marks if at <= killed - SAFE), default=0)
        before = self.now
        self.now += rng.randint(300, 3400)
        server.options["fake-time"] = self.now
        if rng.random() < 0.15:
            server.options["retention"] = rng.choice([LADDER, *OTHER_LADDERS])
        if rng.random() < 0.15:
            self._killed_at_start()
        server.start()
        self._believe()
        for change in changes:
            change.settle(server, self.reference)
            self.figures["changes"] += 1
        self._take(feeder.sent, before, safe)
        self.compare()
        if number % 5 == 0:
            self._at_rest()

    def _begin_changes(self, current: str) -> list[Change]:
        """Changes for this life: one of some kind at most, of counters that are fed no more."""
        rng = self.random
        kind = rng.choice(CHANGES)
        names = kind.candidates(self.reference, current)
        return [kind(rng.sample(names, min(2, len(names))), TOKEN)] if names and rng.random() < 0.6 else []

    def _watch(self, end: float, changes: Sequence[Change] = ()) -> list[tuple[float, int]]:
        """What was seen of the stream, and when: what was only sent a loaded server may leave in the socket."""
        marks = []
        status = {"cuts": 0, "jobs": 0}
        at = [self.random.uniform(time.monotonic(), end) for _ in changes]
        waiting = [*zip(at, changes)]
        while time.monotonic() < end:
            while waiting and waiting[0][0] <= time.monotonic():
                waiting.pop(0)[1].begin(self.server)
            answer = self.server.post("/*", {"keys": [SEQUENCE], "start": self.now - 60, "stop": self.now + 60,
                                            "maxSamples": -1})
            found = answer[SEQUENCE]            # a sentence while there is none
            seen = [bucket["max"] for bucket in found["data"]] if isinstance(found, dict) else []
            if seen:
                marks.append((time.monotonic(), int(max(seen))))
            status = self.server.get("/api/v1/status")["store"]
            time.sleep(self.random.uniform(0.0, 0.03))
        for _when, change in waiting:       # as the kill comes
            change.begin(self.server)
        for key in ("cuts", "jobs"):
            self.figures[key] += status[key]
        return marks

    def _kill(self) -> float:
        """SIGKILL; now and then in the middle of an orderly end. When it was."""
        if self.random.random() < 0.1:
            self.server.signal(signal.SIGTERM)
            time.sleep(self.random.uniform(0.0, 0.15))
        killed = time.monotonic()
        self.server.kill9()
        self.figures["kills"] += 1
        return killed

    def _killed_at_start(self) -> None:
        """A life that ends before it is ready."""
        process = self.server._spawn()
        time.sleep(self.random.uniform(0.0, 0.25))
        process.kill()
        process.wait()
        process.stdout.close()
        self.server.process = None
        self.figures["kills"] += 1

    def _believe(self) -> None:
        """Lives without a commit make the clock look as if it had jumped; an operator knows better."""
        answer = requests.post(self.server.url + "/api/v1/clock/confirm", timeout=10,
                               headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, answer.text

    def _take(self, sent: list[Line], before: int, safe: int) -> int:
        """Find out how much of what was sent is there: it must be a beginning, with all that was seen in it."""
        taken, wrong = find_end(self.reference, [(line, before) for line in sent], self.now, self.ask)
        assert wrong == (0, 0), f"{wrong[0]} samples, and events of {wrong[1]}, too many (or, below 0, missing)"
        last = sent[taken - 1].number if taken else 0
        assert last >= safe, f"what is there ends with line {last}, but line {safe} was seen"
        self.figures["lines"] += taken
        return taken

    def _at_rest(self) -> None:
        """No file is left over once the work that the last life left is done."""
        end = time.monotonic() + EXPECTED_IN
        while left := left_over(self.server.store):
            assert time.monotonic() < end, f"left over: {left}"
            time.sleep(0.05)

    # -- comparing

    def ask(self, level: int, start: int, names: list[str]) -> Answer:
        """All buckets of a level."""
        question = {"keys": names, "start": start, "stop": self.now + 600, "maxSamples": -1, "compact": True}
        found = self.server.post("/*", question)
        answer: Answer = {}
        for name in names:
            if isinstance(found[name], dict):
                assert found[name]["interval"] == LEVELS[level][0], found[name]
                answer[name] = {row[0]: (row[1], row[2], row[3], row[4]) for row in found[name]["data"]}
        return answer

    def check_batches(self) -> None:
        """Each is there once."""
        start = first_bucket(self.now, len(LEVELS) - 1)
        self.figures["batches"] = crashbatches.check_counts(self.notes, start, lambda name: sum(
            row[0] for row in self.ask(len(LEVELS) - 1, start, [name]).get(name, {}).values()))

    def compare(self) -> None:
        """All buckets of all levels, and all batches."""
        self.check_batches()
        self.reference.forget(self.now - LEVELS[-1][1] - 86400)
        compared, wrong = compare(self.reference, self.now, self.ask)
        assert not wrong, f"{len(wrong)} buckets differ:\n" + "\n".join(wrong[:20])
        self.figures["compared"] += compared


def left_over(store: Path) -> set[str]:
    """Files that neither MANIFEST names, as seen at one moment of a store that may be at work."""
    before = [manifest.load(store)[0], manifest.load_previous(store)]
    states = [state for state in before if state is not None]
    found = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    named = {path for state in states for path in manifest.references(state)} | KNOWN
    oldest = min(state.held_from for state in states)
    extra = {path for path in found - named
             if not (path.startswith("journal/") and int(Path(path).stem) >= oldest)}
    return extra or ({"(it changes)"} if before[0] != manifest.load(store)[0] else set())


KNOWN = {"journal/safe-end", "LOCK", "FORMAT", "MANIFEST", "MANIFEST.previous", "reserve", "HEARD"}


def seed_of() -> int:
    """ISTAT_CRASH_SEED, else a new one; told on standard output."""
    seed = int(os.environ.get("ISTAT_CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"ISTAT_CRASH_SEED={seed}")
    return seed
