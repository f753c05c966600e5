#!/bin/sh
# persist-queue 1.0.0: one task_done() of its file Queue lets go of every item that was taken, finished or not.
#
# Expected: as of a queue of several workers, what was taken by get() and not reported by task_done() is there again after the process
# was killed; each task_done() stands for one item.
# Seen: task_done() writes down how far get() has come, whoever called it. Of two items taken and one reported, a new process
# finds neither; without any report it finds both. unfinished_tasks, which counts right, is not what is kept.
# Why it matters: as a spool for samples with more than one sender it loses what a slow sender still holds as soon as a fast one is
# done, and a test with one sender never shows it. SQLiteAckQueue of the same package marks each item by itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check persist-queue==1.0.0 2>/dev/null
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys
from importlib.metadata import version

import persistqueue


def left(name, done):
    """Two of four items are taken and `done` of them reported, by a process that then ends at once: what the next finds."""
    path = os.path.join(sys.argv[1], name)
    child = os.fork()
    if not child:
        queue = persistqueue.Queue(path)
        for item in ("first", "second", "third", "fourth"):
            queue.put(item)
        queue.get()
        queue.get()
        for _ in range(done):
            queue.task_done()
        os._exit(0 if queue.unfinished_tasks == 4 - done else 1)
    assert os.waitpid(child, 0)[1] == 0, "unfinished_tasks is not what it was"
    queue = persistqueue.Queue(path)
    return [queue.get() for _ in range(queue.qsize())]


print("persist-queue", version("persist-queue"))
none, one = left("none", 0), left("one", 1)
print("two taken, none reported, left:", *none)
print("two taken, one reported, left: ", *one)
assert none == ["first", "second", "third", "fourth"], "the behaviour has changed"
assert one == ["third", "fourth"], "the behaviour has changed"
PYTHON
