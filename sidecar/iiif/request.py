"""An image request: which image, and what of it."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.iiif.identifier import Identifier
from sidecar.iiif.parse import Parameters


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A parsed request for a picture. It knows nothing of HTTP."""

    identifier: Identifier
    parameters: Parameters
