"""What an operator may do to counters while the crash harness kills the server, and which way it went.

Each `Change` is begun in a thread, so that the kill may come in the middle. After the restart `settle` finds out what
became of it: what was answered must be done, what was not may be. A new kind is a class in CHANGES.
"""
from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from ftest.crash.crashload import Reference
    from ftest.harness.serverprocess import ServerProcess


class Change:
    """One change of some counters that are not fed any more."""

    def __init__(self, names: list[str], token: str) -> None:
        self.names = names
        self.answered = False
        self._token = token
        self._thread: threading.Thread | None = None

    @classmethod
    def candidates(cls, reference: Reference, current: str) -> list[str]:
        """Counters that it may be done to; `current` begins the names of those that are fed."""
        return [name for name in reference.gauges[-1] if name.startswith("life.") and not name.startswith(current)]

    def begin(self, server: ServerProcess) -> None:
        """Ask for it; the server may end any moment."""
        self._thread = threading.Thread(target=self._ask, args=(server.url,), daemon=True)
        self._thread.start()

    def _ask(self, url: str) -> None:
        path, body = self.question()
        try:
            answer = requests.post(url + path, json=body, timeout=10,
                                   headers={"Authorization": f"Bearer {self._token}"})
            self.answered = answer.status_code == 200 and self.done(answer.json())
        except requests.RequestException:
            return          # killed before it answered

    def question(self) -> tuple[str, dict[str, Any]]:
        """Path and body."""
        raise NotImplementedError

    def done(self, answer: dict[str, Any]) -> bool:
        """Whether an answer says that it was done."""
        raise NotImplementedError

    def settle(self, server: ServerProcess, reference: Reference) -> None:
        """After the restart: take over what became of it. AssertionError when it was answered but not done."""
        assert self._thread is not None
        self._thread.join()
        present = {counter["name"] for counter in server.get("/api/v1/names", match="life.*", limit=10_000)["names"]}
        for name in self.names:
            happened = self.happened(name, present)
            assert happened or not self.answered, f"{type(self).__name__} of {name} was answered, and is undone"
            if happened:
                self.take_over(name, reference)

    def happened(self, name: str, present: set[str]) -> bool:
        """Whether it was done to a counter."""
        raise NotImplementedError

    def take_over(self, name: str, reference: Reference) -> None:
        """Do the same to the reference."""
        raise NotImplementedError


class Delete(Change):
    """Counters deleted."""

    def question(self) -> tuple[str, dict[str, Any]]:
        """See Change."""
        return "/api/v1/delete", {"names": self.names, "confirm": True}

    def done(self, answer: dict[str, Any]) -> bool:
        """See Change."""
        return bool(answer["deleted"] == len(self.names))

    def happened(self, name: str, present: set[str]) -> bool:
        """See Change."""
        return name not in present

    def take_over(self, name: str, reference: Reference) -> None:
        """See Change."""
        reference.deleted[name] = [level.pop(name, {}) for level in reference.gauges]


class Undelete(Change):
    """Deleted counters shown again, with all they had."""

    @classmethod
    def candidates(cls, reference: Reference, current: str) -> list[str]:
        """See Change."""
        return list(reference.deleted)[-4:]         # their rows are kept for a day of the server's clock

    def question(self) -> tuple[str, dict[str, Any]]:
        """See Change."""
        return "/api/v1/undelete", {"names": self.names}

    def done(self, answer: dict[str, Any]) -> bool:
        """See Change."""
        return bool(answer["undeleted"] == len(self.names))

    def happened(self, name: str, present: set[str]) -> bool:
        """See Change."""
        return name in present

    def take_over(self, name: str, reference: Reference) -> None:
        """See Change."""
        for level, cells in zip(reference.gauges, reference.deleted.pop(name)):
            level[name] = cells


class Rename(Change):
    """Counters under other names, with all they had."""

    def question(self) -> tuple[str, dict[str, Any]]:
        """See Change."""
        return "/api/v1/rename", {"from": self.names[0], "to": self._to(self.names[0]), "confirm": True}

    def __init__(self, names: list[str], token: str) -> None:
        super().__init__(names[:1], token)

    @staticmethod
    def _to(name: str) -> str:
        return name + "x"

    def done(self, answer: dict[str, Any]) -> bool:
        """See Change."""
        return bool(answer["renamed"] == 1)

    def happened(self, name: str, present: set[str]) -> bool:
        """See Change."""
        assert (name in present) != (self._to(name) in present), f"{name} has both names, or none"
        return name not in present

    def take_over(self, name: str, reference: Reference) -> None:
        """See Change."""
        for level in reference.gauges:
            if name in level:
                level[self._to(name)] = level.pop(name)


CHANGES: tuple[type[Change], ...] = (Delete, Undelete, Rename)
