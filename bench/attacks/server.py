"""The server that is attacked: of any build, on a core of its own, with the settings of the attack."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from bench.attacks.signs import Signs
from bench.attacks.table import Attack
from bench.load import wire
from bench.servers.process import BenchError
from bench.servers.systems import Istatd

CERTIFICATE = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
PATIENCE = 20.0  # [s] for an answer after an attack


class TlsClient(wire.Client):
    """The same over TLS; believes everyone, as it knows whom it has started."""

    def _connect(self) -> None:
        super()._connect()
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket: socket.socket = context.wrap_socket(self._socket)


class Attacked(Istatd):
    """istatd as it lies in a folder with its sources, kernels built."""

    def __init__(self, folder: Path, root: Path, attack: Attack, core: int) -> None:
        python = root / ".venv" / "bin" / "python"
        command = (str(python if python.exists() else sys.executable), "-m", "istat_server.main")
        if attack.files:
            command = ("sh", "-c", f'ulimit -n {attack.files}; exec "$@"', "sh", *command)
        self.command = command
        super().__init__(folder)
        self._core = core
        self.tls = attack.tls
        self.signs = Signs(folder)
        # Not the folder that this was started in, but the build that is meant.
        self.environment = {**self.signs.environment, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
        self.extra = attack.options
        if attack.tls:
            cert, key = folder / "cert.pem", folder / "key.pem"
            subprocess.run([*CERTIFICATE, "-keyout", key, "-out", cert], check=True, capture_output=True)
            self.extra += ("--tls-cert", str(cert), "--tls-key", str(key))

    def start(self) -> None:
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._core})  # inherited
        try:
            super().start()
        finally:
            os.sched_setaffinity(0, ours)

    def client(self) -> wire.Client:
        return (TlsClient if self.tls else wire.Client)(self.http_port, PATIENCE)

    def log_lines(self) -> int:
        """What it has written so far."""
        return (self.folder / "server.log").read_bytes().count(b"\n")

    def forget_peak(self) -> int:
        """Count the peak of its memory anew; what it has now [bytes]."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.process.rss()

    def end(self) -> None:
        """At once: what it holds is of no use to anybody."""
        process, self._process = self._process, None
        if process is not None:
            process.stop(9)
        self.signs.close()


def put_first(pid: int) -> None:
    """Its session before all else on this machine, where the kernel groups by sessions (sched(7)); as root only."""
    Path(f"/proc/{pid}/autogroup").write_text("-20")


def cores() -> tuple[int, int]:
    """One for everybody else, one for the server."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        raise BenchError("attackers and server want a core each: there is one only")
    return found[0], found[1]
