"""Numbers of tags (TIFF 6.0, its supplements, and makers' own), and what they may say."""

from __future__ import annotations

from typing import Final

SUBFILE: Final = 254
WIDTH: Final = 256
LENGTH: Final = 257
BITS_PER_SAMPLE: Final = 258
COMPRESSION: Final = 259
PHOTOMETRIC: Final = 262
DESCRIPTION: Final = 270
MAKE: Final = 271
ORIENTATION: Final = 274
SAMPLES_PER_PIXEL: Final = 277
PLANAR: Final = 284
SOFTWARE: Final = 305
TILE_WIDTH: Final = 322
TILE_LENGTH: Final = 323
TILE_OFFSETS: Final = 324
TILE_BYTES: Final = 325
SAMPLE_FORMAT: Final = 339
JPEG_TABLES: Final = 347
XMP: Final = 700
DEPTH: Final = 32997
ICC: Final = 34675
NDPI: Final = 65420

REDUCED: Final = 1
"""The bit of SUBFILE for a smaller picture of another directory's."""
JPEG: Final = 7
JPEG_2000_YCC: Final = 33003
JPEG_2000_RGB: Final = 33005
GREY: Final = 1
RGB: Final = 2
YCBCR: Final = 6
