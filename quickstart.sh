#!/bin/sh
# Try istatd: install what is missing, build, start a server and an agent in the foreground.
# ISTAT_STAT_PORT (8111), ISTAT_HTTP_PORT (8000) and ISTAT_DATA (./istat-data) say otherwise.
set -eu
cd "$(dirname "$0")"
. packaging/setup-machine.sh

STAT_PORT=${ISTAT_STAT_PORT:-8111}
HTTP_PORT=${ISTAT_HTTP_PORT:-8000}
DATA=${ISTAT_DATA:-./istat-data}
READY_SECONDS=60 # a server with a large store takes some seconds to open it

prepare_machine
prepare_python
prepare_page

$VENV/bin/python - "$STAT_PORT" "$HTTP_PORT" <<'END' || exit 1
import socket, sys
for text, kind, variable in (
    (sys.argv[1], socket.SOCK_DGRAM, "ISTAT_STAT_PORT"),
    (sys.argv[1], socket.SOCK_STREAM, "ISTAT_STAT_PORT"),
    (sys.argv[2], socket.SOCK_STREAM, "ISTAT_HTTP_PORT"),
):
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"{variable}={text!r} is no port; give it a number from 1 to 65535.")
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            sys.exit(f"Port {text} cannot be used ({error.strerror}); choose another with {variable}=PORT.")
END

mkdir -p "$DATA/store"
server='' agent=''

# Ask both to end and wait until they did: the agent sends what it has, the server writes what it has.
stop() {
    trap '' INT TERM HUP
    for process in $agent $server; do
        kill -TERM "$process" 2>/dev/null || :
        wait "$process" 2>/dev/null || :
    done
}
trap 'stop; exit 0' INT TERM HUP

alive() { kill -0 "$1" 2>/dev/null; }

$VENV/bin/istat-server --store "$DATA/store" --stat-port "$STAT_PORT" --http-port "$HTTP_PORT" &
server=$!
$VENV/bin/python - "$HTTP_PORT" "$READY_SECONDS" $server <<'END' &
import os, sys, time
from istat.client import QueryClient
client, end = QueryClient(f"http://127.0.0.1:{sys.argv[1]}", timeout=2), time.monotonic() + float(sys.argv[2])
while not client.healthy():
    if time.monotonic() > end or not os.path.exists(f"/proc/{sys.argv[3]}"):
        sys.exit(1)
    time.sleep(0.1)
END
wait $! || { stop; fail "The server did not become ready; its messages stand above."; }

$VENV/bin/istat-agent --server "127.0.0.1:$STAT_PORT" &
agent=$!

say "istatd runs. The page: http://127.0.0.1:$HTTP_PORT/"
say "Samples go to port $STAT_PORT (UDP and TCP); data are in $DATA. Ctrl-C stops both."
while alive $server && alive $agent; do
    sleep 1 &
    wait $! || :
done
# Either ends without an error only when it was asked to. Ctrl-C reaches them as it reaches this shell, and its trap may
# come too late to run before they are gone.
trap '' INT TERM HUP
status=0
for process in $agent $server; do
    kill -TERM "$process" 2>/dev/null || :
    wait "$process" || status=1
done
[ $status = 0 ] || say "The server or the agent failed; its messages stand above."
exit $status
