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
STRIP_OFFSETS: Final = 273
ORIENTATION: Final = 274
SAMPLES_PER_PIXEL: Final = 277
ROWS_PER_STRIP: Final = 278
STRIP_BYTES: Final = 279
X_RESOLUTION: Final = 282
Y_RESOLUTION: Final = 283
PLANAR: Final = 284
RESOLUTION_UNIT: Final = 296
SOFTWARE: Final = 305
PREDICTOR: Final = 317
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
PLAIN: Final = 1
LZW: Final = 5
JPEG: Final = 7
DEFLATE: Final = 8
OLD_DEFLATE: Final = 32946
PREDICTOR_NONE: Final = 1
PREDICTOR_HORIZONTAL: Final = 2
JPEG_2000_YCC: Final = 33003
JPEG_2000_RGB: Final = 33005
GREY: Final = 1
RGB: Final = 2
YCBCR: Final = 6
