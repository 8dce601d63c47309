"""The way in for whoever started a server that has no admin yet."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable

GOOD_FOR_S = 3600.0


class AdminLink:
    """A link that opens one session of an admin, once, within GOOD_FOR_S.

    Its secret stands behind the `#`, which browsers keep to themselves: it gets into no log of a server or proxy.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = clock() + GOOD_FOR_S
        self._code: str | None = secrets.token_urlsafe(32)

    def at(self, address: str) -> str:
        return f"{address}/admin#{self._code}"

    def redeem(self, code: str) -> bool:
        """Whether this opens a session; if so, it never does again."""
        good = self._code is not None and self._clock() < self._until_s
        if not (good and hmac.compare_digest(code.encode("utf-8", "replace"), (self._code or "").encode())):
            return False
        self._code = None
        return True
