"""Pictures of images in clouds, made by the real decoder and encoder: those of the file, from the ranges they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import falcon.testing
import pytest
import sidecar_azure
import sidecar_filesystem
import sidecar_gcs
import sidecar_s3
from sidecar_azure.settings import AzureSettings
from sidecar_filesystem import FilesystemSettings
from sidecar_gcs.settings import GcsSettings
from sidecar_s3.settings import S3Settings

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Closing, Config, Source
from sidecar.plugin.remote import Client
from sidecar.registry import Plugins
from sidecar.server.application import create_app
from sidecar.testing.blob_store import BlobStore
from sidecar.testing.object_store import ObjectStore
from tests.clouds.emulators import ACCOUNT, AZURITE, FAKE_GCS_SERVER, KEY, azurite, fake_gcs_server

IMAGE: Final = "tiled_512.jp2"
PICTURES: Final = ("info.json", "512,512,512,512/512,/0/default.png")
BLOCKS: Final[Mapping[str, Any]] = {"block_bytes": 4096, "max_gap_bytes": 0, "attempts": 1}


def azure(address: str) -> Source:
    """The source `azure`, with the key of the account."""
    given = AzureSettings(account=ACCOUNT, account_key=KEY, container="images", endpoint=address, **BLOCKS)
    return next(iter(sidecar_azure.register_sources(Config.of(given))))


def gcs(address: str) -> Source:
    """The source `gcs`, for a public bucket."""
    given = GcsSettings(bucket="images", endpoint=address, anonymous=True, **BLOCKS)
    return next(iter(sidecar_gcs.register_sources(Config.of(given))))


@contextmanager
def azure_stand_in(objects: Mapping[str, bytes], _folder: Path) -> Iterator[Source]:
    """The source `azure` at our own stand-in."""
    with BlobStore(objects, account=ACCOUNT, key=KEY) as store:
        yield azure(store.address)


@contextmanager
def gcs_stand_in(objects: Mapping[str, bytes], _folder: Path) -> Iterator[Source]:
    """The source `gcs` at our own stand-in."""
    with ObjectStore(objects) as store:
        yield gcs(store.url)


@contextmanager
def emulated(
    run: Callable[[Path], Any], source: Callable[[str], Source], objects: Mapping[str, bytes], folder: Path
) -> Iterator[Source]:
    """A source at an emulator."""
    with run(folder) as emulator:
        emulator.make("images")
        for key, body in objects.items():
            emulator.put(key, body)
        yield source(emulator.address)


CLOUDS: Final = [
    pytest.param(azure_stand_in, id="azure"),
    pytest.param(gcs_stand_in, id="gcs"),
    pytest.param(
        partial(emulated, azurite, azure),
        id="azurite",
        marks=pytest.mark.skipif(not AZURITE, reason="there is no azurite-blob, see `make clouds`"),
    ),
    pytest.param(
        partial(emulated, fake_gcs_server, gcs),
        id="fake-gcs-server",
        marks=pytest.mark.skipif(not FAKE_GCS_SERVER, reason="there is no fake-gcs-server, see `make clouds`"),
    ),
]


@pytest.fixture(scope="module")
def native() -> Iterator[NativePool]:
    """Threads for all of them."""
    native = NativePool(2)
    yield native
    native.close()


@pytest.fixture
def pictures(native: NativePool) -> Callable[[Source], list[bytes]]:
    """Return a function that asks a sidecar of a source for each picture, which all must be there.

    Each sidecar has decoders of its own: what one has learned of an image is no other's.
    """
    plugins = Plugins()

    def make(source: Source) -> list[bytes]:
        registry = replace(plugins.load(Config.of(Settings()), native), sources=[source])
        app = create_app(Config.of(Settings()), registry, native)
        paths = [f"/iiif/3/{IMAGE}/{words}" for words in PICTURES]
        results = [falcon.testing.simulate_get(app, "/", extras={"RAW_URI": path}) for path in paths]
        assert [result.status_code for result in results] == [200] * len(paths), [result.text for result in results]
        return [result.content for result in results]

    return make


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ranges that are asked for from now on."""
    asked: list[str] = []
    get = Client.get

    def noting(self: Client, url: str, headers: Mapping[str, str]) -> Any:
        asked.append(headers.get("Range", "all"))
        return get(self, url, headers)

    monkeypatch.setattr(Client, "get", noting)
    return asked


def size_of(asked: str) -> int:
    """The bytes of a range, as it stands in a request."""
    first, last = asked.removeprefix("bytes=").split("-")
    return int(last) + 1 - int(first)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_pictures_of_a_cloud(
    cloud: Callable[..., Any],
    pictures: Callable[[Source], list[bytes]],
    native: NativePool,
    ranges: list[str],
    images: Path,
    tmp_path: Path,
) -> None:
    """They are those of the file byte for byte, made from the ranges that S3 is asked for: few of the file's bytes."""
    content = (images / IMAGE).read_bytes()
    given = FilesystemSettings(root=str(images))
    (local,) = sidecar_filesystem.register_sources(Config.of(given), native)
    wanted = pictures(local)
    assert not ranges
    with ObjectStore({f"images/{IMAGE}": content}) as store:
        settings = S3Settings(bucket="images", endpoint=store.url, anonymous=True, **BLOCKS)
        (s3,) = sidecar_s3.register_sources(Config.of(settings))
        assert pictures(s3) == wanted
    needed = sorted(ranges)
    ranges.clear()
    with cloud({f"images/{IMAGE}": content}, tmp_path) as source:
        assert pictures(source) == wanted
        assert isinstance(source, Closing)
        source.close()
    assert sorted(ranges) == needed
    assert sum(size_of(each) for each in ranges) < len(content) / 2
