"""The error for a structure that is broken, but on which no decoder is known to hang."""

from __future__ import annotations

from sidecar.plugin import DecodeError


class Broken(DecodeError):
    """Boxes or headers break the standard, and OpenJPEG refuses them too.

    The request is handed over. Malformed, which is not, is for what makes decoders hang or take memory without end.
    """
