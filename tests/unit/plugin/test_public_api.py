"""The public API for plugins: its names, and that each of them is described."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Final

import pytest

from sidecar import plugin
from sidecar.plugin import color, remote

EXPORTED: Final = {
    plugin: (
        "API_VERSION Advice Blob BucketSettings Buffer ByteRange Closing Config CountedCache DecodeError Decoder "
        "Describes EXACT EncodeError EncodedTile Encoder EncoderFactory Fact FileIdentity Folder Frame "
        "FromCantaloupe Grid HasBackground HasProperties HeldFolder HidesErrors HoldsBytes ImageInfo ImageReader "
        "Indexes KeepsBytes Learns Level ListsImages LocalFile LookupSettings Malformed MayLose Names Native "
        "NeedsWholePicture NotesImages OpensAssociatedImages Pixels Rect RemoteSettings RowGuard SIGNATURE_BYTES "
        "Section SidecarError Size Source SourceChanged SourceError SourceTimeout SpansFiles StartError StoreState "
        "SupportsCheck SupportsEncodedTiles SupportsGathering SupportsLocalFile SupportsThreads SupportsTolerance "
        "Tally Tolerance Unsupported VisitsImages Window hookimpl in_background local_file pixel_side run_inline "
        "thread_lock working_on"
    ),
    color: "shared_profile to_srgb",
    remote: (
        "BucketSource Client HttpOrigin Opening Place Places RangedTransport RemoteObjects RemoteSettings Response "
        "RetryPolicy Token Tokens Transient Transport Version blob_at is_plain is_private names_private places_of "
        "refused REDIRECTS"
    ),
}
"""Removing or renaming one of these breaks plugins: it takes another API_VERSION and a line in the changelog."""


@pytest.mark.parametrize("module", EXPORTED, ids=lambda module: module.__name__)
def test_exactly_these_names_are_public(module: ModuleType) -> None:
    """A public module exports the names listed here, and each of them exists."""
    assert sorted(module.__all__) == sorted(EXPORTED[module].split())
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_public_class_and_method_is_described() -> None:
    """Each public class, method and function of the API has a docstring of more than a few words."""
    undescribed = []
    for name in plugin.__all__:
        value = getattr(plugin, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("sidecar."):
            continue
        members = vars(value).items() if inspect.isclass(value) else ()
        methods = [(f"{name}.{key}", each) for key, each in members if not key.startswith("_")]
        for label, part in [(name, value), *methods]:
            described = isinstance(part, property) or callable(part)
            if described and len((inspect.getdoc(part) or "").split()) < 3:
                undescribed.append(label)
    assert undescribed == []


@pytest.mark.parametrize("name", ["Frame", "Grid", "ImageInfo", "Level", "Window", "EncodedTile"])
def test_values_are_keyword_only(name: str) -> None:
    """No field of a value can be given by position, so that fields can be added without breaking a plugin."""
    kinds = {parameter.kind for parameter in inspect.signature(getattr(plugin, name)).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
