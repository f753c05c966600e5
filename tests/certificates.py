"""Certificates for tests: an authority of one's own, and what it signs, made by `openssl`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.skips import need

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates, in a folder. `ca` is the file of those who believe it."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        need(shutil.which("openssl"), "openssl")
        self.folder = folder
        self.own = Pair(folder / f"{name}-ca.pem", folder / f"{name}-ca.key")
        self.ca = self.own.cert
        _openssl("req", "-x509", *KEY, "-days", "30", "-subj", f"/CN={name}", "-keyout", self.own.key, "-out", self.ca)

    def pair(self, name: str = "server") -> Pair:
        """A certificate for this machine's loopback, which a client can show as well."""
        made = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(NAMES)
        request = self.folder / f"{name}.csr"
        _openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.own.key, "-CAcreateserial",
                 "-days", "30", "-extfile", extensions, "-out", made.cert)
        return made


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
