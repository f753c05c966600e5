"""`istatd_query` and `istatd_query.py`: buckets of counters as a table, asked as istatd is asked. Status 0 always."""

from __future__ import annotations

import json
import math
import os
from typing import Any
from urllib.parse import quote

import requests

from istat import unanswered
from istat.cli.istatd.alias import Alias, Flag, Given
from istat.cli.report import printable
from istat.cli.tokens import TOKEN_VARIABLE
from istat.clock import Clock

TIMEOUT = 30.0          # [s]
MOST_ANSWER = 64 << 20  # [bytes]
DEFAULT = "localhost:8000"
NO_SERVER = "what answers there is no server of counters"
COLUMNS = ("time", "avg", "min", "max", "count", "sum", "sumsq")


class Unanswered(Exception):
    """In words, why there is no answer."""


def _query(given: Given, clock: Clock) -> int:
    try:
        if len(given.words) > 1 or given["p"]:
            _print_all(given, _posted(given))
        else:
            answer = _got(given)
            _print(given, answer, answer.get("buckets"))
    except requests.RequestException as error:
        print(f"error: {printable(_base(given))}: {printable(unanswered.reason(error, _base(given)))}")
    except (Unanswered, ValueError) as error:       # ValueError: a host that is none
        print(f"error: {printable(str(error))}")
    return 0


def _got(given: Given) -> dict[str, Any]:
    """One counter by GET."""
    asked = {"start": given["s"], "end": given["e"], "samples": given["n"]}
    words = "&".join(f"{name}={quote(value)}" for name, value in asked.items() if value)
    url = f"{_base(given)}/{quote(given.words[0], safe='')}" + (f"?{words}" if words else "")
    print(f"GET {printable(url)}")
    return _answer(given, "GET", url, None)


def _posted(given: Given) -> dict[str, Any]:
    """Several counters by POST."""
    body: dict[str, Any] = {"keys": list(given.words)}
    for option, name in (("s", "start"), ("e", "stop"), ("n", "maxSamples")):
        if given[option]:
            try:
                body[name] = int(given[option])
            except ValueError:
                raise Unanswered(f"-{option} wants a whole number, not {given[option]}") from None
    print(f"POST {printable(_base(given))}/* {printable(json.dumps(body))}")
    return _answer(given, "POST", f"{_base(given)}/*", json.dumps(body).encode())


def _base(given: Given) -> str:
    host = str(given["H"])
    return host.rstrip("/") if "://" in host else f"http://{host}"


def _answer(given: Given, method: str, url: str, body: bytes | None) -> dict[str, Any]:
    token = os.environ.get(TOKEN_VARIABLE, "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with requests.request(method, url, data=body, headers=headers, timeout=TIMEOUT, stream=True) as answer:
        data = b""
        for piece in answer.iter_content(1 << 16):
            data += piece
            if len(data) > MOST_ANSWER:
                raise Unanswered(f"the answer is longer than {MOST_ANSWER:,} bytes: ask for less (-n)")
        text = data.decode("utf-8", "replace")
        if answer.status_code != requests.codes.ok:
            raise Unanswered(f"{answer.status_code} {text.strip()}")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unanswered(NO_SERVER)
    return found


def _print_all(given: Given, answer: dict[str, Any]) -> None:
    if given["r"]:
        print(json.dumps(answer, indent=4, sort_keys=True))
        return
    for name, one in answer.items():
        if isinstance(one, dict):
            print(f"{printable(name)}:")
            _print(given, one, one.get("data"))
        elif isinstance(one, str):
            print(f"error: {printable(name)}: {printable(one)}")


def _print(given: Given, answer: dict[str, Any], buckets: Any) -> None:
    if given["r"]:
        print(json.dumps(answer, indent=4, sort_keys=True))
        return
    print(f"start: {answer.get('start')} end: {answer.get('end')} interval: {answer.get('interval')}")
    print(" ".join(f"{name:>12}" for name in COLUMNS))
    if not isinstance(buckets, list):
        raise Unanswered(NO_SERVER)
    for bucket in buckets:
        fields = bucket.get("data", bucket) if isinstance(bucket, dict) else None
        if not isinstance(fields, dict):
            raise Unanswered(NO_SERVER)
        values = {"time": bucket.get("time"), **fields}
        print(" ".join(f"{_number(name, values.get(name)):>12}" for name in COLUMNS))


def _number(name: str, value: Any) -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "-"
    return str(int(value)) if name in ("time", "count") else f"{value:.2f}"


_OPTIONS = (Flag("-H", "the server's http-port", "HOST:PORT", DEFAULT),
            Flag("-s", "from this time on, Unix seconds", "START", ""),
            Flag("-e", "before this time, Unix seconds", "END", ""),
            Flag("-n", "at most so many buckets", "N", ""),
            Flag("-r", "print the JSON that comes"),
            Flag("-p", "ask by POST, as for several counters"))
_MORE = f"Its status is 0, also where it prints an error. A token is taken from {TOKEN_VARIABLE}."
QUERY, QUERY_PY = (Alias(name, "Print buckets of counters", _query, _OPTIONS, "COUNTER...", 1, 1000, _MORE,
                         ((f"{name} -H localhost:8000 cpu.idle", "The last quarter of an hour"),))
                   for name in ("istatd_query", "istatd_query.py"))
