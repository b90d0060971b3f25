"""Plugins that break their contracts, under them. `test_contracts_catch.py` runs these in a pytest of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from sidecar.plugin import BucketSettings, EncoderFactory, Native, Size
from sidecar.plugin.remote import BucketSource
from sidecar.testing.contracts.bucket import OBJECTS, BucketContract, Buckets
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.contracts.encoder import EncoderContract
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, gradient, on_disk
from sidecar.testing.object_store import ObjectStore, Reply, Request
from tests.unit.testing import buckets, decoders, encoders


class Gradients(DecoderContract):
    """A sample large enough to show memory and time, and a file of which one half cannot be read."""

    samples: ClassVar = {"large": lambda _: MemoryBlob("a.gradient", gradient(1024, 1024, levels=2))}
    nasties: ClassVar = {"half": lambda _: MemoryBlob("b.gradient", gradient(64, 64, channels=1, levels=1))}


class TestSaysNothing(Gradients):
    """An estimate of 0."""

    decoder = decoders.Decoder(decoders.SaysNothing)


class TestDecodesAll(Gradients):
    """An estimate that holds for the whole level, and not for a tile of it."""

    decoder = decoders.Decoder(decoders.DecodesAll)


class TestFetches(Gradients):
    """More bytes fetched than announced."""

    samples: ClassVar = {"large": lambda _: MemoryBlob("a.gradient", gradient(64, 64, levels=2) + bytes(100_000))}
    decoder = decoders.Decoder(decoders.Fetches)


class TestRepeatsItself(Gradients):
    """A description that names two things alike."""

    decoder = decoders.Decoder(decoders.RepeatsItself)


class TestKeepsGil(Gradients):
    """A native call that keeps the GIL."""

    decoder = decoders.Decoder(decoders.KeepsGil)


class TestBlocksOpen(Gradients):
    """A slow call in the event loop."""

    @classmethod
    def make(cls, native: Native) -> decoders.Decoder:
        """Make it without the native threads."""
        del native
        return decoders.Decoder(decoders.Reader, library=decoders.slow_library)


class TestReadsFileItself(Gradients):
    """A file read in the event loop."""

    decoder = decoders.ReadsFileItself()

    @staticmethod
    def _written(folder: Path) -> MemoryBlob:
        path = folder / "a.gradient"
        path.write_bytes(gradient(64, 64) + bytes(100_000))
        return on_disk(path)

    samples: ClassVar = {"large": _written}


class TestNotReentrant(Gradients):
    """A region kept while greenlets switch."""

    decoder = decoders.Decoder(decoders.NotReentrant)


class TestUnsafeThreads(Gradients):
    """A scratch area that threads share."""

    decoder = decoders.Decoder(decoders.UnsafeThreads)


class TestDropsIcc(Gradients):
    """A profile that the file has and the reader does not."""

    decoder = decoders.Decoder(decoders.Reader)
    profiles: ClassVar = {"large": decoders.PROFILE}


class TestFailsForGood(Gradients):
    """A reader that an error breaks."""

    decoder = decoders.Decoder(decoders.FailsForGood)


class TestPassesOthers(Gradients):
    """Tiles and tolerant windows that show something else."""

    decoder = decoders.Decoder(decoders.PassesOthers)


class _Blind(GradientDecoder):
    answer = False

    def recognizes(self, head: bytes) -> bool:
        """Return the same for all."""
        del head
        return self.answer


class _Credulous(_Blind):
    answer = True


class TestBlind(Gradients):
    """A decoder that recognizes nothing."""

    decoder = _Blind()


class TestCredulous(Gradients):
    """A decoder that recognizes everything."""

    decoder = _Credulous()


class TestHidingTiff(EncoderContract):
    """A whole picture kept in native memory."""

    factory: ClassVar[EncoderFactory] = encoders.HidingTiff()
    largest_side = encoders.LARGEST_WEBP


class TestHidingInPython(EncoderContract):
    """A whole picture kept in arrays."""

    factory: ClassVar[EncoderFactory] = encoders.HidingInPython()
    largest_side = encoders.LARGEST_WEBP


class TestHidingWebp(EncoderContract):
    """A WebP encoder that promises the memory of a streaming one."""

    factory: ClassVar[EncoderFactory] = encoders.HidingWebp()
    largest_side = encoders.LARGEST_WEBP
    tolerance = 12
    greys = False
    large = Size(1600, 1200)


class TestEarlyEnd(EncoderContract):
    """An encoder that ends pictures whose last row is missing."""

    factory: ClassVar[EncoderFactory] = encoders.EarlyEnd()
    largest_side = encoders.LARGEST_WEBP


class Clouds(BucketContract):
    """A store that takes one key, and a source made of parts."""

    refusals: ClassVar = [(404, "NoSuchBucket")]
    wrong_key: ClassVar = {"key": "mistyped"}
    key_refused = "403 AccessDenied"
    section: ClassVar[type[buckets.CloudSettings]] = buckets.CloudSettings
    api: ClassVar[type[buckets.CloudApi]] = buckets.CloudApi
    kind: ClassVar[type[BucketSource]] = BucketSource

    @pytest.fixture
    def buckets(self) -> Iterator[Buckets]:
        """Buckets at the store."""

        def guarded(request: Request, reply: Reply) -> Reply:
            if request.headers["authorization"] == "right":
                return reply
            return Reply(403, body=b"<Error><Code>AccessDenied</Code></Error>")

        def settings(**more: object) -> BucketSettings:
            given = {"endpoint": cloud.url, "bucket": "images", "key": "right", "attempts": 2, "freshness": 0}
            return self.section.model_validate({**given, **more})

        with ObjectStore(OBJECTS) as cloud:
            cloud.mischief = guarded
            yield Buckets(cloud, settings, buckets.plugin(self.section, self.api, self.kind))


class TestOneAttempt(Clouds):
    """Failures do not pass."""

    section = buckets.OneAttempt


class TestLargeBlocks(Clouds):
    """More bytes asked for than need be."""

    section = buckets.LargeBlocks


class TestNoPrefix(Clouds):
    """A prefix that is left out."""

    section = buckets.NoPrefix


class TestNoLookup(Clouds):
    """A lookup that is left out."""

    section = buckets.NoLookup


class TestOpenToAll(Clouds):
    """A bucket that no setting names."""

    section = buckets.OpenToAll


class TestBucketOfItsOwn(Clouds):
    """A bucket by default."""

    section = buckets.BucketOfItsOwn


class TestAnyKey(Clouds):
    """Requests for objects that cannot be."""

    section = buckets.AnyKey


class TestAnyEndpoint(Clouds):
    """An address that cannot be."""

    section = buckets.AnyEndpoint


class TestShowsKey(Clouds):
    """A secret that is shown."""

    section = buckets.ShowsKey


class TestAnyNotFound(Clouds):
    """A bucket that is missing, and answered as an object that is."""

    api = buckets.AnyNotFound


class TestUnconditional(Clouds):
    """Ranges of any version."""

    api = buckets.Unconditional


class TestHidesFailures(Clouds):
    """A store that fails, and is answered for."""

    kind = buckets.HidesFailures
