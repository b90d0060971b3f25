"""Entries in Redis or Valkey, each with an end of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sidecar.plugin import StartError
from sidecar_jp2.store.back_end import ReadOnly, StoreError

LIFETIME: Final = 30 * 24 * 3600
"""Seconds for which an entry is kept after it was last written or read whole."""
PREFIX: Final = "iiif-sidecar:jp2:"
_READ_ONLY: Final = (redis.exceptions.NoPermissionError, redis.exceptions.ReadOnlyError)


class RedisStore:
    """A BackEnd on redis-py: its sockets are cooperative, since workers are monkey-patched before it is imported."""

    name: Final = "redis"

    def __init__(self, url: str, seconds: float) -> None:
        """`seconds`: for connecting, and of silence. Connects when it is first used. Raises StartError."""
        parts = urlsplit(url)
        self.place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        try:
            self._client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 0),
                # What it says of itself would cost two round trips at each connection.
                driver_info=None,
            )
            self._client.connection_pool.make_connection()  # connects nowhere, and refuses options that there are not
        except (ValueError, TypeError) as error:
            raise StartError(f"SIDECAR_JP2_INDEX_URL: {error}") from error

    def get(self, key: str, most: int) -> bytes | None:
        """Return the beginning of an entry, which stays for another while."""
        name = PREFIX + key
        with _mapped():
            # In one round trip. GETRANGE bounds what comes, whatever somebody has stored; nothing of ours is empty.
            calls = self._client.pipeline(transaction=False)
            calls.getrange(name, 0, most - 1)
            calls.expire(name, LIFETIME)
            data, _ = calls.execute(raise_on_error=False)  # whoever may only read does not prolong
            if isinstance(data, redis.RedisError):
                raise data
            return bytes(data) or None

    def put(self, key: str, data: bytes) -> None:
        """Store an entry for a while."""
        with _mapped():
            self._client.set(PREFIX + key, data, ex=LIFETIME)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@contextmanager
def _mapped() -> Generator[None, None, None]:
    """Map the errors of redis-py, and of the parsers and sockets beneath it, to ours."""
    try:
        yield
    except _READ_ONLY as error:
        raise ReadOnly(f"{type(error).__name__}: {error}") from error
    except (redis.RedisError, OSError, ValueError, LookupError, AttributeError) as error:
        # The last three: what is not Redis answers anything.
        raise StoreError(f"{type(error).__name__}: {error}") from error
