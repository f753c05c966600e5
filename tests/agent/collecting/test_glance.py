"""What is seen of a plugin that is not imported."""

import pytest

from istat_agent.collecting.glance import glance


@pytest.mark.parametrize(
    ("text", "names", "isolated"),
    [
        ("@collector()\ndef collect(emit): ...", ("queue",), False),
        ("@collector(isolated=True)\ndef collect(emit): ...", ("queue",), True),
        ("@collector('redis', isolated=True)\nclass A: ...", ("redis",), True),
        ("@collector(name='redis', interval=10, isolated=False)\nasync def c(emit): ...", ("redis",), False),
        ("import istat.plugin as p\n@p.collector(isolated=True)\ndef c(emit): ...", ("queue",), True),
        ("from istat.plugin import collector as c\n@c(isolated=True)\ndef d(emit): ...", ("queue",), True),
        ("from other import collector as c\n@c(isolated=True)\ndef d(emit): ...", (), False),
        ("@collector(name=NAME, isolated=True)\ndef c(emit): ...", (None,), True),
        ("@collector(name=None)\ndef c(emit): ...", ("queue",), False),
        ("@collector(**all_of_it)\ndef c(emit): ...", (None,), False),
        ("if True:\n    @collector()\n    def c(emit): ...\n@collector('b')\ndef d(emit): ...", ("b", "queue"), False),
        ("@other\n@collector\ndef c(emit): ...", (), False),
        ("", (), False),
    ],
)
def test_names_and_whether_it_is_isolated(text: str, names: tuple[str | None, ...], isolated: bool) -> None:
    seen = glance(text.encode(), "queue.py", "queue")
    assert sorted(seen.names, key=str) == sorted(names, key=str)
    assert bool(seen.isolated) == isolated


@pytest.mark.parametrize("text", [b"def (", b"\0", b"\xff\xfe"])
def test_what_is_no_python_is_an_error_of_its_author(text: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        glance(text, "queue.py", "queue")
