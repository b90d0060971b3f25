"""A stand-in for Azure Blob Storage on loopback: an ObjectStore with its addresses, its errors and its three rights."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from sidecar.testing.object_store import Content, ObjectStore, Reply, Request

_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NoSuchKey": "BlobNotFound",
        "NoSuchBucket": "ContainerNotFound",
        "PreconditionFailed": "ConditionNotMet",
    }
)
"""S3's word → Azure's."""
_CODE: Final = re.compile(rb"(?<=<Code>)\w+")
_STANDARD: Final = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
"""The headers that are signed beside x-ms-…, in their order; a Content-Length of 0 counts as none."""


class BlobStore(ObjectStore):
    """Blobs by `container/name`, of one account, at `address`. Without a key, tokens and a signature it is public."""

    def __init__(
        self,
        objects: Mapping[str, Content | bytes] | None = None,
        *,
        account: str = "pictures",
        key: str = "",
        tokens: tuple[str, ...] = (),
        sas: str = "",
    ) -> None:
        super().__init__(objects)
        self.account = account
        self.key = key
        self.tokens = tokens
        self.sas = sas
        self.address = f"{self.url}/{account}"

    def answer(self, request: Request) -> Reply:
        """Return the answer of an honest service."""
        if "x-ms-version" not in request.headers:
            return Reply(400, body=b"<Error><Code>MissingRequiredHeader</Code></Error>")
        if not self._may(request):
            return Reply(403, body=b"<Error><Code>AuthenticationFailed</Code></Error>")
        path = request.target.partition("?")[0]
        reply = super().answer(replace(request, target=path.removeprefix(f"/{self.account}")))
        if reply.status < 400:  # noqa: PLR2004  # RFC 9110 §15.5, the first that is an error
            return reply
        return replace(reply, body=_CODE.sub(lambda found: _azure(found[0]), reply.body))

    def _may(self, request: Request) -> bool:
        scheme, _, proof = request.headers.get("authorization", "").partition(" ")
        if scheme == "SharedKey":
            wanted = f"{self.account}:{shared_key(self.account, self.key, request)}"
            return bool(self.key) and hmac.compare_digest(proof, wanted)
        if scheme == "Bearer":
            return proof in self.tokens
        return request.target.partition("?")[2] == self.sas if self.sas else not (self.key or self.tokens)


def shared_key(account: str, key: str, request: Request) -> str:
    """Return the signature that "Authorize with Shared Key" asks for, from the wire alone."""
    path, _, query = request.target.partition("?")
    own = sorted(name for name in request.headers if name.startswith("x-ms-"))
    parameters = sorted(part.partition("=") for part in query.split("&") if part)
    lines = [
        request.method,
        *(request.headers.get(name, "") for name in _STANDARD),
        *(f"{name}:{request.headers[name].strip()}" for name in own),
        f"/{account}{path}",
        *(f"{name}:{unquote(value)}" for name, _, value in parameters),
    ]
    return b64encode(hmac.digest(b64decode(key), "\n".join(lines).encode(), "sha256")).decode()


def _azure(code: bytes) -> bytes:
    return _CODES.get(code.decode(), code.decode()).encode()
