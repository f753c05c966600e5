"""TLS for daemons: contexts of servers and of clients, a server's certificate that can be renewed while it runs, and
handshakes that nobody can hold up.

Sockets made with these contexts wait as greenlets do. Knows files and sockets, not what is said over them.
Every problem of a file is a SettingsError with what to do about it.
"""

from __future__ import annotations

import errno
import logging
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import ssl as green
from gevent.socket import wait_read, wait_write

from istat import owners
from istat.daemon.peers import household
from istat.daemon.turns import Turns
from istat.errors import SettingsError

log = logging.getLogger(__name__)

# That a handshake may take [s]: a mobile network needs two, an attacker all it gets.
HANDSHAKE_SECONDS = 10.0
# Between two steps of handshakes, of which one takes a millisecond with an RSA key [s]: the shortest rest in which the
# event loop looks at all sockets.
TURN_SECONDS = 0.0001
# The first byte of a TLS connection (RFC 8446, 5.1: a record of type handshake). No line of text begins with it.
HANDSHAKE_BYTE = 0x16


class Encrypted(ValueError):
    """The key is protected by a passphrase, which a daemon has nobody to ask for."""


def server_context(cert: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """The context of a server that shows this chain (PEM, its own certificate first).

    With `client_ca` (PEM) it takes only clients that show a certificate signed by one of these. SettingsError.
    """
    context: ssl.SSLContext = green.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    # A client that asks for new keys again and again would cost others their time.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # After a handshake we say nothing by ourselves: a sender that closes without having read what we said resets the
    # connection, and its kernel throws away the samples that are not sent yet.
    context.num_tickets = 0
    _load_pair(context, cert, key, "tls-cert", "tls-key")
    if client_ca is not None:
        _load_authorities(context, client_ca, "tls-client-ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The context of a client that believes servers whose certificate is signed by one of `ca` (PEM; None: by one of
    those that the system trusts) and is for the name that was asked for.

    `cert` and `key` (None: in the same file) are shown to servers that want to know who asks. SettingsError.
    """
    context: ssl.SSLContext = green.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if ca is not None:
        _load_authorities(context, ca, "the file of authorities")
    else:
        context.load_default_certs()
    if cert is not None:
        _load_pair(context, cert, key or cert, "the client's certificate", "the client's key")
    return context


class Certificate:
    """What a server shows: the files, and the context made of them. One for all sockets of a daemon."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        """SettingsError when they cannot be read or do not belong together."""
        self._files = cert, key, client_ca
        self._context = server_context(*self._files)
        self._turns = Turns()

    @property
    def context(self) -> ssl.SSLContext:
        """What a connection that begins now is shown."""
        return self._context

    def renew(self) -> None:
        """Read the files again, for connections from now on. SettingsError when they do not fit: the old ones stay."""
        self._context = server_context(*self._files)

    def accept(self, sock: Any, seconds: float = HANDSHAKE_SECONDS) -> Any:
        """The TLS socket over an accepted (gevent) socket, after its handshake; `sock` is spent, whatever happens.

        OSError (TimeoutError, ssl.SSLError) when the client does not come to an end with it. To be called in a greenlet
        of the connection's own; however many do at once, others have their turn after each step of each, and of those
        that shake hands each household in turn.
        """
        try:
            wrapped = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:
            sock.close()
            raise
        try:
            with gevent.Timeout(seconds, TimeoutError(errno.ETIMEDOUT, "the TLS handshake took too long")):
                self._shake_hands(wrapped)
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _shake_hands(self, wrapped: Any) -> None:
        timeout, wait, who = wrapped.gettimeout(), wait_read, _who(wrapped)
        wrapped.settimeout(0)
        while wait is not None:
            wait(wrapped.fileno())      # the client speaks first
            with self._turns.of(who):
                wait = _step(wrapped)
                gevent.sleep(TURN_SECONDS)
        wrapped.settimeout(timeout)


def _who(sock: Any) -> str:
    """Who is at the other end; all that have gone already, and all of a Unix socket, are one."""
    try:
        return household(sock.getpeername())
    except OSError:
        return ""


def _step(wrapped: Any) -> Callable[[int], object] | None:
    """One step of a handshake; what to wait for before the next, None when it is over."""
    try:
        wrapped.do_handshake()
    except ssl.SSLWantReadError:
        return wait_read        # type: ignore[no-any-return]
    except ssl.SSLWantWriteError:
        return wait_write       # type: ignore[no-any-return]
    return None


def certificate_of(settings: Any) -> Certificate | None:
    """The certificate that the settings tls-cert, tls-key and tls-client-ca mean; None without. SettingsError."""
    if settings["tls-cert"] is None:
        return None
    return Certificate(settings["tls-cert"], settings["tls-key"] or settings["tls-cert"], settings["tls-client-ca"])


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path, cert_is: str, key_is: str) -> None:
    for path, what in ((cert, cert_is), (key, key_is)):
        _look(path, what)
    if (mode := key.stat().st_mode) & (stat.S_IROTH | stat.S_IWOTH):
        log.warning("%s %s is no secret, as everybody may read or write it (mode %04o): chmod o= %s", key_is, key,
                    stat.S_IMODE(mode), key)
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except Encrypted:
        raise SettingsError([f"{key_is} {key} is encrypted, and a daemon has nobody to ask for its passphrase: write "
                             f"one without (openssl pkey -in {key} -out NEW), readable by its user only"]) from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
            raise SettingsError([f"{key_is} {key} is not the key of {cert_is} {cert}: take the two that were made "
                                 "together"]) from error
        raise SettingsError([f"{cert_is} {cert} and {key_is} {key} cannot be used ({error.reason or error}): both must "
                             "be PEM, the certificate first in its file"]) from error
    except OSError as error:
        raise SettingsError([f"{cert_is} {cert} and {key_is} {key} cannot be read: {error.strerror}"]) from error


def _load_authorities(context: ssl.SSLContext, path: Path, what: str) -> None:
    _look(path, what)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingsError([f"{what} {path} has no certificates ({error.reason or error}): it must be PEM"]) from error


def _look(path: Path, what: str) -> None:
    """SettingsError when a file cannot be read; the libraries' own words do not tell which."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        cure = "name another file"
        if isinstance(error, PermissionError):
            cure = f"let it be read by this user (chgrp and chmod g+r) or name another file{owners.refused(path)}"
        raise SettingsError([f"{what} {path} cannot be read: {error.strerror}; {cure}"]) from error


def _no_passphrase() -> str:
    raise Encrypted
