"""No secret gets into the log: queries, credentials in URLs, and headers that authenticate."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import sys
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observability.logging import configure, log, standard_library
from sidecar.observability.redaction import redacted

HIDDEN: Final = "s3cr3t"
LINES: Final = [
    "/iiif/3/a.jp2/info.json?token=s3cr3t",
    "/iiif/3/a.jp2/info.json?s3cr3t",
    "GET /iiif/3/a.jp2/info.json?X-Amz-Signature=s3cr3t&b=1 HTTP/1.1",
    "http: a redirect to https://files.example/a.jp2?sig=s3cr3t&se=2026",
    "Failed to parse: https://user:s3cr3t@files.example:99999/a",
    "Failed to parse: https://s3cr3t@files.example/a",
    "https%3A%2F%2Fuser%3As3cr3t%40files.example%2Fa.jp2",
    "/iiif/3/https%3A%2F%2Ffiles.example%2Fa.jp2%3Fsig%3Ds3cr3t/info.json",
    "/iiif/3/https%253A%252F%252Ffiles.example%252Fa.jp2%253Fsig%253Ds3cr3t/info.json",
    "a.jp2?sig=s3cr3t",
    "?sv=2026&sig=s3cr3t",
    "https://user:p%2Fs3cr3t@files.example/a",
    "https://a:s3cr3t@b:s3cr3t@c/x and https://s3cr3t@d?s3cr3t",
    "Authorization: Basic s3cr3t",
    "{'authorization': 'Bearer s3cr3t', 'accept': '*/*'}",
    "{'Cookie': 's3cr3t=1'}",
    "Invalid header: ('COOKIE', 'session=s3cr3t; a=b')",
    "Proxy-Authorization: Digest username=x, response=s3cr3t",
    "X-Amz-Security-Token: s3cr3t",
    "sent Bearer s3cr3ts3cr3t",
]
PLAIN: Final = [
    "rotation: 12 is not a multiple of 90 degrees",
    "is this an image?",
    "no image has the identifier 'a%3Fb.jp2'",
    "/iiif/3/a%2Fb%20c.jp2/0,0,512,512/512,/0/default.jpg",
    "a@b.jp2",
    "/iiif/3/folder@2x%40home.jp2/info.json",
    "the basic things",
]


@pytest.mark.parametrize("line", LINES)
def test_secrets_are_left_out(line: str) -> None:
    """Whatever carries a secret goes, and the rest of the line is still there to read."""
    assert HIDDEN not in redacted(line)
    assert "*" in redacted(line)


@pytest.mark.parametrize("line", PLAIN)
def test_everything_else_stays(line: str) -> None:
    """Question marks and at signs of other kinds are part of the text."""
    assert redacted(line) == line


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is logged, as it is written."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure("debug")
    return stream


@pytest.mark.parametrize("line", LINES)
def test_every_way_into_the_log_is_covered(written: io.StringIO, line: str) -> None:
    """Fields, nested ones, and exceptions with their causes, of the sidecar's own logger."""
    error = ValueError(f"around {line}")
    error.__cause__ = OSError(line)
    log.error(line, path=line, nested={"list": [line, 1]}, other=error, exc_info=error)
    content: dict[str, Any] = json.loads(written.getvalue())
    assert HIDDEN not in written.getvalue()
    assert "ValueError" in content["exception"]


def test_messages_of_libraries_are_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with arguments: gunicorn shows request lines and headers that it refuses."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logging.config.dictConfig({**standard_library("info"), "root": {"level": "WARNING", "handlers": []}})
    try:
        logging.getLogger("gunicorn.error").warning("Invalid request from ip=%s: %s", "::1", LINES[2])
    finally:
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    assert HIDDEN not in stream.getvalue()
    assert "/iiif/3/a.jp2/info.json?*" in stream.getvalue()


@pytest.mark.parametrize(
    "piece",
    ["/", "?", "@", "://", "://@", "%3F", "%3a%2f%2f", "%25", "%2525253f=", "basic ", "cookie", "authorization ' "],
)
def test_nothing_takes_long(piece: str) -> None:
    """Lines hold what strangers send: a long one of any kind takes no time that anybody notices."""
    for end in ("", "@", "?", "=", " cookie"):
        redacted(piece * (200_000 // len(piece)) + end)


@given(st.text("ab:/?=@%25234fFaA '\n", max_size=60))
def test_any_text_can_be_redacted(text: str) -> None:
    """Nothing raises, and what was redacted once stays as it is."""
    once = redacted(text)
    assert redacted(once) == once
