"""Who may give the commands that change things: whoever has sent the admin-token, or everybody by admin-open.

Knows the settings, and neither commands nor sockets. Tokens are compared in a time that says nothing about them, and
are never logged.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

# What is answered to whoever may not.
NO_TOKEN = "this wants a token, and the server has no admin-token: set one, or admin-open"
NOT_YET = "this wants the admin-token first: auth TOKEN"
WRONG = "the token is wrong"


class Guard:
    """The admin-token, and whether it is wanted at all."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: `admin-token` and `admin-open`."""
        self._token = b""
        self.open = False
        self.take(settings)

    def take(self, settings: Mapping[str, Any]) -> None:
        """Hold by these from now on. Whoever was let in by another token has to show the new one."""
        self._token = settings["admin-token"].encode()
        self.open = bool(settings["admin-open"])

    def key(self, token: str) -> bytes | None:
        """What lets in whoever sent this token; None when it is wrong, or none is set."""
        right = hmac.compare_digest(token.encode(), self._token)
        return self._token if right and self._token else None

    def refusal(self, key: bytes | None) -> str:
        """Why whoever has this key may not change anything; "" when he may."""
        if self.open or (self._token and key == self._token):
            return ""
        return NOT_YET if self._token else NO_TOKEN
