"""Requests found in lists of URLs and in access logs."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from sidecar_compare.errors import ComparisonError
from sidecar_compare.requests import Request, parse, read

IMAGE = "/iiif/3/a%2Fb.jp2/0,0,512,512/256,/0/default.jpg"


def _logged(request: str) -> str:
    return f'203.0.113.9 - - [23/Nov/2026:10:00:00 +0000] "{request}" 200 1234 "https://example.org/" "Mozilla/5.0"'


@pytest.mark.parametrize(
    "line, expected",
    [
        (IMAGE, Request("GET", IMAGE)),
        (f"https://images.example.org{IMAGE}", Request("GET", IMAGE)),
        (f"https://images.example.org/service{IMAGE}?cache=false#x", Request("GET", f"{IMAGE}?cache=false")),
        (f"HEAD {IMAGE}", Request("HEAD", IMAGE)),
        ("/iiif/2/a.jp2/info.json", Request("GET", "/iiif/2/a.jp2/info.json")),
        ("/iiif/2/a.jp2", Request("GET", "/iiif/2/a.jp2")),
        (_logged(f"GET {IMAGE} HTTP/1.1"), Request("GET", IMAGE)),
        (_logged(f"HEAD {IMAGE} HTTP/2.0"), Request("HEAD", IMAGE)),
        (_logged(r"GET /iiif/2/a\x22b.jp2/info.json HTTP/1.1"), Request("GET", "/iiif/2/a%22b.jp2/info.json")),
        (_logged(f"POST {IMAGE} HTTP/1.1"), None),
        (_logged("GET /favicon.ico HTTP/1.1"), None),
        (_logged("GET /iiif/2/a/b/info.json HTTP/1.1"), None),
        ("/iiif/2/a.jp2/full/max/0", None),
        ("# a comment", None),
        ("", None),
    ],
)
def test_a_line_holds_a_request_or_none(line: str, expected: Request | None) -> None:
    """GET and HEAD of the Image API are found in URLs, paths and log lines; everything else is ignored."""
    assert parse(line) == expected


def test_requests_are_distinct_in_order_and_limited(tmp_path: Path) -> None:
    """Repeated requests count once, the order stays, the limit applies after that, and gzip files are decompressed."""
    plain, packed = tmp_path / "access.log", tmp_path / "access.log.1.gz"
    plain.write_text("\n".join(_logged(f"GET /iiif/2/{name}/info.json HTTP/1.1") for name in "aabca"))
    with gzip.open(packed, "wt") as file:
        file.write(_logged("GET /iiif/2/d/info.json HTTP/1.1"))
    found = read([plain, packed], 0)
    assert [request.target[8] for request in found] == ["a", "b", "c", "d"]
    assert read([plain, packed], 2) == found[:2]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads from standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{IMAGE}\n"))
    assert read([Path("-")], 0) == [Request("GET", IMAGE)]


@pytest.mark.parametrize(
    "name, content", [("missing", None), ("broken.gz", b"no gzip"), ("cut.gz", gzip.compress(b"x", mtime=0)[:-4])]
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    """Missing and broken files raise an error that names them."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ComparisonError, match=name):
        read([path], 0)
