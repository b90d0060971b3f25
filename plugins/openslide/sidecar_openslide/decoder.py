"""From a blob to an opened slide, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Final

from sidecar.plugin import Blob, Grid, ImageInfo, Level, LocalFile, Native, Size, Unsupported, local_file, pixel_side
from sidecar_openslide import tiff
from sidecar_openslide.associated import AssociatedReader
from sidecar_openslide.colours import background, check_profile
from sidecar_openslide.companions import SEVERAL_FILES, SlideFiles
from sidecar_openslide.czi import largest_subblock
from sidecar_openslide.description import SlideDescription
from sidecar_openslide.guarded import GuardedSlide
from sidecar_openslide.library import Library, Slide
from sidecar_openslide.native_tiles import NativeTile, check, check_strips, largest_tile, tile_of
from sidecar_openslide.reader import PIXEL_BYTES, SlideReader
from sidecar_openslide.settings import OpenSlideSettings

# Slides without a regular grid of tiles (MIRAX, Leica, Ventana) are tiled all the same: any piece may be cut.
_NOMINAL: Final = Size(256, 256)
# TIFF 6.0 section 2 and BigTIFF, CZI, VMS, SQLite (what Sakura slides are).
_SIGNATURES: Final = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"ZISRAWFILE",
    b"[Virtual Microscope Specimen]",
    b"SQLite format 3\0",
)
# DICOM PS3.10 section 7.1: the prefix after a preamble.
_DICOM: Final = slice(128, 132)
# Of a level's side: what rounding its size may make beside a pixel.
_UNEVEN: Final = 0.01


class OpenSlideDecoder:
    """Every format that OpenSlide reads, from local files."""

    def __init__(
        self,
        library: Library,
        suffixes: Iterable[str],
        native: Native,
        *,
        max_tile_pixels: int = OpenSlideSettings().max_tile_pixels,
    ) -> None:
        self._library = library
        self._native = native
        self._max_tile_pixels = max_tile_pixels
        self.kept_bytes = library.cache_bytes
        """The most that OpenSlide's cache of decoded tiles takes, of all slides together."""
        self.suffixes = frozenset(suffix.lower().lstrip(".") for suffix in suffixes)

    name: Final = "openslide"

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file may be a slide: TIFF, DICOM, CZI, VMS or an SQLite database (Sakura)."""
        return head.startswith(_SIGNATURES) or head[_DICOM] == b"DICM"

    def open(self, blob: Blob) -> SlideReader:
        """Open a slide.

        Raises Unsupported if the blob is no local file, no slide, one whose colours might be wrong, or has too many
        tiles; Malformed if its tiles are too large, it names files outside its folder, or it is a TIFF and its
        directories are broken; SourceError, SourceChanged.
        """
        file = _local(blob)
        before = _known_before(blob)
        opened = self._opened(blob, file)
        with ExitStack() as unless_whole:
            unless_whole.callback(opened.close)
            slide = opened.slide
            directories = before or _directories(blob, slide.properties)
            if slide.properties.get("openslide.vendor") == "generic-tiff" and directories:
                _check_samples(directories[0])
            tile = largest_tile(slide, directories, largest_subblock(blob))
            check(tile, self._max_tile_pixels, blob.size, blob.name)
            described = SlideDescription.of(slide.properties, directories, tile)
            reader = SlideReader(
                opened, describe(slide, tile), background(slide.properties), self._again(opened), described
            )
            unless_whole.pop_all()
        return reader

    def open_associated(self, blob: Blob, name: str) -> AssociatedReader | None:
        """Open an image that a slide holds beside its own, see OpensAssociatedImages.

        Raises as `open`.
        """
        file = _local(blob)
        before = _known_before(blob)
        with closing(self._opened(blob, file)) as opened:
            slide = opened.slide
            directories = before or _directories(blob, slide.properties)
            tile = largest_tile(slide, directories)
            check(tile, self._max_tile_pixels, blob.size, blob.name)
            check_strips(directories, blob.name)
            again = self._again(opened)
            return AssociatedReader.of(slide, name, again, self._max_tile_pixels, tile.pixel_bytes)

    def companions(self, blob: Blob) -> str:
        """Return the state of a slide's other files, see SpansFiles. Raises as `open`."""
        file = local_file(blob) if blob.name.rpartition(".")[2].lower() in SEVERAL_FILES else None
        return self._native(partial(SlideFiles.find, file)).state if file else ""

    def _opened(self, blob: Blob, file: LocalFile) -> GuardedSlide:
        try:
            return self._native(partial(GuardedSlide, self._library, file))
        except Unsupported:
            _check_structure(blob)
            raise

    def _again(self, opened: GuardedSlide) -> Callable[[], GuardedSlide]:
        """Return what opens a slide once more. It raises SourceChanged if one of its files is another by now."""
        return partial(GuardedSlide, self._library, opened.files.main, opened.files)


