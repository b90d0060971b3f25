"""A source of an object store that keeps the contract, and for laws of it one that breaks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field as Setting
from pydantic import model_validator

from sidecar.plugin import Blob, BucketSettings, Config, Names, Source, SourceError
from sidecar.plugin.remote import BucketSource, Client, Response


class CloudSettings(BucketSettings):
    """Buckets of a store, to be derived from."""

    table: ClassVar[str] = "cloud"
    scheme: ClassVar[str] = "cloud://"
    forced: ClassVar[Mapping[str, object]] = {}
    """What is set whatever an operator sets."""

    endpoint: str = Setting("", pattern=r"^(https?://[^/?#@\s\\]+/?)?$")
    bucket: str = Setting("", pattern="^[a-z]*$")
    buckets: Names = ()
    key: str = Setting("", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _forced(cls, given: Mapping[str, object]) -> Mapping[str, object]:
        return {**given, **cls.forced}


class CloudApi:
    """An HttpOrigin, to be derived from."""

    def __init__(self, client: Client, settings: CloudSettings) -> None:
        self._client = client
        self._settings = settings
        self.close = client.close

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask for an object with the key as it is."""
        url = f"{self._settings.endpoint}/{quote(key)}"
        return self._client.get(url, {**headers, "Authorization": self._settings.key})

    def is_absent(self, status: int, code: str) -> bool:
        """Report what the stand-in says of a missing object."""
        return status == HTTPStatus.NOT_FOUND and code == "NoSuchKey"


def plugin(section: type[CloudSettings], api: type[CloudApi], kind: type[BucketSource]) -> ModuleType:
    """Return a plugin of these parts."""

    def register_sources(config: Config) -> Iterable[Source]:
        settings = config.section(section)
        client = Client(settings)
        return [kind.over("cloud", api(client, settings), client, settings)]

    module = ModuleType("cloud")
    vars(module).update(register_sources=register_sources)
    return module


class OneAttempt(CloudSettings):
    """Failures do not pass."""

    forced: ClassVar[Mapping[str, object]] = {"attempts": 1}


class LargeBlocks(CloudSettings):
    """More is fetched than need be."""

    forced: ClassVar[Mapping[str, object]] = {"block_bytes": 2**16}


class NoPrefix(CloudSettings):
    """Identifiers are keys."""

    forced: ClassVar[Mapping[str, object]] = {"path_prefix": ""}


class NoLookup(CloudSettings):
    """Identifiers are keys, too."""

    forced: ClassVar[Mapping[str, object]] = {"lookup": (), "lookup_url": "", "lookup_fields": ()}


class OpenToAll(CloudSettings):
    """Whoever asks may name any bucket."""

    @property
    def named_buckets(self) -> tuple[str, ...]:
        """Return more than is set."""
        return (*self.buckets, "private")


class BucketOfItsOwn(CloudSettings):
    """Plain identifiers lead to a bucket that nobody set."""

    @property
    def own_bucket(self) -> str:
        """Return what is set, or a default."""
        return self.bucket or "images"


class AnyKey(CloudSettings):
    """The store is asked for keys that it cannot hold."""

    @classmethod
    def fits(cls, key: str) -> bool:
        """Report True."""
        del key
        return True


class AnyEndpoint(CloudSettings):
    """A wrong address is found when the first image is asked for."""

    endpoint: str = ""


class ShowsKey(CloudSettings):
    """The key is in what is shown of the settings."""

    key: str = ""


class AnyNotFound(CloudApi):
    """Whatever is not found is taken for a missing object."""

    def is_absent(self, status: int, code: str) -> bool:
        """Report it without the reason."""
        del code
        return status == HTTPStatus.NOT_FOUND


class Unconditional(CloudApi):
    """Ranges are asked for of whatever is there."""

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask without If-Match."""
        return super().get(key, {name: value for name, value in headers.items() if name != "If-Match"})


class HidesFailures(BucketSource):
    """What cannot be read is taken for missing, and nothing is ever wrong."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.kept_bytes = 0

    def find(self, identifier: str) -> Blob | None:
        """Return None if the store fails."""
        try:
            return super().find(identifier)
        except SourceError:
            return None

    def check(self) -> None:
        """Ask nobody."""
