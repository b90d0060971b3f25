"""Decoders that keep the contract pass it, the optional powers included."""

from __future__ import annotations

from typing import ClassVar

from sidecar.plugin import Decoder, Native
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.fakes import MemoryBlob, gradient
from tests.unit.testing import decoders


class TestGreedy(DecoderContract):
    """A decoder that takes megabytes and says so."""

    samples: ClassVar = {"large": lambda _: MemoryBlob("a.gradient", gradient(1024, 1024, levels=2))}
    nasties: ClassVar = {"cut": lambda _: MemoryBlob("cut.gradient", gradient(64, 64)[:12])}
    decoder: ClassVar[Decoder] = decoders.Decoder(decoders.Greedy)


class Small(DecoderContract):
    """Samples and nasties of a few pixels."""

    samples: ClassVar = {"small": lambda _: MemoryBlob("a.gradient", gradient(150, 100, levels=2))}
    nasties: ClassVar = {"half": lambda _: MemoryBlob("b.gradient", gradient(64, 64, channels=1, levels=1))}


class TestSlowLibrary(Small):
    """A decoder whose library takes long in native threads, and releases the GIL. Its images have a profile."""

    nasties: ClassVar = {"cut": lambda _: MemoryBlob("cut.gradient", gradient(64, 64)[:12])}
    profiles: ClassVar = {"small": decoders.PROFILE}

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make it with these threads."""
        return decoders.Decoder(decoders.Described, native, decoders.slow_library)


class TestFailsOnce(Small):
    """A decoder that fails for one half of a file and reads the other."""

    decoder: ClassVar[Decoder] = decoders.Decoder(decoders.FailsOnce)


class TestPassesTiles(Small):
    """A reader with stored tiles and tolerant windows."""

    nasties: ClassVar = {"cut": lambda _: MemoryBlob("cut.gradient", gradient(64, 64)[:12])}
    decoder: ClassVar[Decoder] = decoders.Decoder(decoders.PassesTiles)
    tile_tolerance = 0


def test_a_library_that_releases_the_gil() -> None:
    """A slow read in which other threads go on keeps the contract."""
    blob = MemoryBlob("a.gradient", gradient(1, 1, levels=1))
    contract = TestPassesTiles()
    contract.test_read_lets_other_threads_go_on(decoders.Decoder(decoders.ReleasesGil).open(blob), blob)
