"""The 60-second promise of a JoinCluster PREPARE: which cluster token this member waits to be started with. In memory only."""

from __future__ import annotations

from datetime import timedelta

from agents.errors import BusyError, ConflictError, RefusedError

#: The Go program's validity; a leader that is slower starts over.
VALIDITY = timedelta(seconds=60)


class Preparation:
    """At most one live promise. `now` is a monotonic clock's seconds."""

    def __init__(self) -> None:
        self._token = ""
        self._until = 0.0

    def token(self, now: float) -> str:
        """Return the promised token, "" for none or an expired one."""
        return self._token if now < self._until else ""

    def promise(self, token: str, now: float) -> None:
        """Promise `token`, anew if it is promised already; BusyError where another one is."""
        held = self.token(now)
        if held and held != token:
            raise BusyError(f"concurrent prepare in progress: for cluster {held}", code="prepared-for-another")
        self._token, self._until = token, now + VALIDITY.total_seconds()

    def cancel(self, token: str, now: float) -> None:
        """Take the promise back; nothing happens where there is none. ConflictError for another token's."""
        held = self.token(now)
        if held and held != token:
            raise ConflictError(f"prepared for cluster {held}, not {token}", code="prepared-for-another")
        self._token = ""
        self._until = 0.0

    def redeem(self, token: str, now: float) -> None:
        """Return if `token` is promised; RefusedError otherwise."""
        if not token or self.token(now) != token:
            raise RefusedError(f"not prepared for cluster {token}", code="not-prepared", hint="send PREPARE first")
