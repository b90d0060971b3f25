"""Signatures and the chain of credentials: what botocore is for here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

# botocore publishes no type information.
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from sidecar.plugin import SourceError, StartError
from sidecar_s3.settings import S3Settings

_REGION = "us-east-1"


class Sign(Protocol):
    """Signs requests."""

    def __call__(
        self, url: str, headers: Mapping[str, str], method: str = "GET", body: bytes | None = None
    ) -> Mapping[str, str]:
        """Return the headers of a request with a signature. Raises SourceError."""
        ...


def unsigned(url: str, headers: Mapping[str, str], method: str = "GET", body: bytes | None = None) -> Mapping[str, str]:
    """Return the headers as they are."""
    del url, method, body
    return headers


class Account:
    """The credentials and the region, found once, at start. Raises StartError if there are no credentials."""

    def __init__(self, settings: S3Settings) -> None:
        session = Session()
        try:
            self.region: str = settings.region or session.get_config_variable("region") or _REGION
            self.sign: Sign = unsigned if settings.anonymous else _Signer(_credentials(settings, session), self.region)
        except BotoCoreError as error:
            raise StartError(f"SIDECAR_S3: {error}") from error


class _Signer:
    """AWS Signature Version 4."""

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def __call__(
        self, url: str, headers: Mapping[str, str], method: str = "GET", body: bytes | None = None
    ) -> Mapping[str, str]:
        request = AWSRequest(method, url, headers=headers, data=body)
        try:
            # Temporary credentials are renewed here when their end is near.
            current = self._credentials.get_frozen_credentials()
            S3SigV4Auth(current, "s3", self._region).add_auth(request)
        except (BotoCoreError, OSError) as error:
            raise SourceError(f"s3: no credentials: {error}") from error
        return dict(request.headers)


def _credentials(settings: S3Settings, session: Any) -> Any:
    if settings.access_key_id:
        return Credentials(settings.access_key_id, settings.secret_key.get_secret_value())
    found = session.get_credentials()
    if found is None:
        raise StartError(
            "SIDECAR_S3_BUCKET is set, but the AWS chain holds no credentials: provide a role, a profile or "
            "SIDECAR_S3_ACCESS_KEY_ID and SIDECAR_S3_SECRET_KEY, or set SIDECAR_S3_ANONYMOUS for public buckets"
        )
    return found
