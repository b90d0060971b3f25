"""Whether a request carries a right AWS Signature Version 4, from the wire alone; for the stand-in object store.

After "Signature Calculations for the Authorization Header" of the Amazon S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import reduce

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})$"
)


def is_signed(method: str, target: str, headers: Mapping[str, str], secrets: Mapping[str, str]) -> bool:
    """Check the Authorization header of a request whose query is in canonical order; `headers` by lower-case name."""
    found = _HEADER.match(headers.get("authorization", ""))
    if not found or found["key"] not in secrets:
        return False
    names = found["names"].split(";")
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= {*names}:
        return False
    signed = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    path, _, query = target.partition("?")
    canonical = "\n".join((method, path, query, signed, found["names"], headers["x-amz-content-sha256"]))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", headers["x-amz-date"], found["scope"], digest))
    key = reduce(_mac, found["scope"].split("/"), b"AWS4" + secrets[found["key"]].encode())
    return hmac.compare_digest(_mac(key, text).hex(), found["signature"])


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
