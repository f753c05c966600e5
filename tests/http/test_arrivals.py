"""Who has arrived and has no place yet: clients have their turn, and who cannot be admitted holds up nobody else."""

from __future__ import annotations

from collections.abc import Callable

from istat_server.http.transport.arrivals import Arrivals


def always() -> bool:
    return True


def once() -> Callable[[], bool]:
    left = [True]
    return lambda: bool(left and left.pop())


def arrived(*ones: str) -> Arrivals[str]:
    """Connections, each of the client that its first letter names."""
    found: Arrivals[str] = Arrivals()
    for one in ones:
        found.add(one[0], one)
    return found


def noting(asked: list[str], client: str = "") -> Callable[[str], bool]:
    """Admits those of one client, or all; notes who was looked at."""

    def admitted(one: str) -> bool:
        asked.append(one)
        return one.startswith(client)

    return admitted


def test_clients_have_their_turn() -> None:
    arrivals, admitted = arrived("a1", "a2", "a3", "b1", "c1", "c2"), list[str]()
    arrivals.admit(noting(admitted), always)
    assert admitted == ["a1", "b1", "c1", "a2", "c2", "a3"] and not arrivals


def test_who_cannot_be_admitted_yet_waits_with_his_own_only() -> None:
    arrivals, asked = arrived("a1", "a2", "b1", "b2"), list[str]()
    arrivals.admit(noting(asked, "b"), always)
    assert asked == ["a1", "b1", "b2"] and len(arrivals) == 2
    assert arrivals.clear() == ["a1", "a2"] and not arrivals


def test_when_the_time_is_over_the_next_client_is_first() -> None:
    arrivals, admitted = arrived("a1", "a2", "b1"), list[str]()
    for _ in range(4):
        arrivals.admit(noting(admitted), once())
    assert admitted == ["a1", "b1", "a2"]
