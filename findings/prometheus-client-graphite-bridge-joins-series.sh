#!/bin/sh
# prometheus-client 0.21.1: its GraphiteBridge sends series that differ only in signs of a label under one name.
#
# Expected: each series of a registry reaches Graphite under a name of its own, at least with tags=True, where a tag's value may
# hold slashes and dots.
# Seen: all but letters, digits, `_` and `-` become `_` in label values, with tags=True too. The mounts /var/log and /var_log, or the
# hosts a.b and a_b, are sent in one push as two lines of the same name and time; a label that is empty ends a name with a
# dot (`free.mount.`), or with tags is `free;mount=`. No error, no warning.
# Why it matters: a receiver that keeps the last point of a second shows one of the two, by chance of order; one that adds up
# or averages shows what neither is. Labels with paths or addresses have to be made distinct before they are given to the bridge.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.21.1 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import socket
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.bridge.graphite import GraphiteBridge


def pushed(tags):
    """The names and values that a receiver on loopback gets by one push."""
    registry = CollectorRegistry()
    gauge = Gauge("free", "space left", ["mount"], registry=registry)
    for number, mount in enumerate(("/var/log", "/var_log", "a.b", "a_b", ""), 1):
        gauge.labels(mount).set(number)
    with socket.create_server(("127.0.0.1", 0)) as server:
        GraphiteBridge(server.getsockname(), registry=registry, tags=tags).push()
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as received:
            return [tuple(line.decode().split()[:2]) for line in received]


print("prometheus-client", version("prometheus-client"))
plain, tagged = pushed(False), pushed(True)
print("plain: ", *plain)
print("tagged:", *tagged)
assert plain == [("free.mount._var_log", "1.0"), ("free.mount._var_log", "2.0"), ("free.mount.a_b", "3.0"),
                 ("free.mount.a_b", "4.0"), ("free.mount.", "5.0")], "the behaviour has changed"
assert tagged == [("free;mount=_var_log", "1.0"), ("free;mount=_var_log", "2.0"), ("free;mount=a_b", "3.0"),
                  ("free;mount=a_b", "4.0"), ("free;mount=", "5.0")], "the behaviour has changed"
PYTHON
