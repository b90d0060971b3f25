"""As whom objects are asked for: what google-auth is for here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import google.auth
import urllib3
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.urllib3 import Request

from sidecar.plugin import SourceError, StartError
from sidecar.plugin.remote import Token, Tokens, Transient
from sidecar_gcs.settings import GcsSettings

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_only"
_UNKNOWN: Final = 600.0
"""Seconds for which a token is used whose end nobody has stated."""
_LONGEST_TEXT: Final = 500


class Account(Protocol):
    """What makes a request one that the service answers."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers of a request that prove the right to make it. Raises SourceError."""
        ...

    def close(self) -> None:
        """Cancel what is under way."""
        ...


class Anybody:
    """No account."""

    def headers(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        """Nothing is under way."""


class DefaultAccount:
    """The account of Google's Application Default Credentials. Raises StartError if there are none."""

    def __init__(self, settings: GcsSettings) -> None:
        request = _request(settings)
        try:
            credentials, _project = google.auth.default(scopes=[_SCOPE], request=request)
        except DefaultCredentialsError as error:
            raise StartError(
                f"SIDECAR_GCS_BUCKET is set, but there are no credentials: provide GOOGLE_APPLICATION_CREDENTIALS or a "
                f"machine's or workload's own account, or set SIDECAR_GCS_ANONYMOUS for public buckets ({_text(error)})"
            ) from error
        self._tokens = Tokens("gcs", _fetcher(credentials, request), settings)
        # Who pays, if it is not the bucket's project ("Requester Pays").
        payer = getattr(credentials, "quota_project_id", None)
        self._payer = {"x-goog-user-project": str(payer)} if payer else {}
        self.close = self._tokens.close

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._tokens.get()}", **self._payer}


def account_of(settings: GcsSettings) -> Account:
    """Return what the settings say. Raises StartError."""
    return Anybody() if settings.anonymous else DefaultAccount(settings)


def _request(settings: GcsSettings) -> Request:
    """Return what tokens are asked for with. TLS trusts the system's authorities, as `Client` does."""
    timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.stall_timeout)
    return Request(urllib3.PoolManager(timeout=timeout, retries=False))  # type: ignore[no-untyped-call]


def _fetcher(credentials: Any, request: Request) -> Callable[[], Token]:
    def fetch() -> Token:
        try:
            credentials.refresh(request)
        except GoogleAuthError as error:
            failed = SourceError(f"gcs: no token: {_text(error)}")
            may_pass = error.retryable or isinstance(error, TransportError)
            raise (Transient(failed) if may_pass else failed) from error
        except OSError as error:  # of a file that has the token of a federated identity
            raise SourceError(f"gcs: no token: {_text(error)}") from error
        return Token(credentials.token, _end(credentials.expiry))

    return fetch


def _end(expiry: datetime | None) -> float:
    """Return the end of a token's time. google-auth has it in UTC, without saying so, or not at all."""
    return expiry.replace(tzinfo=UTC).timestamp() if expiry else time.time() + _UNKNOWN


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_TEXT]
