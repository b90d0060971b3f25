"""Buckets of a stand-in under test, and the sources of them."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import ClassVar, Final

import pytest

from sidecar.plugin import BucketSettings, Closing, Config, Source
from sidecar.testing.contracts.source_case import SourceCase, Store
from sidecar.testing.object_store import ObjectStore

OBJECTS: Final[Mapping[str, bytes]] = MappingProxyType(
    {"images/page.jp2": b"page", "shared/page.jp2": b"shared", "private/page.jp2": b"private"}
)
"""What a stand-in holds at first: the bucket that is set, one that identifiers may name if they may, and one more."""
OWN: Final = "images"
OTHER: Final = "shared"


@dataclass(frozen=True)
class Buckets:
    """A stand-in that holds OBJECTS, and how a source of it is made."""

    stand_in: ObjectStore
    settings: Callable[..., BucketSettings]
    """Returns settings of a source of `images`, with credentials that it takes, two attempts and a freshness of 0.
    Keyword arguments are further fields, or others in place of these. Raises pydantic's ValidationError."""
    plugin: ModuleType
    """The module with `register_sources(config)`."""

    @property
    def scheme(self) -> str:
        """What an identifier begins with that names its bucket."""
        return self.settings().scheme

    def named(self, own: str = OWN, others: str = "") -> Mapping[str, object]:
        """Return the fields of the bucket of plain identifiers, and of those that identifiers may name."""
        return dict(zip(self.settings().bucket_fields, (own, others), strict=True))

    def source(self, **more: object) -> Source:
        """Return the source that the plugin registers for some settings."""
        return registered(self.plugin, self.settings(**more))


class BucketCase(SourceCase):
    """What a subclass sets."""

    identifiers: ClassVar[Sequence[str]] = (*SourceCase.identifiers, "a//b.jp2", "-_.~!*'()&@:,$=+ ;.jp2")
    missing_bucket: ClassVar[str] = "NoSuchBucket"
    """The store's word for a bucket that there is not."""
    refusals: ClassVar[Sequence[tuple[int, str]]]
    """Status and code of answers that do not say for sure that there is no object, though some look like that."""
    longest_key: ClassVar[str] = "ü" * 512
    """As long as a key can be."""
    wrong_key: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Fields of the settings with credentials that are well-formed, and refused; empty: the settings hold none."""
    key_refused: ClassVar[str] = ""
    """Status and code of what is answered then."""
    libraries: ClassVar[Sequence[str]] = ("urllib3",)
    """Modules that take memory or time to import, and are imported only if a bucket is set."""

    @pytest.fixture
    def buckets(self) -> Buckets:
        """Return a stand-in and its sources. To be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, buckets: Buckets) -> Store:
        """Return the bucket that is set, with the others beside it."""
        outside = [f"{buckets.scheme}private/page.jp2", f"{buckets.scheme}images/page.jp2"]
        outside += ["../private/page.jp2", "/private/page.jp2"]
        return Store(buckets.source(), lambda key, body: buckets.stand_in.put(f"{OWN}/{key}", body), outside)


def registered(plugin: ModuleType, settings: BucketSettings) -> Source:
    """Return the one source that a plugin registers for settings. It can be closed."""
    source: Source
    (source,) = plugin.register_sources(Config.of(settings))
    assert isinstance(source, Closing)
    return source
