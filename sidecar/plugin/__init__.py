"""The public API of the sidecar: everything that a plugin may import, and nothing else is public.

`sidecar.plugin.remote` adds what sources need whose bytes come over a network, `sidecar.testing` the contract suites.
"""

from __future__ import annotations

from typing import Final

from sidecar.errors import (
    DecodeError,
    EncodeError,
    Malformed,
    SidecarError,
    SourceChanged,
    SourceError,
    SourceTimeout,
    StartError,
    Unsupported,
)
from sidecar.observability.counted import CountedCache, Tally
from sidecar.plugin.associated import HasProperties, OpensAssociatedImages, SpansFiles
from sidecar.plugin.buckets import BucketSettings
from sidecar.plugin.decoder import (
    SIGNATURE_BYTES,
    Decoder,
    EncodedTile,
    Grid,
    HoldsBytes,
    ImageInfo,
    ImageReader,
    Level,
    MayLose,
    SupportsEncodedTiles,
    SupportsGathering,
    SupportsThreads,
    SupportsTolerance,
    Window,
)
from sidecar.plugin.description import Advice, Describes, Fact, Learns
from sidecar.plugin.encoder import Encoder, EncoderFactory, Frame, HidesErrors, NeedsWholePicture, RowGuard
from sidecar.plugin.files import FileIdentity, HeldFolder, LocalFile
from sidecar.plugin.folders import Folder
from sidecar.plugin.geometry import Buffer, ByteRange, Pixels, Rect, Size
from sidecar.plugin.hooks import hookimpl
from sidecar.plugin.indexing import Indexes, StoreState
from sidecar.plugin.lookup import LookupSettings
from sidecar.plugin.pixel_side import pixel_side
from sidecar.plugin.settings import Config, FromCantaloupe, Names, RemoteSettings, Section
from sidecar.plugin.source import (
    Blob,
    Closing,
    KeepsBytes,
    ListsImages,
    Source,
    SupportsCheck,
    SupportsLocalFile,
    VisitsImages,
    local_file,
)
from sidecar.plugin.threads import (
    HasBackground,
    Native,
    NotesImages,
    in_background,
    run_inline,
    thread_lock,
    working_on,
)
from sidecar.plugin.tolerance import EXACT, Tolerance

API_VERSION: Final = 1
"""The version of this API. A plugin declares the one it was written for: `SIDECAR_API = 1`."""

__all__ = [
    "API_VERSION",
    "EXACT",
    "SIGNATURE_BYTES",
    "Advice",
    "Blob",
    "BucketSettings",
    "Buffer",
    "ByteRange",
    "Closing",
    "Config",
    "CountedCache",
    "DecodeError",
    "Decoder",
    "Describes",
    "EncodeError",
    "EncodedTile",
    "Encoder",
    "EncoderFactory",
    "Fact",
    "FileIdentity",
    "Folder",
    "Frame",
    "FromCantaloupe",
    "Grid",
    "HasBackground",
    "HasProperties",
    "HeldFolder",
    "HidesErrors",
    "HoldsBytes",
    "ImageInfo",
    "ImageReader",
    "Indexes",
    "KeepsBytes",
    "Learns",
    "Level",
    "ListsImages",
    "LocalFile",
    "LookupSettings",
    "Malformed",
    "MayLose",
    "Names",
    "Native",
    "NeedsWholePicture",
    "NotesImages",
    "OpensAssociatedImages",
    "Pixels",
    "Rect",
    "RemoteSettings",
    "RowGuard",
    "Section",
    "SidecarError",
    "Size",
    "Source",
    "SourceChanged",
    "SourceError",
    "SourceTimeout",
    "SpansFiles",
    "StartError",
    "StoreState",
    "SupportsCheck",
    "SupportsEncodedTiles",
    "SupportsGathering",
    "SupportsLocalFile",
    "SupportsThreads",
    "SupportsTolerance",
    "Tally",
    "Tolerance",
    "Unsupported",
    "VisitsImages",
    "Window",
    "hookimpl",
    "in_background",
    "local_file",
    "pixel_side",
    "run_inline",
    "thread_lock",
    "working_on",
]
