"""Certificates of daemons: read, refused in a sentence, renewed while they are in use; handshakes have an end."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest

from istat.daemon import tls
from istat.daemon.tls import Certificate, client_context, server_context
from istat.errors import SettingsError
from tests.certificates import Authority, Pair


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.pair()


@pytest.fixture(scope="module")
def other(authority: Authority) -> Pair:
    return authority.pair("other")


@pytest.fixture
def listener() -> Iterator[Any]:
    with gevent.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield sock


def talk(listener: Any, certificate: Certificate, context: ssl.SSLContext,
         name: str = "127.0.0.1") -> tuple[Any, bytes]:
    """What the client sees of the server's certificate, and what the server heard."""
    def serve() -> bytes:
        try:
            with certificate.accept(listener.accept()[0], 5) as sock:
                return bytes(sock.recv(100))
        except ssl.SSLError:
            return b""

    served = gevent.spawn(serve)
    with gevent.socket.create_connection(listener.getsockname(), 5) as plain, \
            context.wrap_socket(plain, server_hostname=name) as sock:
        sock.sendall(b"a.b 1\n")
        seen = sock.getpeercert()
        return seen, served.get(timeout=5)


def test_a_client_that_believes_the_authority_is_heard(authority: Authority, pair: Pair, listener: Any) -> None:
    seen, heard = talk(listener, Certificate(pair.cert, pair.key), client_context(authority.ca))
    assert heard == b"a.b 1\n"
    assert (("IP Address", "127.0.0.1") in seen["subjectAltName"])


def test_a_client_does_not_believe_a_stranger_or_another_name(
    authority: Authority, pair: Pair, listener: Any, tmp_path: Path
) -> None:
    for context, name in ((client_context(Authority(tmp_path, "strange").ca), "127.0.0.1"),
                          (client_context(authority.ca), "elsewhere.example"), (client_context(), "127.0.0.1")):
        with pytest.raises(ssl.SSLCertVerificationError):
            talk(listener, Certificate(pair.cert, pair.key), context, name)


def test_a_server_with_authorities_takes_their_clients_only(
    authority: Authority, pair: Pair, other: Pair, listener: Any, tmp_path: Path
) -> None:
    certificate = Certificate(pair.cert, pair.key, authority.ca)
    assert talk(listener, certificate, client_context(authority.ca, other.cert, other.key))[1] == b"a.b 1\n"
    stranger = Authority(tmp_path, "strange").pair("stranger")
    for context in (client_context(authority.ca), client_context(authority.ca, stranger.cert, stranger.key)):
        try:
            heard = talk(listener, certificate, context)[1]
        except OSError:
            heard = b""     # with TLS 1.3 a client may hear of it only when it reads
        assert heard == b""


def test_a_renewed_certificate_is_shown_from_then_on(
    authority: Authority, pair: Pair, other: Pair, listener: Any, tmp_path: Path
) -> None:
    mine = Pair(tmp_path / "cert", tmp_path / "key")
    shutil.copy(pair.cert, mine.cert)
    shutil.copy(pair.key, mine.key)
    certificate, context = Certificate(mine.cert, mine.key), client_context(authority.ca)

    def shown() -> str:
        return str(dict(part[0] for part in talk(listener, certificate, context)[0]["subject"])["commonName"])

    assert shown() == "server"
    shutil.copy(other.cert, mine.cert)
    with pytest.raises(SettingsError, match="is not the key of"):
        certificate.renew()
    assert shown() == "server", "a pair that does not fit changes nothing"
    shutil.copy(other.key, mine.key)
    certificate.renew()
    assert shown() == "other"


def encrypted(pair: Pair, folder: Path) -> Path:
    key = folder / "encrypted"
    subprocess.run(["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:x", "-out", key], check=True)
    return key


def rsa_key(folder: Path) -> Path:
    """Of another kind than our pairs'."""
    subprocess.run(["openssl", "genrsa", "-out", folder / "rsa", "2048"], check=True, capture_output=True)
    return folder / "rsa"


def text(folder: Path, what: str = "no certificate\n") -> Path:
    (folder / "text").write_text(what)
    return folder / "text"


