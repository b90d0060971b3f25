"""A service that is asked where an image is: it redirects there, or says so in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, unquote, urljoin

from sidecar.errors import SourceError
from sidecar.plugin.location_rules import fill
from sidecar.plugin.lookup import LookupSettings
from sidecar.remote.http_client import Client, Response
from sidecar.remote.http_ranges import REDIRECTS, refused

_MOST: Final = 64 * 1024
"""Bytes of an answer."""
_ABSENT: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class LookupService:
    """Asks the service of `lookup_url`."""

    def __init__(self, name: str, client: Client, settings: LookupSettings) -> None:
        self._name = f"{name}-lookup"
        self._client = client
        self._url = settings.lookup_url
        self._fields = settings.lookup_fields
        self._fields_variable = settings.variable("lookup_fields")
        self._headers = _headers(settings)
        self._place_is_url = settings.place_is_url

    def ask(self, identifier: str) -> tuple[str, ...] | None:
        """Return the place of an image; None if the service says that there is none. One attempt.

        Raises Transient, SourceError: also if the answer is not understood.
        """
        url = fill(self._url, {"identifier": identifier}, _encoded)
        with self._client.get(url, self._headers) as response:
            body = response.read(_MOST + 1)
            if response.status in _ABSENT:
                return None
            if response.status in REDIRECTS and not self._fields:
                return self._redirected(url, response)
            if response.status == HTTPStatus.OK and self._fields:
                return self._named(body)
            if response.status == HTTPStatus.OK or response.status in REDIRECTS:
                raise SourceError(f"{self._name}: {self._unexpected(response.status)}")
            raise refused(self._name, response)

    def _redirected(self, url: str, response: Response) -> tuple[str]:
        """Return where a redirect leads. Location is a URI (RFC 9110 §10.2.2): keys of objects are encoded in it."""
        location = response.headers.get("Location", "")
        if not location:
            raise SourceError(f"{self._name}: a redirect without Location")
        try:
            place = urljoin(url, location)
        except ValueError as error:
            raise SourceError(f"{self._name}: a redirect to something that is no URL: {error}") from error
        return (place if self._place_is_url else unquote(place),)

    def _named(self, body: bytes) -> tuple[str, ...] | None:
        """Return the members of the answer that hold the place; None if the first one is null."""
        if len(body) > _MOST:
            raise SourceError(f"{self._name}: an answer of more than {_MOST} bytes")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{self._name}: the answer is no JSON: {type(error).__name__}") from error
        found = [self._member(answer, name) for name in self._fields]
        return None if None in found else tuple(filter(None, found))

    def _member(self, answer: object, path: str) -> str | None:
        for name in path.split("."):
            answer = _within(answer, name)
            if answer is None:
                return None
            if answer is _MISSING:
                raise SourceError(f"{self._name}: the answer has no member {path!r}")
        if not isinstance(answer, str) or not answer:
            raise SourceError(f"{self._name}: the member {path!r} of the answer is no text")
        return answer

    def _unexpected(self, status: int) -> str:
        if self._fields:
            return f"status {status}, which is not the JSON that {self._fields_variable} expects"
        return f"status {status}, which is no redirect, and {self._fields_variable} names no member of an answer"


_MISSING: Final = object()


def _within(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name, _MISSING)
    if isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
        return value[int(name)]
    return _MISSING


def _encoded(part: str, slashes: bool) -> str:  # noqa: FBT001  # the encoder of a template's part
    return quote(part, safe="/" if slashes else "")


def _headers(settings: LookupSettings) -> Mapping[str, str]:
    accept = {"Accept": "application/json"} if settings.lookup_fields else {}
    secret = settings.lookup_authorization.get_secret_value()
    return {**accept, "Authorization": secret} if secret else accept
