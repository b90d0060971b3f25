"""As whom objects are asked for: what google-auth is for here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import google.auth
import urllib3
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.urllib3 import Request

from sidecar.plugin import SourceError
from sidecar.plugin.remote import Token, Tokens, Transient
from sidecar_gcs.credential_files import check_named
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
    """The account of Google's Application Default Credentials.

    They are looked for when the first token is needed: that may ask over the network whose machine this is, which takes
    seconds, and native threads, before which a worker must have entered its sandbox. Raises StartError if the file that
    is named is none of credentials.
    """

    def __init__(self, settings: GcsSettings) -> None:
        check_named()
        timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.stall_timeout)
        # TLS trusts the system's authorities, as that of `Client` does.
        self._request = Request(urllib3.PoolManager(timeout=timeout, retries=False))  # type: ignore[no-untyped-call]
        self._credentials: Any = None
        self._tokens = Tokens("gcs", self._fetch, settings)
        self.close = self._tokens.close

    def headers(self) -> Mapping[str, str]:
        token = self._tokens.get()
        # Who pays, if it is not the bucket's project ("Requester Pays").
        payer = getattr(self._credentials, "quota_project_id", None)
        return {"Authorization": f"Bearer {token}", **({"x-goog-user-project": str(payer)} if payer else {})}

    def _fetch(self) -> Token:
        try:
            if self._credentials is None:
                self._credentials, _project = google.auth.default(scopes=[_SCOPE], request=self._request)
            self._credentials.refresh(self._request)
        except DefaultCredentialsError as error:
            raise SourceError(
                f"gcs: no credentials: set GOOGLE_APPLICATION_CREDENTIALS, give the machine an account, "
                f"or set SIDECAR_GCS_ANONYMOUS for public buckets ({_text(error)})"
            ) from error
        except GoogleAuthError as error:
            failed = SourceError(f"gcs: no token: {_text(error)}")
            may_pass = error.retryable or isinstance(error, TransportError)
            raise (Transient(failed) if may_pass else failed) from error
        except (OSError, ValueError) as error:  # of files: credentials that are none, a federated identity's token
            raise SourceError(f"gcs: no token: {_text(error)}") from error
        return Token(self._credentials.token, _end(self._credentials.expiry))


def account_of(settings: GcsSettings) -> Account:
    """Return what the settings say. Raises StartError."""
    return Anybody() if settings.anonymous else DefaultAccount(settings)


def _end(expiry: datetime | None) -> float:
    """Return the end of a token's time. google-auth has it in UTC, without saying so, or not at all."""
    return expiry.replace(tzinfo=UTC).timestamp() if expiry else time.time() + _UNKNOWN


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_TEXT]
