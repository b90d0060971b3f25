"""By what right blobs are asked for: an account's key, a shared access signature, an identity's token, or none."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final, Protocol
from urllib.parse import urlsplit

from sidecar.plugin.remote import Tokens
from sidecar_azure.settings import AzureSettings

_SIGNED: Final = ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
"""The last of the standard headers that are signed, in their order."""
_BODILESS: Final = "\n" * 6
"""In place of the first of them: Content-Encoding, -Language, -Length, -MD5, -Type, and Date, for which x-ms-date
stands. A GET has none."""


class Access(Protocol):
    """What makes a request one that the service answers."""

    def grant(self, url: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Return URL and headers of a GET with what proves the right to make it. Raises SourceError."""
        ...

    def close(self) -> None:
        """Cancel what is under way."""
        ...


class PublicAccess:
    """Requests go out as they are: containers that anybody may read."""

    def grant(self, url: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return url, headers

    def close(self) -> None:
        """Nothing is under way."""


class SignedUrls(PublicAccess):
    """A shared access signature: a query that whoever knows it may use."""

    def __init__(self, query: str) -> None:
        self._query = query

    def grant(self, url: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return f"{url}?{self._query}", headers


class SharedKey(PublicAccess):
    """The key of the account, by which each request is signed ("Authorize with Shared Key").

    Not by azure-storage-blob, which has this for its own pipeline of requests only, in a module that is not public.
    """

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = b64decode(key)

    def grant(self, url: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        dated = {**headers, "x-ms-date": formatdate(usegmt=True)}
        signature = b64encode(hmac.digest(self._key, self._signed_text(url, dated).encode(), "sha256")).decode()
        return url, {**dated, "Authorization": f"SharedKey {self._account}:{signature}"}

    def _signed_text(self, url: str, headers: Mapping[str, str]) -> str:
        lowered = {name.lower(): value for name, value in headers.items()}
        standard = "".join(f"{lowered.get(name, '')}\n" for name in _SIGNED)
        own = "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("x-ms-"))
        return f"GET\n{_BODILESS}{standard}{own}/{self._account}{urlsplit(url).path}"


class Identity:
    """The token of an identity ("Authorize with Microsoft Entra ID")."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.close = tokens.close

    def grant(self, url: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return url, {**headers, "Authorization": f"Bearer {self._tokens.get()}"}


def access_of(settings: AzureSettings) -> Access:
    """Return what the settings say. Raises StartError if the AZURE variables contradict each other."""
    if settings.anonymous:
        return PublicAccess()
    if sas := settings.sas.get_secret_value():
        return SignedUrls(sas)
    if key := settings.account_key.get_secret_value():
        return SharedKey(settings.account, key)
    # azure-identity takes memory and time to import: only if it is needed.
    from sidecar_azure.identity import fetcher  # noqa: PLC0415

    return Identity(Tokens("azure", fetcher(settings), settings))
