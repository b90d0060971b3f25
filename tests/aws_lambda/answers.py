"""What a front of AWS makes of a function's answer."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Sent:
    """An answer as the front sends it to the client."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read a function's answer as fronts do."""
        several = {name: ", ".join(values) for name, values in (answer.get("multiValueHeaders") or {}).items()}
        headers = {name.lower(): value for name, value in (several or answer.get("headers") or {}).items()}
        body = b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        return cls(answer["statusCode"], headers, body)
