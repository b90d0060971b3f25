"""What `SIDECAR_JP2_INDEX_URL` needs beside the plugin, and how it may be written."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest
import sidecar_jp2
from pydantic import ValidationError
from sidecar_jp2.keeping import kept_images
from sidecar_jp2.settings import Jp2Settings

from sidecar.plugin import Config, StartError, run_inline


@pytest.mark.parametrize("url, extra", [("s3://bucket/prefix", "s3"), ("redis://host/0", "redis")])
def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, url: str, extra: str) -> None:
    """It is said which extra to install, whatever asks first: a decoder, or the sandbox for folders."""
    beginnings = ("sidecar_s3", "redis", "sidecar_jp2.store.redis_store")
    for name in ("sidecar_s3", "redis", *(name for name in sys.modules if name.startswith(beginnings))):
        monkeypatch.setitem(sys.modules, name, None)
    config = Config.of(Jp2Settings.model_validate({"index_url": url}))
    with pytest.raises(StartError, match=rf"iiif-sidecar-jp2\[{extra}\]"):
        kept_images(config, run_inline)
    with pytest.raises(StartError) if extra == "s3" else nullcontext():
        assert not [*sidecar_jp2.register_folders(config)]


@pytest.mark.parametrize(
    "url", ["redis://user:pass/word@host/0", "redis://user:pass#word@host/0", "redis://host:99999/0"]
)
def test_a_password_that_is_not_encoded(url: str) -> None:
    """It is found at start, and no part of it is in the reason."""
    with pytest.raises(ValidationError) as raised:
        Jp2Settings.model_validate({"index_url": url})
    (problem,) = raised.value.errors()
    assert "%2F" in problem["msg"]
    assert "'pass" not in problem["msg"]
