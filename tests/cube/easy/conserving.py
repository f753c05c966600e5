"""A program that counts in many threads, some of which end early, and in forked processes; then tells both sums.

    conserving.py OUTPUT MODE THREADS WRITES FORKS
"""
from __future__ import annotations

import os
import random
import sys
import threading
import time

from istat.cube import Easy, Instance

KEY = ("GET", "/", 200)
BATCH = 50


def write(easy, count, draw):
    """So many updates, some as batches, some with other cells."""
    requests, http = easy.counter("http", "requests"), easy.cube("http")
    latency = easy.histogram("http", "latency")
    while count > 0:
        if count >= BATCH and draw.random() < 0.02:
            rows = {"method": ["GET"] * BATCH, "path": [f"/{n % 7}" for n in range(BATCH)], "status": 200}
            http.update(rows, {requests: 1, latency: list(range(BATCH))})
            count -= BATCH
        else:
            requests.incrby(("GET", f"/{draw.randrange(20)}", 200))
            latency.record(KEY, draw.randrange(1000))
            count -= 1


def in_short_threads(easy, count, seed):
    """Threads that end: each writes a part."""
    draw = random.Random(seed)
    while count > 0:
        part = min(count, draw.randrange(1, max(2, count)))
        thread = threading.Thread(target=write, args=(easy, part, random.Random(draw.random())))
        thread.start()
        thread.join()
        count -= part


class Sums:
    """Of the frames of one process: delta frames add, of cumulative ones the last one counts."""

    def __init__(self, output):
        self.output, self.requests, self.recorded = output, 0, 0

    def __call__(self, frame):
        http = frame.cube("http")
        requests, recorded = http.totals["requests"], http.totals["latency"].count
        beside = http.other("latency")
        assert sum(cell["requests"] for cell in http.cells()) + http.other("requests") == requests
        assert sum(cell["latency"].count for cell in http.cells()) + (beside.count if beside else 0) == recorded
        self.requests = requests + (self.requests if self.output == "delta" else 0)
        self.recorded = recorded + (self.recorded if self.output == "delta" else 0)


def child(easy, sums, count):
    """In a process that was forked: it knows nothing of its parent's, and tells its own sum by its exit status."""
    sums.requests = sums.recorded = 0
    write(easy, count, random.Random(count))
    easy.stop()
    os._exit(0 if sums.requests == sums.recorded == count else 1)


def main(output, mode, threads, writes, forks):
    master = Instance("conserving")
    http = master.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests")
    http.register_histogram("latency")
    if mode == "topk":      # of more than 20 cells
        http.set_sampling(mode, max_cells=6, primary="requests", overflow_cell=True)
    sums = Sums(output)
    easy = Easy(master, interval=0.005, output=output, sink=sums).start()
    workers = [threading.Thread(target=in_short_threads if n % 2 else write,
                                args=(easy, writes, n if n % 2 else random.Random(n))) for n in range(threads)]
    for worker in workers:
        worker.start()
    wrong = 0
    for n in range(forks):
        time.sleep(0.02)
        pid = os.fork()
        if pid == 0:
            child(easy, sums, 100 + n)
        wrong += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    for worker in workers:
        worker.join()
    easy.stop()
    assert wrong == 0, f"{wrong} children counted wrongly"
    assert easy.stats()["threads"] <= 1 + threads, "ended threads keep no slots"
    print(threads * writes, sums.requests, sums.recorded)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
