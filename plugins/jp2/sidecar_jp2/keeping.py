"""Where the packet indexes of a worker are kept, as the settings have it: made once for all decoders of JPEG 2000."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from sidecar.plugin import Config, Folder, Native, StartError
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.settings import Jp2Settings
from sidecar_jp2.store.back_end import BackEnd
from sidecar_jp2.store.kept_entries import KeptEntries
from sidecar_jp2.store.packing import Packing
from sidecar_jp2.store.shared_store import READ_SECONDS, SharedStore
from sidecar_jp2.store.sqlite_store import SqliteStore

if TYPE_CHECKING:
    from sidecar_s3.settings import S3Settings


def kept_images(config: Config, native: Native) -> KeptImages | None:
    """Return what keeps the indexes of a worker, the same for each decoder; None if nothing is set to keep them.

    Raises StartError if a library is missing, or there are no credentials.
    """
    settings = config.section(Jp2Settings)
    url = settings.index_url
    if not settings.index_folder and not url:
        return None
    return _made(settings, _account(config) if url.startswith("s3:") else None, cast("Any", native))


def kept_folders(config: Config) -> Iterator[Folder]:
    """Yield the folder of indexes, and what credentials for S3 are read from, as far as they are set.

    Raises StartError if a library is missing.
    """
    settings = config.section(Jp2Settings)
    if settings.index_folder:
        yield Folder(path=settings.index_folder, writable=True)
    if settings.index_url.startswith("s3:"):
        with _extra("s3"):
            from sidecar_s3 import credential_folders  # noqa: PLC0415  # as below
        yield from credential_folders()


@lru_cache(maxsize=1)
def _made(settings: Jp2Settings, account: S3Settings | None, native: Native) -> KeptImages:
    url = settings.index_url
    disk = SqliteStore(settings.index_folder, settings.index_disk_bytes) if settings.index_folder else None
    shared = SharedStore(_back_end(url, account)) if url else None
    return KeptImages(KeptEntries(native, Packing(settings.index_secret.get_secret_value()), disk, shared))


# Each of these takes time to import, and one at most is needed.


def _account(config: Config) -> S3Settings:
    with _extra("s3"):
        from sidecar_s3.settings import S3Settings  # noqa: PLC0415
    return config.section(S3Settings)


def _back_end(url: str, account: S3Settings | None) -> BackEnd:
    if account is not None:
        from sidecar_jp2.store.s3_store import S3Store  # noqa: PLC0415

        return S3Store(account, url, READ_SECONDS)
    with _extra("redis"):
        from sidecar_jp2.store.redis_store import RedisStore  # noqa: PLC0415
    return RedisStore(url, READ_SECONDS)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Import what comes with an extra of the plugin. Raises StartError if it is not installed."""
    try:
        yield
    except ImportError as error:
        raise StartError(f"SIDECAR_JP2_INDEX_URL needs `pip install iiif-sidecar-jp2[{name}]`: {error}") from error
