"""Files for tests: codestreams made by opj_compress, and JP2 files built around them box by box."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import Blob, ImageReader, Pixels, Rect
from sidecar.testing.reading import pixels_of
from sidecar_jp2.format.rounding import ceil_div

SIGNATURE = struct.pack(">I4s4s", 12, b"jP  ", b"\r\n\x87\n")
Step = tuple[int, int]
"""XRsiz and YRsiz of a component."""


def planes(size: tuple[int, int], steps: Sequence[Step], depth: int = 8, seed: int = 0) -> list[NDArray[np.uint16]]:
    """Return (rows, columns) samples from 0 to 2**depth - 1 per component of a (width, height) image: noisy waves."""
    random, most = np.random.default_rng(seed), (1 << depth) - 1
    made = []
    for index, (dx, dy) in enumerate(steps):
        y, x = np.mgrid[: ceil_div(size[1], dy), : ceil_div(size[0], dx)]
        waves = (np.sin(x / (7 + index)) + np.cos(y / (5 + index)) + 2) / 4
        made.append(np.clip((waves + random.normal(0, 0.05, x.shape)) * most, 0, most).astype(np.uint16))
    return made


def compress(
    samples: Sequence[NDArray[np.uint16]],
    size: tuple[int, int],
    steps: Sequence[Step],
    *options: str,
    depth: int = 8,
    signed: bool = False,
) -> bytes:
    """Encode planes with opj_compress and some of its options; `signed` samples are in two's complement."""
    layout = ":".join(f"{dx}x{dy}" for dx, dy in steps)
    form = f"{size[0]},{size[1]},{len(samples)},{depth},{'s' if signed else 'u'}@{layout}"
    kind = ">u1" if depth <= 8 else ">u2"  # noqa: PLR2004  # bits of a byte
    with tempfile.TemporaryDirectory() as folder:
        raw, made = Path(folder, "in.raw"), Path(folder, "out.j2k")
        raw.write_bytes(b"".join(plane.astype(kind).tobytes() for plane in samples))
        command = ["opj_compress", "-i", str(raw), "-o", str(made), "-F", form, *options]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # fixed words and numbers
        return made.read_bytes()


def picture(size: tuple[int, int], *options: str, steps: Sequence[Step] = ((1, 1),) * 3, depth: int = 8) -> bytes:
    """Return a codestream of a test image; see `planes` and `compress`."""
    return compress(planes(size, steps, depth), size, steps, *options, depth=depth)


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box (ITU-T T.800 I.4)."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def ihdr(components: int = 3, size: tuple[int, int] = (1, 1), depth: int = 8) -> bytes:
    """Return an image header box for (width, height). This plugin uses SIZ instead; other readers compare the two."""
    return box(b"ihdr", struct.pack(">IIHBBBB", size[1], size[0], components, depth - 1, 7, 0, 0))


def colr(enumerated: int) -> bytes:
    """Return a colour specification box for an enumerated colour space."""
    return box(b"colr", struct.pack(">BBBI", 1, 0, 0, enumerated))


def profile(icc: bytes) -> bytes:
    """Return a colour specification box with an ICC profile."""
    return box(b"colr", b"\x02\x00\x00" + icc)


def cdef(*rows: tuple[int, int, int]) -> bytes:
    """Return a channel definition box with rows of (channel, type, association)."""
    return box(b"cdef", struct.pack(">H", len(rows)) + b"".join(struct.pack(">HHH", *row) for row in rows))


def pclr(entries: Sequence[Sequence[int]], depths: Sequence[int]) -> bytes:
    """Return a palette box of unsigned values."""
    widths = [ceil_div(depth, 8) for depth in depths]
    values = b"".join(value.to_bytes(width) for entry in entries for value, width in zip(entry, widths, strict=True))
    return box(b"pclr", struct.pack(">HB", len(entries), len(depths)) + bytes(depth - 1 for depth in depths) + values)


def cmap(*rows: tuple[int, int, int]) -> bytes:
    """Return a component mapping box with rows of (component, type, column)."""
    return box(b"cmap", b"".join(struct.pack(">HBB", *row) for row in rows))


def ftyp(brand: bytes = b"jp2 ") -> bytes:
    """Return a file type box."""
    return box(b"ftyp", brand + bytes(4) + brand)


def jp2(codestream: bytes, *header: bytes) -> bytes:
    """Return a JP2 file with the given boxes in its jp2h."""
    return SIGNATURE + ftyp() + box(b"jp2h", b"".join(header)) + box(b"jp2c", codestream)


def exif(orientation: int, order: Literal["<", ">"] = ">", form: Literal["H", "I"] = "H") -> bytes:
    """Return EXIF with one tag (TIFF 6.0 section 2), as SHORT or LONG and in either byte order."""
    name, kind = (b"II" if order == "<" else b"MM"), (3 if form == "H" else 4)
    entry = struct.pack(f"{order}HHI", 274, kind, 1) + struct.pack(order + form, orientation).ljust(4, b"\0")
    return name + struct.pack(f"{order}HIH", 42, 8, 1) + entry + bytes(4)


def xmp(orientation: str, *, element: bool = False) -> bytes:
    """Return an XMP packet (ISO 16684-1) with `tiff:Orientation` as an attribute or an element."""
    attribute, content = f' tiff:Orientation="{orientation}"', f"<tiff:Orientation>{orientation}</tiff:Orientation>"
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f"{'' if element else attribute}>{content if element else ''}</rdf:Description>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def read(reader: ImageReader[Any], blob: Blob, level: int = 0, region: Rect | None = None) -> Pixels:
    """Read one window as the core does, in this thread; without a region, the whole level."""
    size = reader.info.levels[level].size
    window = reader.window(level, region or Rect(0, 0, size.width, size.height))
    return pixels_of(reader, window, blob.read(window.ranges))
