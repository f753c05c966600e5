"""Random requests, as the server's own OpenAPI document allows them and a little beside it. Knows the document and
Hypothesis, no server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

Object = dict[str, Any]
NOW = int(time.time())
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "ODD", "get")
# What is there (ftest/fuzz/serving.py sends it), what is not, and what is no such thing.
WORDS = (
    "fuzz.a", "*fuzz.e", "FUZZ.A", "fuzz.a.b", "fuzz", "fuzz.*", "*", "?", "fuzz.?", "a^b^^c", "", ".", "..", "10s",
    "5m", "1h", "avg", "avg,max", "count,count", "nan", "UTC", "Europe/Berlin", "../../etc/passwd", "/etc/passwd",
    "json", "csv", "index.html", "app.js", "charts/..", ".set", "users", "global", "dashboard.x", "true", "[a-z]+$",
    "(a|b)*c", "a{1,500}", "((((", "\\d", "[^.]*\\.b", "\0", "\r\n", "a\tb", "%", "%zz", "<b>&amp;'\"", "\xe9",
    "\U0001f600", "x" * 300, "*" * 900, "fuzz.*.?" * 100,
)
# Of these, what parameters of these names are for.
NAMES = ("fuzz.a", "fuzz.e", "fuzz.a.b", "FUZZ.A", "*fuzz.e", "beside.1", "istatd.app.uptime", "app.js", "favicon.svg",
         "users")
KEYS = ("a", "dashboard.x", "user.fuzz")
PATTERNS = ("*", "fuzz.*", "fuzz.?", "beside.*", "istatd.*", "?", "^fuzz", "fuzz")
USUAL = {"name": NAMES, "names": NAMES, "keys": NAMES, "match": PATTERNS, "q": PATTERNS, "regex": PATTERNS,
         "prefix": ("", "fuzz", "istatd", "beside"), "from": NAMES, "to": ("fuzz.new", "fuzz.other"), "f": NAMES,
         "s": ("users", "fuzz.a"), "sk": PATTERNS, "key": KEYS, "columns": ("avg", "avg,min,max", "count"),
         "level": ("10s", "5m"), "format": ("json", "csv"), "tz": ("UTC", "Europe/Berlin"), "a": ("*",)}
TIMES = {"from": (NOW - 3600, NOW - 86400, 0), "start": (NOW - 3600, NOW - 86400), "to": (NOW, NOW + 10),
         "end": (NOW, NOW - 60), "stop": (NOW, NOW - 60), "points": (1, 100, 10000), "trailing": (0, 1),
         "version": (1, 2, 3), "limit": (1, 2, 1000), "samples": (0, 1, 100), "maxSamples": (0, 1, 100, -1)}
WHOLE = (0, 1, -1, 2, 10, 60, 300, 86400, NOW, NOW - 60, NOW - 3600, NOW - 86400 * 30, NOW + 86400, NOW * 1000, 10**11,
         2**31, 2**63 - 1, 2**63, -(2**63), 10**30)
NO_NUMBERS = ("1_0", "+1", " 1", "1.5", "1e3", "1e999", "nan", "inf", "\u0663", "0x10", "true", "1" * 5000)
HEADERS = {
    "Accept-Encoding": ("gzip", "deflate", "gzip;q=0.5, *", "*;q=1e308", ",;q=", "br"),
    "If-None-Match": ("*", '"x"', "W/"),
    "If-Modified-Since": ("yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"),
    "Origin": ("http://x", "null", "\x7f"),
    "Referer": ("https://www.example.com/some/page.html",),
    "Authorization": ("Bearer wrong", "Basic eDp5", "Bearer", "Bearer \xff"),
    "Connection": ("close", "keep-alive", "x"),
    "Content-Type": ("text/plain", "application/json; charset=x", "multipart/form-data"),
    "Range": ("bytes=0-1",),
    "Expect": ("100-continue",),
    "Upgrade": ("websocket",),
    "X-Odd": ("x" * 4000, "\xe9"),
    "Host": ("evil.example", "[::1"),
}


@dataclass(frozen=True)
class Asked:
    """One request. `headers` go without Host and length, unless they say otherwise."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def wire(self, token: str) -> bytes:
        """Its bytes, with this token unless it has one of its own."""
        given = {"Host": "localhost", "Authorization": f"Bearer {token}", **dict(self.headers)}
        if self.body is not None:
            given["Content-Length"] = str(len(self.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"{self.method} {self.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (self.body or b"")


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any], of: int = 8) -> st.SearchStrategy[Any]:
    """The one, and one time in `of` the other."""
    return st.integers(0, of - 1).flatmap(lambda drawn: usual if drawn else rare)


words = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
whole = st.one_of(st.sampled_from(WHOLE), st.integers(-100, 100000))
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), whole, st.floats(), words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)), max_leaves=8)
texts = st.dictionaries(mostly(st.sampled_from(KEYS), words, 4),
                        mostly(st.one_of(words, whole), st.one_of(st.none(), st.booleans(), st.floats())), max_size=4)
bodies = st.one_of(
    anything.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200),
    st.sampled_from((b"", b"{", b"[" * 20000, b'{"a":' * 5000, b'{"keys":["\\ud800"]}', b"\xff\xfe{\0}\0", b"1" * 9000,
                     json.dumps({"keys": ["fuzz.a"] * 1001}).encode(), b" " * (2 << 20))))
headers = st.lists(st.sampled_from(sorted(HEADERS)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(HEADERS[name]))), max_size=3).map(tuple)


def requests_of(document: Object) -> st.SearchStrategy[Asked]:
    """Requests for what a document describes."""
    makers = [_operation(path, method.upper(), told) for path, methods in document["paths"].items()
              for method, told in methods.items()]
    return st.sampled_from(makers).flatmap(lambda make: make())


def _operation(path: str, method: str, told: Object) -> Callable[[], st.SearchStrategy[Asked]]:
    """What makes requests of one operation."""
    parameters = told["parameters"]
    pairs = [_pair(one) for one in parameters if one["in"] == "query"]
    usual = st.lists(st.one_of(pairs), max_size=5) if pairs else st.just([])
    query = mostly(usual, st.lists(st.one_of(*pairs, st.tuples(words, words)), max_size=5), 4).map(_query)
    fields = st.fixed_dictionaries({one["name"]: _words("name") for one in parameters if one["in"] == "path"})
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    body: st.SearchStrategy[Any] = st.none()
    if method in ("POST", "PUT", "PATCH"):      # whatever it takes
        body = mostly(texts.map(lambda value: json.dumps(value).encode()), bodies)
    if content is not None:
        body = mostly(_object(content["schema"]).map(lambda value: json.dumps(value).encode()), bodies)
    methods = mostly(st.just(method), st.sampled_from(METHODS))
    whole_body = mostly(body, st.one_of(st.none(), bodies), 12)
    made = st.builds(lambda *drawn: Asked(drawn[0], _target(path, drawn[1]) + drawn[2], drawn[3], drawn[4]),
                     methods, fields, query, mostly(st.just(()), headers, 4), whole_body)
    return lambda: made


def _pair(parameter: Object) -> st.SearchStrategy[tuple[str, str]]:
    kind = parameter["schema"].get("items", parameter["schema"])["type"]
    usual = {"integer": _whole(parameter["name"]).map(str), "boolean": st.sampled_from(("true", "false"))}.get(
        kind, _words(parameter["name"]))
    return st.tuples(st.just(parameter["name"]), mostly(usual, st.one_of(words, st.sampled_from(NO_NUMBERS))))


def _object(schema: Object) -> st.SearchStrategy[Any]:
    """Objects of a body: what is needed is mostly there."""
    fields = {name: mostly(_value(one, name), anything, 20) for name, one in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    return mostly(st.fixed_dictionaries({name: one for name, one in fields.items() if name in needed},
                                        optional={name: one for name, one in fields.items() if name not in needed}),
                  st.fixed_dictionaries({}, optional=fields))


def _value(schema: Object, name: str) -> st.SearchStrategy[Any]:
    if schema["type"] == "array":
        return st.lists(_value(schema["items"], name), max_size=4)
    return {"integer": _whole(name), "number": st.floats(), "boolean": st.booleans(), "object": texts}.get(
        schema["type"], _words(name))


def _whole(name: str) -> st.SearchStrategy[int]:
    """Numbers for what has this name."""
    return mostly(st.sampled_from(TIMES[name]), whole, 5) if name in TIMES else whole


def _words(name: str) -> st.SearchStrategy[str]:
    """Texts for what has this name."""
    return mostly(st.sampled_from(USUAL[name]), words, 3) if name in USUAL else words


def _query(pairs: list[tuple[str, str]]) -> str:
    return "?" + "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in pairs) if pairs else ""


def _target(path: str, fields: dict[str, str]) -> str:
    for name, value in fields.items():
        path = path.replace(f"{{{name}}}", _escaped(value, "/"))
    return path


def _escaped(text: str, safe: str = "*?()[]/,:") -> str:
    return quote(text, safe=safe)
