"""The service that says how large a pixel is."""

from __future__ import annotations

from fractions import Fraction

from sidecar.iiif.physical_scale import physical_scale

URI = "https://host/iiif/3/slide.svs"


def test_version_2() -> None:
    """As the annex on services has it: micrometres become millimetres, without what dividing leaves."""
    assert physical_scale(2, URI, 0.499, Fraction(1)) == {
        "@context": "http://iiif.io/api/annex/services/physdim/1/context.json",
        "profile": "http://iiif.io/api/annex/services/physdim",
        "physicalScale": 0.000499,
        "physicalUnits": "mm",
    }


def test_version_3() -> None:
    """In version 3 every service has an id and a type."""
    service = physical_scale(3, URI, 0.25, Fraction(1))
    assert (service["@id"], service["@type"]) == (f"{URI}#physdim", "Service")


def test_scale_constraint() -> None:
    """A pixel of an image that pretends to be four times smaller is four times as large."""
    assert physical_scale(2, URI, 0.499, Fraction(1, 4))["physicalScale"] == 0.001996