@pytest.mark.parametrize(("files", "words"), [
    (lambda pair, other, folder: (folder / "none", pair.key), "none cannot be read: No such file"),
    (lambda pair, other, folder: (pair.cert, folder / "none"), "tls-key .*none cannot be read: No such file"),
    (lambda pair, other, folder: (folder, pair.key), "Is a directory"),
    (lambda pair, other, folder: (pair.cert, other.key), "is not the key of"),
    (lambda pair, other, folder: (pair.cert, rsa_key(folder)), "is not the key of"),
    (lambda pair, other, folder: (pair.key, pair.cert), "must be PEM, the certificate first"),
    (lambda pair, other, folder: (text(folder), pair.key), "must be PEM, the certificate first"),
    (lambda pair, other, folder: (text(folder, ""), pair.key), "must be PEM, the certificate first"),
    (lambda pair, other, folder: (pair.cert, encrypted(pair, folder)), "openssl pkey -in"),
    (lambda pair, other, folder: (pair.cert, pair.key, text(folder)), "tls-client-ca .*has no certificates"),
])
def test_files_that_do_not_fit_are_told(
    pair: Pair, other: Pair, tmp_path: Path, files: Callable[[Pair, Pair, Path], tuple[Path, ...]], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        server_context(*files(pair, other, tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_key_of_somebody_else_is_told_with_its_owner(pair: Pair, tmp_path: Path) -> None:
    key = Path(shutil.copy(pair.key, tmp_path / "key"))
    key.chmod(0o600)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            server_context(pair.cert, key)
        except SettingsError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    said = os.read(read, 4096).decode()
    os.close(read)
    assert "cannot be read: Permission denied" in said and "belongs to root" in said


def test_a_silent_client_is_let_go_in_time_and_costs_others_nothing(
    authority: Authority, pair: Pair, listener: Any
) -> None:
    certificate = Certificate(pair.cert, pair.key)
    silent = gevent.socket.create_connection(listener.getsockname())
    accepted = listener.accept()[0]
    handshake = gevent.spawn(certificate.accept, accepted, 0.3)
    gevent.sleep(0)
    assert talk(listener, certificate, client_context(authority.ca))[1] == b"a.b 1\n"
    assert not handshake.ready()
    with pytest.raises(TimeoutError):
        handshake.get(timeout=5)
    assert silent.recv(10) == b"", "and it was closed"
    silent.close()


def test_many_handshakes_at_once_leave_others_their_turns(
    pair: Pair, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One takes a millisecond: hundreds in one turn of the event loop would stop everybody for as long as all take."""
    certificate, turns, stepped = Certificate(pair.cert, pair.key), [0], []
    handshake = tls.green.SSLSocket.do_handshake

    def noted(self: Any, *arguments: Any) -> Any:
        stepped.append(turns[0])
        return handshake(self, *arguments)

    clients = []
    for _ in range(5):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            client_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        clients.append(gevent.socket.create_connection(listener.getsockname()))
        clients[-1].sendall(outgoing.read())
    monkeypatch.setattr(tls.green.SSLSocket, "do_handshake", noted)
    each_turn = gevent.get_hub().loop.prepare()
    each_turn.start(lambda: turns.__setitem__(0, turns[0] + 1))
    shaking = [gevent.spawn(certificate.accept, listener.accept()[0], 5) for _ in clients]
    with gevent.Timeout(5):
        while len(stepped) < len(clients):
            gevent.sleep(0.01)
    each_turn.stop()
    each_turn.close()
    gevent.killall(shaking)
    for one in clients:
        one.close()
    assert len(set(stepped)) == len(stepped) == len(clients)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\x16" * 600, b""])
def test_who_speaks_no_tls_is_let_go(pair: Pair, listener: Any, sent: bytes) -> None:
    with gevent.socket.create_connection(listener.getsockname()) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError):
            Certificate(pair.cert, pair.key).accept(listener.accept()[0], 5)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_are_refused(authority: Authority, pair: Pair, listener: Any) -> None:
    context = client_context(authority.ca)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        talk(listener, Certificate(pair.cert, pair.key), context)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o602, True), (0o640, False)])
def test_a_key_that_is_open_to_everybody_is_warned_of(pair: Pair, tmp_path: Path, mode: int, warned: bool,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "key.pem"
    shutil.copyfile(pair.key, key)
    key.chmod(mode)
    Certificate(pair.cert, key)
    told = f"tls-key {key} is no secret, as everybody may read or write it (mode {mode:04o}): chmod o= {key}"
    assert caplog.messages == ([told] if warned else [])


def test_all_of_an_ipv6_network_are_one_among_those_who_shake_hands() -> None:
    """Whoever has one address there has them all."""
    peers = [SimpleNamespace(getpeername=lambda host=host: (host, 5, 0, 0)) for host in ("2001:db8::1", "2001:db8::2")]
    assert len({tls._who(peer) for peer in peers}) == 1
