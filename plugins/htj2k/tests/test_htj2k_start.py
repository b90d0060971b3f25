"""The start of the plugin, with OpenJPH and without."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest
import sidecar_htj2k
from sidecar_htj2k.settings import Htj2kSettings
from sidecar_jp2.settings import Jp2Settings

from sidecar.plugin import Config, run_inline

CONFIG = Config.of(Htj2kSettings(), Jp2Settings())


def test_it_is_asked_before_jp2() -> None:
    """Decoders are asked by name, and this one's comes before that of the plugin that decodes HTJ2K more slowly."""
    (decoder,) = sidecar_htj2k.register_decoders(CONFIG, run_inline)
    assert decoder.name < "jp2"


@pytest.mark.parametrize("module", [None, SimpleNamespace(), SimpleNamespace(HTJ2K=SimpleNamespace(available=False))])
def test_without_openjph(module: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without imagecodecs, or its OpenJPH, nothing is registered, and a warning says so."""
    monkeypatch.setitem(sys.modules, "imagecodecs", module)  # None: importing it fails
    with caplog.at_level(logging.WARNING):
        assert [*sidecar_htj2k.register_decoders(CONFIG, run_inline)] == []
    assert "imagecodecs" in caplog.text
