"""Tokens that a cloud gives to those who ask: fetched by one for all, kept, and renewed before they expire."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gevent.event import AsyncResult

from sidecar.errors import SidecarError
from sidecar.observability.logging import log
from sidecar.plugin import RemoteSettings
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.single_flight import Publish, SingleFlight

_EARLY: Final = 300.0
"""Seconds before its end at which a token is renewed, or at half its time if it has fewer than twice as many.

Metadata servers of clouds keep a token until about then: to ask sooner would bring the same one.
"""
_PAUSE: Final = 30.0
"""Seconds after which renewing is tried again while the token is still good."""
_SLACK: Final = 5.0
"""Seconds before its end at which a token is no longer used: clocks differ, and requests take time."""


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that stands for an account, for a time."""

    text: str = field(repr=False)
    expires: float
    """As `time.time()` counts."""


class Tokens:
    """The current token. Used in greenlets, many at once; `fetch` is called in one of its own, once at a time.

    `fetch` raises Transient if another attempt may succeed, SourceError if none will.
    """

    def __init__(self, name: str, fetch: Callable[[], Token], settings: RemoteSettings) -> None:
        self._name = name
        self._fetch = fetch
        self._retry = RetryPolicy(f"{name}-token", concurrency=1, timeout=settings.timeout, attempts=settings.attempts)
        self._flights: SingleFlight[str, Token] = SingleFlight()
        self._token = Token("", 0.0)
        self._renew_at = 0.0

    def get(self) -> str:
        """Return a token that is good for a while. Waits only if there is none. Raises SourceError, SourceTimeout."""
        now = time.time()
        if now >= self._token.expires - _SLACK:
            self._under_way(self._renew).get()
        elif now >= self._renew_at:
            self._renew_at = now + _PAUSE
            self._under_way(self._renew_early)
        return self._token.text

    def close(self) -> None:
        """Cancel what is under way."""
        self._flights.close()

    def _under_way(self, work: Callable[[Publish[str, Token]], None]) -> AsyncResult[Token]:
        return self._flights.find(self._name) or self._flights.start([self._name], work)[self._name]

    def _renew(self, publish: Publish[str, Token]) -> None:
        token = self._retry.run(self._fetch)
        left = token.expires - time.time()
        self._token = token
        self._renew_at = token.expires - min(_EARLY, left / 2)
        publish(self._name, token)

    def _renew_early(self, publish: Publish[str, Token]) -> None:
        """Renew while nobody waits: who has a good token does not learn that there is no other."""
        try:
            self._renew(publish)
        except SidecarError as error:
            log.warning("token not renewed", source=self._name, problem=str(error))
            raise
