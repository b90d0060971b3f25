"""What every decoder must hold: subclass DecoderContract in a test file, give it images, and run pytest.

    class TestPages(DecoderContract):
        samples: ClassVar = {"small": lambda folder: on_disk(IMAGES / "small.page")}
        nasties: ClassVar = {"cut": lambda folder: MemoryBlob("cut.page", SMALL[:1000])}
        profiles: ClassVar = {"small": ADOBE_RGB}

        @classmethod
        def make(cls, native: Native) -> PageDecoder:
            return PageDecoder(native)

Samples should be small, a megapixel or so: each is decoded many times over. Of those below some hundred thousand pixels
neither memory nor threads show much, so one should be larger.
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final
from zlib import crc32

import pytest

from sidecar.plugin import (
    SIGNATURE_BYTES,
    Blob,
    ByteRange,
    DecodeError,
    Malformed,
    Rect,
    SourceChanged,
    SourceError,
    Unsupported,
)
from sidecar.testing.contracts.decoder_case import Make, Reader, pieces, sides, whole
from sidecar.testing.contracts.decoder_concurrency import DecoderConcurrency
from sidecar.testing.contracts.decoder_memory import DecoderMemory
from sidecar.testing.contracts.decoder_pixels import DecoderPixels
from sidecar.testing.contracts.decoder_powers import DecoderPowers
from sidecar.testing.descriptors import all_come_back
from sidecar.testing.fakes import LostBlob, MemoryBlob
from sidecar.testing.reading import read

__all__ = ["DecoderContract", "Make", "Reader", "read"]

_ERRORS: Final = (Unsupported, Malformed, DecodeError, SourceError)
_FAILED: Final = "error"


class DecoderContract(DecoderPixels, DecoderConcurrency, DecoderMemory, DecoderPowers):
    """The laws of `sidecar.plugin.Decoder` and `ImageReader`."""

    def test_name_and_suffixes(self) -> None:
        """Suffixes are lower case and without dots, as the core looks them up."""
        assert self.decoder.name
        assert self.decoder.suffixes
        for suffix in self.decoder.suffixes:
            assert suffix == suffix.lower()
            assert not {*"./"} & {*suffix}

    def test_recognizes(self, blob: Blob) -> None:
        """A sample is recognized by its first bytes, so that it is found without a suffix."""
        (head,) = blob.read([ByteRange(0, min(blob.size, SIGNATURE_BYTES))])
        assert self.decoder.recognizes(bytes(head)) is True

    def test_info(self, reader: Reader) -> None:
        """Levels go from the full size down, and each is as large as its downsample says, give or take a pixel."""
        info = reader.info
        assert info.channels in {1, 2, 3, 4}
        assert info.orientation in range(1, 9)
        assert info.levels[0].size == info.size
        assert info.levels[0].downsample == 1.0
        for finer, coarser in pairwise(info.levels):
            assert finer.downsample < coarser.downsample
            assert finer.size.area >= coarser.size.area
        for level in info.levels:
            # A slide's downsample is the mean of both directions'; its levels are rounded as its scanner pleased.
            for side, full in zip(sides(level), sides(info.levels[0]), strict=True):
                assert abs(side - full / level.downsample) <= 1 + 0.01 * side
            assert level.fixed_bytes >= 0
            assert level.pixel_bytes >= 0
            assert level.coded_bytes >= 0
        assert info.icc is None or info.icc[36:40] == b"acsp", "not an ICC profile (ICC.1:2022 7.2)"
        assert reader.info == info

    def test_profile(self, folder: Path, described: str) -> None:
        """The ICC profile of an image is the one that the class expects, byte for byte."""
        assert described in self.samples
        with closing(self.decoder.open(self.samples[described](folder))) as reader:
            assert reader.info.icc == self.profiles[described]

    def test_windows_are_values(self, reader: Reader, blob: Blob) -> None:
        """A window repeats what was asked, its ranges lie in the blob, and asking again returns an equal one."""
        for index, level in enumerate(reader.info.levels):
            region = Rect(level.size.width // 3, level.size.height // 2, 1, 1)
            window = reader.window(index, region)
            assert (window.level, window.region) == (index, region)
            assert all(0 <= start < stop <= blob.size for start, stop in window.ranges)
            assert reader.window(index, region) == window

    def test_close_twice(self, blob: Blob) -> None:
        """Closing a second time does nothing."""
        reader = self.decoder.open(blob)
        reader.close()
        reader.close()

    def test_descriptors_come_back(self, blob: Blob) -> None:
        """Opened, read and closed readers leave no file open."""

        def use() -> None:
            with closing(self.decoder.open(blob)) as reader:
                read(reader, blob, 0, Rect(0, 0, 1, 1))

        use()
        with all_come_back():
            for _ in range(5):
                use()

    def test_lost_blob(self, blob: Blob) -> None:
        """If the blob has changed since it was found, opening or reading raises SourceChanged; no file stays open."""
        lost = LostBlob(blob)
        with all_come_back(), pytest.raises(SourceChanged):
            self._open_and_read(lost)

    @pytest.mark.parametrize("content", [b"", b"\0", b"text, not an image\n" * 100, b"\xff" * 5000], ids=len)
    def test_something_else(self, folder: Path, content: bytes) -> None:
        """What is no image at all is not recognized, and refused when opened: any suffix, with a path and without."""
        assert self.decoder.recognizes(content[:SIGNATURE_BYTES]) is False
        for suffix in sorted(self.decoder.suffixes):
            path = folder / f"something-else.{suffix}"
            path.write_bytes(content)
            for blob in (MemoryBlob(path.name, content), MemoryBlob(path.name, content, path=path)):
                with pytest.raises((Unsupported, Malformed)):
                    self.decoder.open(blob)

    def test_nasty(self, folder: Path, nasty: str) -> None:
        """A nasty file ends in one of our errors and leaves no file open."""
        blob = self.nasties[nasty](folder)
        with all_come_back(), pytest.raises(_ERRORS):
            self._open_and_read(blob)

    def test_reads_after_an_error(self, folder: Path, nasty: str) -> None:
        """Each part of a nasty file reads the same, or fails the same, after another part has failed."""
        blob = self.nasties[nasty](folder)
        try:
            reader = self.decoder.open(blob)
        except _ERRORS as refused:
            pytest.skip(f"it is refused when it is opened: {refused}")
        with closing(reader):
            alone = {part: self._outcome_alone(blob, *part) for part in _parts(reader)}
            failing = [part for part, outcome in alone.items() if outcome == _FAILED]
            found = {part: _outcome(reader, blob, *part) for part in (*failing, *alone)}
        assert found == alone

    def _outcome_alone(self, blob: Blob, level: int, region: Rect) -> str:
        with closing(self.decoder.open(blob)) as reader:
            return _outcome(reader, blob, level, region)

    def _open_and_read(self, blob: Blob) -> None:
        with closing(self.decoder.open(blob)) as reader:
            for index, level in enumerate(reader.info.levels):
                read(reader, blob, index, whole(level))


def _parts(reader: Reader) -> Iterator[tuple[int, Rect]]:
    for index, level in enumerate(reader.info.levels):
        for region in pieces(level):
            yield index, region


def _outcome(reader: Reader, blob: Blob, level: int, region: Rect) -> str:
    """Return a checksum of the pixels, or that there was an error."""
    try:
        return f"pixels {crc32(read(reader, blob, level, region).tobytes()):08x}"
    except _ERRORS:
        return _FAILED
