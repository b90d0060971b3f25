"""The source `gcs` at fake-gcs-server. Skipped without it: `make clouds` builds it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import sidecar_gcs
from sidecar_gcs.settings import GcsSettings

from sidecar.plugin import ByteRange, Config, Source, SourceChanged
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.contracts.source_case import content_of
from tests.clouds.emulators import FAKE_GCS_SERVER, FakeGcsServer, fake_gcs_server

pytestmark = pytest.mark.skipif(not FAKE_GCS_SERVER, reason="there is no fake-gcs-server, see `make clouds`")
_numbers = count()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcsServer]:
    """One for all tests."""
    with fake_gcs_server(tmp_path_factory.mktemp("gcs")) as emulator:
        emulator.make("private")
        emulator.put("private/page.jp2", b"private")
        yield emulator


@pytest.fixture
def bucket(emulator: FakeGcsServer) -> str:
    """An empty bucket."""
    name = f"images-{next(_numbers)}"
    emulator.make(name)
    return name


def source_of(emulator: FakeGcsServer, bucket: str) -> Source:
    """The source that the plugin registers."""
    given = GcsSettings(endpoint=emulator.address, bucket=bucket, anonymous=True, attempts=1, freshness=0)
    (source,) = sidecar_gcs.register_sources(Config.of(given))
    return source


class TestFakeGcsServer(SourceContract):
    """The contract of all sources."""

    @pytest.fixture
    def store(self, emulator: FakeGcsServer, bucket: str) -> Store:
        """A bucket, with another beside it."""
        outside = ["gs://private/page.jp2", "../private/page.jp2", "/private/page.jp2"]
        return Store(source_of(emulator, bucket), lambda name, body: emulator.put(f"{bucket}/{name}", body), outside)


def test_an_object_that_changes(emulator: FakeGcsServer, bucket: str) -> None:
    """The emulator passes over If-Match: what comes is told from what was opened by its ETag, before a byte is used."""
    emulator.put(f"{bucket}/page.jp2", bytes(200_000))
    source = source_of(emulator, bucket)
    blob = source.find("page.jp2")
    assert blob is not None
    assert blob.last_modified is not None
    emulator.put(f"{bucket}/page.jp2", b"\1" * 200_000)
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(150_000, 160_000)])
    again = source.find("page.jp2")
    assert again is not None
    assert content_of(again) == b"\1" * 200_000
