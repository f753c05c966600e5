"""Why a server did not answer a question, or refused it: sentences that say what to do, from what libraries say.

Knows the errors of requests and ssl; asks nobody.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import requests

from istat.errors import NO_PATH, BadQuery, ServerUnreachable, UnknownCounter

ENDED = ("without response", "Connection reset by peer")    # of a connection that there was, in the libraries' words
CA, CERT = "--ca FILE of istat", "--cert FILE of istat"
WANTS_CERT = f"it may want another certificate than it got, or one at all ({CERT})"


def refusal(url: str, status: int, body: object, path: str) -> Exception:
    """The error for an HTTP status: the server's fault, an unknown counter, or a bad question."""
    if not isinstance(body, dict) or "error" not in body:
        return ServerUnreachable(f"{url} does not answer as an istat-server would (status {status} for {path}); "
                                 "is it another's port?")
    said = str(body["error"])
    if status >= 500:
        return ServerUnreachable(said, answered=True)
    if said.startswith(NO_PATH):
        return ServerUnreachable(f"{url} answers: {said}; a server is addressed as http://HOST:PORT, without a path, "
                                 "and an older one does not have all that is asked for")
    return UnknownCounter(said) if status == 404 else BadQuery(said, status)


def not_believed(error: ssl.SSLCertVerificationError, ca: str = CA) -> str:
    """The end of the sentence about a server's certificate. `ca`: the option or setting for the authority."""
    return f"not believed: {error.verify_message}; name the file of the authority that signed it ({ca})"


def distrust(url: str, error: BaseException, ca: str = CA, cert: str = CERT) -> str:
    """The sentence for a failed TLS handshake. `ca`, `cert`: the options or settings for the authority, and for our own
    certificate."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLError):
        inner = inner.args[0] if inner.args and isinstance(inner.args[0], BaseException) else (
            getattr(inner, "reason", None) or inner.__cause__ or inner.__context__)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the certificate of {url} is {not_believed(inner, ca)}"
    reason = getattr(inner, "reason", None) or str(error)
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER_FAILURE" in reason:
        return f"{url} does not speak TLS; try {url.replace('https:', 'http:', 1)}"
    if "ALERT" in reason or isinstance(inner, ssl.SSLEOFError):
        return f"{url} ended the TLS connection: {WANTS_CERT.replace(CERT, cert)}"
    return f"no TLS with {url}: {reason}"


def reason(error: requests.RequestException, url: str) -> str:
    """A few words for a failed request; the library's own text is a page long."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.ConnectionError) and any(word in str(error) for word in ENDED):
        hint = WANTS_CERT if url.startswith("https:") else "does it speak TLS? then write https://"
        return f"it closed the connection ({hint})"
    if isinstance(error, requests.ConnectionError):
        return f"cannot connect{cause(error)} (is istat-server running there?)"
    return str(error)


def other_port(url: str, stat_port: int, usual: str) -> str:
    """What to add where the usual port for samples was asked: not every server says so itself."""
    with suppress(ValueError):
        if urlsplit(url).port == stat_port:
            return f"; port {stat_port} usually takes samples, and HTTP is at {urlsplit(usual).port}"
    return ""


def cause(error: BaseException) -> str:
    """The system's word for it, such as "Connection refused", which the libraries hide deep inside."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, requests.RequestException):
            return f": {inner.strerror}"
        inner = inner.__cause__ or inner.__context__
    return ""
