"""The source `azure` at Azurite, Microsoft's emulator of its storage. Skipped without it: `make clouds` installs it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from itertools import count

import pytest
import sidecar_azure
from sidecar_azure.settings import AzureSettings

from sidecar.plugin import ByteRange, Config, Source, SourceChanged, SourceError, SupportsCheck
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.contracts.source_case import content_of
from tests.clouds.emulators import ACCOUNT, AZURITE, KEY, Azurite, azurite

pytestmark = pytest.mark.skipif(not AZURITE, reason="there is no azurite-blob, see `make clouds`")
_numbers = count()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One for all tests."""
    with azurite(tmp_path_factory.mktemp("azurite")) as emulator:
        emulator.make("private")
        emulator.put("private/page.jp2", b"private")
        yield emulator


@pytest.fixture
def container(emulator: Azurite) -> str:
    """An empty container."""
    name = f"images-{next(_numbers)}"
    emulator.make(name)
    return name


def source_of(emulator: Azurite, container: str, **more: object) -> Source:
    """The source that the plugin registers."""
    access = {} if "sas" in more else {"account": ACCOUNT, "account_key": KEY}
    given = {"endpoint": emulator.address, "container": container, "attempts": 1, "freshness": 0, **access, **more}
    (source,) = sidecar_azure.register_sources(Config.of(AzureSettings.model_validate(given)))
    return source


class TestAzurite(SourceContract):
    """The contract of all sources."""

    @pytest.fixture
    def store(self, emulator: Azurite, container: str) -> Store:
        """A container, with another beside it."""
        outside = ["azure://private/page.jp2", "../private/page.jp2", "/private/page.jp2"]
        return Store(
            source_of(emulator, container), lambda name, body: emulator.put(f"{container}/{name}", body), outside
        )


def test_a_blob_that_changes(emulator: Azurite, container: str) -> None:
    """Azurite refuses a range under an earlier If-Match: an error, and the next request finds the new blob."""
    emulator.put(f"{container}/page.jp2", bytes(200_000))
    source = source_of(emulator, container)
    blob = source.find("page.jp2")
    assert blob is not None
    assert blob.last_modified is not None
    assert blob.read([ByteRange(100_000, 100_010)]) == [bytes(10)]
    emulator.put(f"{container}/page.jp2", b"\1" * 200_000)
    with pytest.raises(SourceChanged, match="no longer"):
        blob.read([ByteRange(150_000, 160_000)])
    again = source.find("page.jp2")
    assert again is not None
    assert content_of(again) == b"\1" * 200_000


def test_a_shared_access_signature(emulator: Azurite, container: str) -> None:
    """One with the right to read is enough, also to learn that there is no such blob; one without is refused."""
    emulator.put(f"{container}/page.jp2", b"page")
    source = source_of(emulator, container, sas=emulator.sas("r"))
    blob = source.find("page.jp2")
    assert blob is not None
    assert content_of(blob) == b"page"
    assert source.find("missing.jp2") is None
    with pytest.raises(SourceError, match="403 AuthorizationPermissionMismatch"):
        source_of(emulator, container, sas=emulator.sas("w")).find("page.jp2")


def test_what_is_set_wrong(emulator: Azurite, container: str) -> None:
    """A wrong key and a missing container are errors, not missing blobs."""
    wrong = b64encode(b"mistyped").decode()
    with pytest.raises(SourceError, match="403 AuthorizationFailure"):
        source_of(emulator, container, account_key=wrong).find("page.jp2")
    missing = source_of(emulator, "missing")
    assert isinstance(missing, SupportsCheck)
    with pytest.raises(SourceError, match="404 ContainerNotFound"):
        missing.check()
