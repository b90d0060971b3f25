"""The IIIF's own validator (https://github.com/IIIF/image-validator) through nginx: level 2, and what is optional.

Its picture is a lossless JP2 of a hundred squares in known colours. What is not the sidecar's goes through nginx to
@cantaloupe, where the sidecar stands in and says itself what is wrong, as it does for `make run`.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Nginx, Sidecar

# python-magic needs a library of the system as soon as it is imported; only format_jp2 and format_pdf use it.
sys.modules.setdefault("magic", ModuleType("magic"))
from iiif_validator import validator  # noqa: E402  # after the line above

IDENTIFIER: Final = "validator-squares.jp2"
VERSIONS: Final = ("2.0", "3.0")
FORMATS: Final = ("jpg", "png")

_CANTALOUPE: Final = "optional, and Cantaloupe's: no encoder of the sidecar makes it"
SKIPPED: Final[Mapping[str, str]] = {
    "format_gif": _CANTALOUPE,
    "format_tif": _CANTALOUPE,
    "format_jp2": "the validator's own fault: it calls urllib.urlopen, which Python 3 has not",
    "format_pdf": "the validator's own fault: it calls urllib.urlopen, which Python 3 has not",
    "format_webp": "the validator's own fault: it calls urllib.urlopen, which Python 3 has not",
    "linkheader_profile": "optional; the only link that Cantaloupe gives with a picture is the canonical one",
    "rot_full_non90": "optional, and Cantaloupe's: the sidecar turns by quarters",
    "rot_region_non90": "optional, and Cantaloupe's: the sidecar turns by quarters",
    "size_up": "optional; Cantaloupe's sample configuration has max_scale = 1, which the sidecar heeds",
}
"""Tests that are not run, and why."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, logs: list[Path]) -> Iterator[int]:
    """Where nginx listens, with the sidecar behind it and again in Cantaloupe's place."""
    home = tmp_path_factory.mktemp("validators")
    (home / "images").mkdir()
    _squares(home / "images" / IDENTIFIER)
    sidecar = Sidecar(home, f'workers = 1\n[filesystem]\nroot = "{home / "images"}"\n')
    logs.append(sidecar.process.log)
    with Nginx(home / "nginx", sidecar.port, sidecar.port) as nginx:
        logs.append(nginx.process.log)
        yield nginx.port
    sidecar.stop()


def _squares(path: Path) -> None:
    """The validator's picture: ten columns of ten squares, each of 100 by 100 pixels."""
    columns = np.array(validator.ValidationInfo().colorInfo, np.uint8)
    pixels = columns.swapaxes(0, 1).repeat(100, axis=0).repeat(100, axis=1)
    Image.fromarray(pixels).save(path.with_suffix(".ppm"))
    command = ["opj_compress", "-i", str(path.with_suffix(".ppm")), "-o", str(path), "-n", "4", "-t", "256,256"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class _Api(validator.ImageAPI):  # type: ignore[misc]  # the package has no types
    """The validator's client, whose pictures are of `format` if the test names none."""

    def __init__(self, port: int, version: str, default_format: str) -> None:
        super().__init__(IDENTIFIER, f"{HOST}:{port}", f"iiif/{version[0]}", version=version, debug=False)
        self._format = default_format

    def make_url(self, params: Mapping[str, str]) -> str:
        """The URL of a picture."""
        return str(super().make_url({"format": self._format, **params}))


def _every() -> list[Any]:
    """Each test for each version, once for pictures of each format."""
    return [
        pytest.param(name, version, default_format, id=f"{name}-{version}-{default_format}", marks=_marks(name))
        for version in VERSIONS
        for name in sorted(validator.TestSuite(validator.ValidationInfo()).list_tests(version))
        for default_format in FORMATS
    ]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(reason=SKIPPED[name])] if name in SKIPPED else []


@pytest.mark.parametrize("name, version, default_format", _every())
def test_validator(port: int, name: str, version: str, default_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service passes the validator's test."""
    monkeypatch.setenv("no_proxy", HOST)  # the validator asks through urllib, which heeds http_proxy
    # The validator draws squares, sizes and nonsense, a few of which are no nonsense: `0123` is a rotation.
    random.seed(f"{name} {version} {default_format}")
    result = _Api(port, version, default_format)
    validator.TestSuite(validator.ValidationInfo()).run_test(name, result)
    error = result.exception
    assert error is None, f"{error.type}: {error.got}, not {error.expected}. {error.message} {result.urls}"


def test_nothing_of_level_2_is_skipped() -> None:
    """What levels 0 to 2 ask for is validated without exception, and the table names no test that is not there."""
    listed = {
        name: info
        for version in VERSIONS
        for name, info in validator.TestSuite(validator.ValidationInfo()).list_tests(version).items()
    }
    assert len(listed) > 30
    assert {name for name in SKIPPED if name not in listed} == set()
    assert {name: listed[name]["level"] for name in SKIPPED} == dict.fromkeys(SKIPPED, 3)


def test_validator_fails_where_it_should(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator sees a picture that is not its own: its colours are compared, not only its status."""
    monkeypatch.setenv("no_proxy", HOST)
    result = _Api(port, "3.0", "png")
    info = validator.ValidationInfo()
    info.colorInfo = [[(0, 0, 0)] * 10] * 10
    random.seed(0)
    validator.TestSuite(info).run_test("region_pixels", result)
    assert result.exception is not None
    assert result.exception.type == "color"


def test_sidecar_answers(port: int) -> None:
    """It is the sidecar that answers for the picture, behind nginx: info.json offers all that the pair can."""
    answer = ask(port, f"/iiif/3/{IDENTIFIER}/info.json")
    assert answer.status == 200
    assert '"rotationArbitrary"' in answer.text
