"""A program whose processes count: by os.fork, by multiprocessing; each writes its frames into one folder.

    processes.py fork|multiprocessing|unused|atexit|greenlets FOLDER
"""
from __future__ import annotations

import sys

if sys.argv[1] == "greenlets":
    from gevent import monkey
    monkey.patch_all()

import multiprocessing
import os
import subprocess

from istat.cube import Easy, Instance

KEY = ("GET", "/", 200)
MASTER = Instance("processes")
MASTER.cube_create("http", dimensions=("method", "path", "status")).register_counter("requests")


def sink(frame):
    """A file for each frame."""
    path = os.path.join(sys.argv[2], f"{frame.id.hex()}-{frame.sequence}.cube")
    with open(path, "xb") as file:
        file.write(frame.serialize())


EASY = Easy(MASTER, interval=60, sink=sink)
REQUESTS = EASY.counter("http", "requests")


def work(count):
    """So many requests."""
    for _ in range(count):
        REQUESTS.incrby(KEY)


def forked():
    """Children leave as programs do, and one as those do that leave in a hurry."""
    children = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            work(10 + n)
            if n == 2:
                EASY.stop()
                os._exit(0)
            sys.exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def by_multiprocessing():
    """Children that end without the interpreter's usual steps."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(10 + n,)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()


def main():
    EASY.start()
    work(100)
    if sys.argv[1] in ("fork", "greenlets"):
        forked()
    elif sys.argv[1] == "multiprocessing":
        by_multiprocessing()
    elif sys.argv[1] == "unused":
        # Forked by Python, then another program.
        subprocess.run([sys.executable, "-c", "pass"], preexec_fn=lambda: None)
        pid = os.fork()
        if pid == 0:
            sys.exit(0)     # writes nothing: starts no thread, and no file
        os.waitpid(pid, 0)
    # No stop: the interpreter's end is one.


if __name__ == "__main__":
    main()
