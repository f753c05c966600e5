#!/bin/sh
# Try istatd: install what is missing, build, start a server and an agent in the foreground.
# ISTAT_STAT_PORT (8111), ISTAT_HTTP_PORT (8000), ISTAT_DATA (./istat-data) and ISTAT_AGENT_PLUGIN_DIR (plugins.d in it,
# made with a sample script) say otherwise. The file env in ISTAT_DATA tells another terminal where all this is.
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

# A drop-in folder with a sample, once: what of it was deleted or changed stays so.
make_plugin_folder() {
    [ ! -d "$1" ] || return 0
    mkdir -m 755 "$1"
    cat >"$1/sockets" <<'END'
#!/bin/sh
# istat: interval=10
# How many TCP connections are open. A line is "NAME VALUE"; "*NAME 1" tells of something that happened.
awk '/^TCP:/ { print "sockets.tcp.open", $3 }' /proc/net/sockstat
END
    chmod 755 "$1/sockets"
}

[ -n "${ISTAT_AGENT_PLUGIN_DIR:-}" ] || make_plugin_folder "$DATA/plugins.d"
# What every terminal needs for the commands, this one, too.
$VENV/bin/python - "$DATA" $VENV "$STAT_PORT" "$HTTP_PORT" <<'END'
import os, shlex, sys
data, venv = (os.path.abspath(name) for name in sys.argv[1:3])
control = f"{data}/agent-control"
found = {
    "ISTAT_TO": f"127.0.0.1:{sys.argv[3]}",
    "ISTAT_URL": f"http://127.0.0.1:{sys.argv[4]}",
    "ISTAT_AGENT_SERVER": f"127.0.0.1:{sys.argv[3]}",
    "ISTAT_AGENT_PLUGIN_DIR": os.environ.get("ISTAT_AGENT_PLUGIN_DIR") or f"{data}/plugins.d",
    # A Unix socket's path has 107 bytes at most, unix(7).
    **({"ISTAT_AGENT_CONTROL_PATH": control} if len(os.fsencode(control)) < 108 else {}),
}
with open(f"{data}/env", "w") as file:
    file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())
    file.write(f'export PATH={shlex.quote(venv + "/bin")}:"$PATH"\n')
END
case "$DATA" in */*) . "$DATA/env" ;; *) . "./$DATA/env" ;; esac

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

$VENV/bin/istat-agent &
agent=$!

say "istatd runs. The page: http://127.0.0.1:$HTTP_PORT/"
say "Samples go to port $STAT_PORT (UDP and TCP); data are in $DATA. Ctrl-C stops both."
say "The agent runs what is put into $ISTAT_AGENT_PLUGIN_DIR."
say "For the commands, in another terminal: . $(cd "$DATA" && pwd)/env"
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
