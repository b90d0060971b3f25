"""Rows of a picture on their way into an encoder: every one once, none missing. For plugins that write formats."""

from __future__ import annotations

import numpy as np

from sidecar.errors import EncodeError
from sidecar.model import Frame, Pixels


class RowCount:
    """Holds a frame against the strips that come for it; one for each picture."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.left = frame.size.height
        """Rows still to come."""

    def take(self, strip: Pixels) -> Pixels:
        """The strip as (rows, width, channels) of uint8, C-contiguous with plain strides; copied only if it was not.

        Raises EncodeError where it does not fit the frame or has more rows than are left.
        """
        rows, *rest = strip.shape
        if rest != [self._frame.size.width, self._frame.channels] or strip.dtype != np.uint8:
            raise EncodeError(f"a strip of {strip.shape} {strip.dtype} does not fit {self._frame}")
        if not 0 < rows <= self.left:
            raise EncodeError(f"a strip of {rows} rows came where {self.left} were left")
        self.left -= rows
        # numpy calls an axis of length 1 contiguous whatever its stride; C libraries take that stride as the pitch.
        return np.ascontiguousarray(strip).ravel().reshape(strip.shape)

    def end(self) -> None:
        """Raises EncodeError where rows are missing."""
        if self.left:
            raise EncodeError(f"the picture ended {self.left} rows early")
