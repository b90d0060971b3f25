"""The exceptions of a comparison."""

from __future__ import annotations


class ComparisonError(Exception):
    """The comparison cannot be made; the text is shown to the operator."""


class UnreadableImage(Exception):
    """The bytes are not a complete image that Pillow can decode."""