def _local(blob: Blob) -> LocalFile:
    """Return the file behind a blob. Raises Unsupported if it has none."""
    file = local_file(blob)
    if file is None:
        raise Unsupported("OpenSlide reads local files only: slides of its formats in a bucket need a mount")
    return file


def _known_before(blob: Blob) -> Sequence[Mapping[int, Sequence[int]]]:
    """Return the directories of a BigTIFF before OpenSlide opens it, so that one of all too many tiles is not opened.

    None of other files: Hamamatsu's beyond 4 GB begin as classic TIFFs do, and only OpenSlide tells them apart. Raises
    Unsupported, Malformed, SourceError.
    """
    structure = tiff.recognise(blob)
    return [*structure.directories()] if structure and structure.big else ()


def _directories(blob: Blob, properties: Mapping[str, str]) -> Sequence[Mapping[int, Sequence[int]]]:
    """Return the directories of a TIFF, none of other files. Raises Malformed, SourceError."""
    # Hamamatsu's NDPI beyond 4 GB is no TIFF as the standard has it; OpenSlide states how large its tiles are.
    if properties.get("openslide.vendor") == "hamamatsu":
        return ()
    structure = tiff.recognise(blob)
    return [*structure.directories()] if structure else ()


def _check_structure(blob: Blob) -> None:
    """Keep broken TIFFs from being handed over: OpenSlide refuses them in the same words as those of other kinds."""
    structure = tiff.recognise(blob)
    for _ in structure.directories() if structure else ():
        pass


def _check_samples(directory: Mapping[int, Sequence[int]]) -> None:
    """Accept only those tiled TIFFs that look the same in any reader: 8 bit grey, RGB and YCbCr, upright.

    OpenSlide makes 8 bit RGB of all others too, by libtiff's TIFFRGBAImage, which ignores profiles.
    """
    plain = (
        {*directory.get(tiff.BITS_PER_SAMPLE, (1,))} == {8}
        and directory.get(tiff.PHOTOMETRIC, (0,))[0] in {1, 2, 6}
        and directory.get(tiff.SAMPLES_PER_PIXEL, (1,))[0] in {1, 3}
        and directory.get(tiff.ORIENTATION, (1,))[0] == 1
        and directory.get(tiff.SAMPLE_FORMAT, (1,))[0] == 1
    )
    if not plain:
        raise Unsupported("a tiled TIFF of another kind than 8 bit grey, RGB or YCbCr")


def describe(slide: Slide, tile: NativeTile) -> ImageInfo:
    """Return what a slide is. Raises Unsupported if its profile is not one of RGB, or a level shows something else."""
    check_profile(slide.icc)
    if not all(map(partial(_reduces, slide.sizes[0]), slide.sizes, slide.downsamples)):
        raise Unsupported("a slide whose levels are not of one shape")
    tiles = [tile_of(slide.properties, index) for index in range(len(slide.sizes))]
    return ImageInfo(
        size=slide.sizes[0],
        channels=3,
        levels=tuple(
            _level(size, downsample, grid or _NOMINAL, tile.bytes)
            for size, downsample, grid in zip(slide.sizes, slide.downsamples, tiles, strict=True)
        ),
        tile=tiles[0],
        icc=slide.icc,
        pixel_micrometres=_pixel_micrometres(slide.properties),
    )


def _pixel_micrometres(properties: Mapping[str, str]) -> float | None:
    """Return the side of a pixel. A tiled TIFF of no scanner's maker may state a resolution that nobody measured."""
    across, down = (_number(properties.get(f"openslide.mpp-{axis}", "")) for axis in ("x", "y"))
    return pixel_side(across, down, measured=properties.get("openslide.vendor") != "generic-tiff")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _reduces(full: Size, size: Size, downsample: float) -> bool:
    """Report whether both sides are as long as the downsample says: OpenSlide takes the mean of the two directions."""
    sides = ((size.width, full.width), (size.height, full.height))
    return all(abs(side - whole / downsample) <= 1 + _UNEVEN * side for side, whole in sides)


def _level(size: Size, downsample: float, grid: Size, tile_bytes: int) -> Level:
    return Level(
        size=size,
        downsample=downsample,
        grid=Grid(width=grid.width, height=grid.height),
        fixed_bytes=tile_bytes,
        pixel_bytes=PIXEL_BYTES,
    )
