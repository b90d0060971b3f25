"""The service that holds the buckets: the URL of a key, and what its responses mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from sidecar.plugin.remote import Client, Response
from sidecar_s3.settings import S3Settings
from sidecar_s3.signing import Sign


class S3Api:
    """An `HttpOrigin` whose keys are `bucket/key`."""

    def __init__(self, client: Client, urls: ObjectUrls, sign: Sign) -> None:
        self._client = client
        self._urls = urls
        self._sign = sign
        self.close = client.close

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Send a signed request for an object."""
        url = self._urls.url(*key.split("/", 1))
        return self._client.get(url, self._sign(url, headers))

    def list(self, bucket: str, query: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Send a signed request that lists a bucket."""
        # In the order of SigV4's canonical query, so that it is signed as it is sent.
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        url = f"{self._urls.url(bucket, '')}?{text}"
        return self._client.get(url, self._sign(url, {}))

    def is_absent(self, status: int, code: str) -> bool:
        """Report NoSuchKey only: NoSuchBucket is a wrong setting, and AccessDenied hides whether there is an object."""
        return status == HTTPStatus.NOT_FOUND and code == "NoSuchKey"


class ObjectUrls:
    """The URLs of objects, in one of S3's two styles."""

    def __init__(self, settings: S3Settings, region: str) -> None:
        endpoint = urlsplit(settings.endpoint or f"https://s3.{region}.amazonaws.com{_nation(region)}")
        self._scheme = endpoint.scheme
        self._host = endpoint.netloc
        self._path_style = bool(settings.endpoint) if settings.path_style is None else settings.path_style

    def url(self, bucket: str, key: str) -> str:
        """Return the URL of an object; encoded once, since the signature is made over exactly this."""
        path = quote(key, safe="/~")
        # The certificate `*.s3.region.amazonaws.com` is not valid for a bucket with dots in its name.
        if self._path_style or (self._scheme == "https" and "." in bucket):
            return f"{self._scheme}://{self._host}/{bucket}/{path}"
        return f"{self._scheme}://{bucket}.{self._host}/{path}"


def _nation(region: str) -> str:
    return ".cn" if region.startswith("cn-") else ""
