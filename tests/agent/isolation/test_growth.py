"""What is too much for an agent."""

import os
import resource
import subprocess
import sys

import pytest

from istat_agent.isolation import growth


def test_what_an_agent_has_is_not_too_much() -> None:
    assert growth.grown(1 << 40) == ""


def test_memory() -> None:
    assert growth.grown(0).endswith(" MB of memory of its own")


def test_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    there = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (there, there))
    assert f" of {there} descriptors open" in growth.grown(1 << 40)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert growth.grown(1 << 40) == ""


def test_no_descriptor_is_left_to_look_with() -> None:
    """In a process of its own, which may have few."""
    text = ("import os, resource\nfrom istat_agent.isolation import growth\ngrowth.grown()\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
            "try:\n    while True: os.dup(0)\nexcept OSError: print(growth.grown(1 << 40))")
    found = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert found.stdout == "all of its 64 descriptors open\n"
