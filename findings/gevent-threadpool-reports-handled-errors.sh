#!/bin/sh
# gevent 26.9.0: an error that the caller of ThreadPool.apply handles is reported as an unhandled one, too.
#
# Expected: as with concurrent.futures, an exception raised by a function in the pool is delivered to whoever waits for
# the result, and to nobody else; a caller that catches it has dealt with it.
# Seen: the caller gets it, and the hub gets it as well: Hub.handle_error is called, which prints the traceback with
# "failed with ValueError" to standard error. An error class has to be put into Hub.NOT_ERROR to be left out, for the
# whole process.
# Why it matters: a daemon that counts or logs what reaches the hub's handler, as the place for errors that nobody
# expected, counts every refusal that was raised in a pool on purpose and answered in good order. Functions run in a
# pool have to return their expected errors.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gevent==26.9.0 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import concurrent.futures
import contextlib
import io

import gevent
from gevent.threadpool import ThreadPool

print("gevent", gevent.__version__)
reported = []
hub = gevent.get_hub()
hub.handle_error = lambda context, kind, value, trace: reported.append(kind.__name__)


def refuse():
    raise ValueError("as agreed")


def caught(apply):
    try:
        apply()
    except ValueError as error:
        return str(error)


pool = ThreadPool(1)
said = io.StringIO()
with contextlib.redirect_stderr(said), concurrent.futures.ThreadPoolExecutor(1) as plain:
    futures = caught(lambda: plain.submit(refuse).result())
print("concurrent.futures: the caller caught", repr(futures), "- else reported:", repr(said.getvalue()))
ours = caught(lambda: pool.apply(refuse))
print("gevent: the caller caught", repr(ours), "- the hub was told of:", reported)
assert futures == ours == "as agreed"
assert said.getvalue() == ""
assert reported == ["ValueError"], "the behaviour has changed"
PYTHON
