"""A program that counts in greenlets, and in real threads beside them; tells what came of it.

    greenlets.py patched|plain|late     whether gevent patches the standard library: first, not at all, after istat.cube
"""
from __future__ import annotations

import sys

if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()

from istat.cube import Easy, Instance  # noqa: E402, I001 - the order is what is tried

assert ("gevent" in sys.modules) == (sys.argv[1] == "patched"), "istat.cube imports no gevent"

if sys.argv[1] == "late":
    from gevent import monkey
    monkey.patch_all()

import threading  # noqa: E402

import gevent  # noqa: E402

KEY = ("GET", "/", 200)
WRITES = 500


def main():
    master = Instance("greenlets")
    http = master.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests")
    sums, kinds = [], set()

    def sink(frame):
        gevent.sleep(0.001)         # as a sink that sends by the network
        sums.append(frame.cube("http").totals["requests"])
        kinds.add(type(gevent.getcurrent()).__name__)

    easy = Easy(master, interval=0.01, sink=sink).start()
    requests = easy.counter("http", "requests")

    def work():
        for _ in range(WRITES):
            requests.incrby(KEY)
            if _ % 50 == 0:
                gevent.sleep(0)

    greenlets = [gevent.spawn(work) for _ in range(10)]
    real = [gevent.get_hub().threadpool.spawn(lambda: [requests.incrby(KEY) for _ in range(WRITES)]) for _ in range(2)]
    gevent.joinall(greenlets)
    slots = easy.stats()["threads"]
    for one in real:
        one.get()
    gevent.sleep(0.05)              # the loop goes on beside
    while_it_ran = len(sums)
    easy.stop()
    print(12 * WRITES, sum(sums), while_it_ran > 1, 1 <= slots <= 3, threading.active_count() > 0)


main()
