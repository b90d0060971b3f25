"""Versions of native libraries, as they state them, against what their own bindings say."""

from __future__ import annotations

import glymur
import openslide
from PIL import features
from sidecar_turbojpeg.library import load

from sidecar.observability.native_libraries import native_libraries


def test_versions() -> None:
    """OpenSlide, OpenJPEG and libjpeg-turbo have the versions that others read from them."""
    load()
    found = {(each.title, each.version) for each in native_libraries()}
    assert ("OpenSlide", openslide.__library_version__) in found
    assert ("OpenJPEG", glymur.version.openjpeg_version) in found
    assert any(title == "libjpeg-turbo" and version.count(".") >= 2 for title, version in found)


def test_several_of_one_kind() -> None:
    """A package's own copy is listed beside that of the system, by its file's name."""
    assert features.check("jpg")
    files = [each.file for each in native_libraries() if each.title == "libjpeg-turbo"]
    assert len(files) == len({*files}) >= 2
