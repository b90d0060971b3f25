"""An S3 source whose requests are recorded."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from sidecar_s3.api import ObjectUrls, S3Api
from sidecar_s3.settings import S3Settings
from sidecar_s3.signing import Account

from sidecar.config import load
from sidecar.plugin.remote import BucketSource, Client, HttpOrigin, RangedTransport, RemoteObjects, Response
from tests.benchmarks.files import FILES

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    begin: float
    """When it was made, in seconds of some clock."""
    headers: float
    """When the answer's headers were there."""
    size: int
    """Bytes of the answer's body."""


@dataclass
class Noted:
    """An `HttpOrigin` that records each request."""

    origin: HttpOrigin
    requests: list[Asked] = field(default_factory=list)

    @contextmanager
    def get(self, key: str, headers: Mapping[str, str]) -> Generator[Response, None, None]:
        """Ask, and record it."""
        begin = perf_counter()
        with self.origin.get(key, headers) as response:
            self.requests.append(Asked(begin, perf_counter(), int(response.headers["Content-Length"])))
            yield response

    def is_absent(self, status: int, code: str) -> bool:
        """As the other says."""
        return self.origin.is_absent(status, code)

    def close(self) -> None:
        """Close the other."""
        self.origin.close()


def rounds_of_waiting(requests: Iterable[Asked]) -> int:
    """The longest chain of requests that each began after the headers of the one before were there.

    What one knows by the answer to another cannot be asked for sooner; what is asked for side by side waits once.
    """
    rounds, free = 0, float("-inf")
    for asked in sorted(requests, key=lambda each: each.headers):
        if asked.begin >= free:
            rounds, free = rounds + 1, asked.headers
    return rounds


def connect(url: str) -> tuple[BucketSource, Noted]:
    """A new source of the pictures' bucket: no connection, no block kept. SIDECAR_S3_* change its settings."""
    own = {"bucket": FILES.name, "endpoint": url, "region": REGION, "access_key_id": "bench", "secret_key": "bench"}
    settings = load([S3Settings], below={"bench": {"s3": own}}).section(S3Settings)
    account = Account(settings)
    noted = Noted(S3Api(Client(settings), ObjectUrls(settings, account.region), account.sign))
    return BucketSource("s3", RemoteObjects("s3", RangedTransport("s3", noted), settings), settings), noted
