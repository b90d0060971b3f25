"""A far object store on loopback, which answers as S3 does.

For tests (`with ObjectStore({...}) as store`) and for measuring: `python -m sidecar.testing.object_store FOLDER
--latency 30 --mbits 400` serves a folder as a bucket until it is interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import ssl
import threading
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote

from sidecar.testing.far_server import FarServer, Link, Mischief, Reply, Request, honest
from sidecar.testing.sigv4 import is_signed

__all__ = ["Content", "Link", "Mischief", "ObjectStore", "Reply", "Request", "honest"]

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)$")


@dataclass(frozen=True)
class Content:
    """An object: its bytes and when they were written."""

    body: bytes | mmap = field(repr=False)
    modified: float = 1_700_000_000.0

    @cached_property
    def etag(self) -> str:
        """As S3 makes it for objects put in one piece: the MD5 of the bytes, in quotes."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class ObjectStore(FarServer):
    """A server of objects by `bucket/key`."""

    def __init__(
        self,
        objects: Mapping[str, Content | bytes] | None = None,
        *,
        link: Link | None = None,
        secrets: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.objects: MutableMapping[str, Content] = {}
        for key, content in (objects or {}).items():
            self.put(key, content)
        self.secrets = secrets
        """Access key → secret key; requests must then be signed (AWS Signature Version 4)."""
        self.page_keys = 1000
        """Keys in one answer to a request that lists a bucket."""
        super().__init__(link=link, tls=tls, port=port)

    def put(self, key: str, content: Content | bytes) -> None:
        """Store or replace an object."""
        self.objects[key] = content if isinstance(content, Content) else Content(content)
        self.objects[key].etag  # noqa: B018  # made here, so that no request waits for it

    def answer(self, request: Request) -> Reply:
        """Return the answer of an honest store."""
        if self.secrets is not None and not is_signed(request.method, request.target, request.headers, self.secrets):
            return _refusal(403, "SignatureDoesNotMatch")
        if request.method == "PUT":
            self.put(request.key, Content(request.body, time.time()))
            return Reply(200, {"ETag": self.objects[request.key].etag})
        return self._listed(request) if "list-type=2" in request.target else self._object(request)

    def _object(self, request: Request) -> Reply:
        content = self.objects.get(request.key)
        if content is None:
            bucket = request.key.partition("/")[0] + "/"
            known = any(key.startswith(bucket) for key in [*self.objects])
            return _refusal(404, "NoSuchKey" if known else "NoSuchBucket")
        if not _unchanged(request.headers, content):
            return _refusal(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == content.etag:
            return Reply(304, {"ETag": content.etag})
        return _ranged(request.headers.get("range", ""), content)

    def _listed(self, request: Request) -> Reply:
        """Return a page of the keys of a bucket, URL-encoded (ListObjectsV2 in the Amazon S3 API Reference)."""
        asked = parse_qs(request.target.partition("?")[2])
        bucket, prefix = request.key.strip("/") + "/", asked.get("prefix", [""])[0]
        after = bytes.fromhex(asked.get("continuation-token", [""])[0]).decode()
        keys = sorted(key.removeprefix(bucket) for key in [*self.objects] if key.startswith(bucket + prefix))
        later = [key for key in keys if key > after]
        page = later[: self.page_keys]
        more = len(later) > len(page)
        token = f"<NextContinuationToken>{page[-1].encode().hex()}</NextContinuationToken>" if more else ""
        entries = "".join(_entry(key, self.objects[bucket + key]) for key in page)
        body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        return Reply(200, {"Content-Type": "application/xml"}, f'<?xml version="1.0"?>\n{body}'.encode())


def _entry(key: str, content: Content) -> str:
    modified = datetime.fromtimestamp(content.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    parts = {"Key": quote(key, safe=""), "LastModified": modified, "ETag": content.etag.replace('"', "&quot;")}
    parts |= {"Size": str(len(content.body)), "StorageClass": "STANDARD"}
    return "<Contents>" + "".join(f"<{name}>{value}</{name}>" for name, value in parts.items()) + "</Contents>"


def _unchanged(headers: Mapping[str, str], content: Content) -> bool:
    """Report whether the preconditions hold; If-Unmodified-Since counts only without If-Match (RFC 9110 §13.1.4)."""
    if "if-match" in headers:
        return headers["if-match"] in ("*", content.etag)
    if "if-unmodified-since" in headers:
        return int(content.modified) <= parsedate_to_datetime(headers["if-unmodified-since"]).timestamp()
    return True


def _ranged(asked: str, content: Content) -> Reply:
    headers = {
        "ETag": content.etag,
        "Last-Modified": formatdate(content.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    size = len(content.body)
    match = _RANGE.match(asked)
    if not match:
        return Reply(200, headers, content.body[:])
    start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
    if start >= size:
        return replace(_refusal(416, "InvalidRange"), headers={"Content-Range": f"bytes */{size}"})
    return Reply(206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, content.body[start:stop])


def _refusal(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'.encode()
    return Reply(status, {"Content-Type": "application/xml"}, body)


def _mapped(path: Path) -> Content:
    """Return a file's content, mapped and not read into memory."""
    with path.open("rb") as file:
        found = path.stat()
        return Content(mmap(file.fileno(), 0, access=ACCESS_READ) if found.st_size else b"", found.st_mtime)


def main() -> None:
    """Serve a folder until interrupted; the first line printed is the address."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="served as a bucket of this folder's name")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds to the first byte")
    parser.add_argument("--mbits", type=float, default=0.0, help="of the link, per second; 0 for no limit")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    objects = {path.relative_to(folder.parent).as_posix(): _mapped(path) for path in files}
    with ObjectStore(objects, link=Link(asked.latency / 1000, asked.mbits * 1e6 / 8), port=asked.port) as store:
        print(store.url, flush=True)  # noqa: T201  # the one thing its caller waits for
        threading.Event().wait()


if __name__ == "__main__":
    main()
