"""What is too much for an agent."""

import os
import resource

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
