"""How a request of HTTP begins, and what it is answered at a port that speaks something else.

A web page can have one sent to any port, with lines of its own behind it: whoever asks so is let go, and nothing of it
is taken. Knows no sockets.
"""

from __future__ import annotations

import re

#: HTTP passes over empty lines before a request.
BLANK = re.compile(rb"[\r\n]*")
_METHOD = rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]+ "
#: A first line, of HTTP/2 too.
HTTP_REQUEST = re.compile(_METHOD + rb"[^ \r\n]+ HTTP/[0-9]")
#: Of a line that is too long for us the end is not known.
LONG_REQUEST = re.compile(_METHOD + rb"(?:[/*]|[A-Za-z][A-Za-z0-9+.-]*:)")
# Its last line is for people, as all refusals of our HTTP are.
_NOT_HERE = (b"HTTP/1.1 421 Misdirected Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
             b"Connection: close\r\n\r\n%s")


def not_here(what: str, http_port: int) -> bytes:
    """The answer: this port takes `what`, and HTTP is at http_port (0: it is not known where)."""
    where = f"ask port {http_port}" if http_port else "ask the server's http-port"
    told = f'{{"error":"this port takes {what} and answers no HTTP: {where}"}}\n'.encode()
    return _NOT_HERE % (len(told), told)
MOST_SENTENCE = 300     # signs of what the other side says; ours have less


def in_words(sentence: str) -> str:
    """What the other side says, as a part of a line: whoever it is, it writes no lines of its own into logs and
    terminals."""
    words = "".join(sign if sign.isprintable() else " " for sign in sentence[:MOST_SENTENCE]).strip()
    return words or "it does not say why"
