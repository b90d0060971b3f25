"""Targets of text that strangers write: URLs, request headers, responses of origins, Cantaloupe's configuration."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import falcon
import falcon.testing
from urllib3 import HTTPHeaderDict

from sidecar.cantaloupe.delegate_script import examine
from sidecar.cantaloupe.properties import Properties, parse
from sidecar.errors import BadRequest, SidecarError
from sidecar.http.client import raw_target
from sidecar.http.conditional import matches, matches_any, unmodified
from sidecar.iiif import parse as grammar
from sidecar.iiif.canonical import canonical
from sidecar.iiif.geometry import measure
from sidecar.iiif.identifier import decode
from sidecar.iiif.uri import public_uri
from sidecar.plugin import ByteRange, LookupSettings, Size
from sidecar.plugin.location_rules import LocationRule
from sidecar.remote.http_client import Response
from sidecar.remote.http_ranges import RangedTransport
from sidecar.remote.lookup_service import LookupService
from sidecar.remote.transport import Transient, Version
from tests.fuzz.target import Target

FORMATS: Final = ("jpg", "png")
SIZES: Final = (Size(1, 1), Size(1023, 767), Size(100_000, 7))
URI: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_~-]+/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
BLANK: Final = "".join(map(chr, range(0x21)))
"""What Java trims."""
HEAD: Final = 64
"""Bytes that an object is opened with."""


def read_identifier(content: bytes) -> None:
    """Decode an identifier as it stands in a URL; what it names can be written so that it is read as the same."""
    found = decode(content.decode("latin-1"))
    again = decode(quote(found.name, safe=""), delimiter="")
    assert again.name == found.name
    assert 0 < found.scale <= 1


def read_path(content: bytes) -> None:
    """Parse and measure the parameters of a request; its canonical path means the same, and is its own.

    That holds of what can be asked for again: a region that rounds to nothing cannot.
    """
    region, size, rotation, last = (content.decode("utf-8", "replace").split("/") + [""] * 4)[:4]
    for version in (2, 3):
        try:
            request = grammar.parse(version, region, size, rotation, last, FORMATS)
        except SidecarError:
            continue
        for image in SIZES:
            _measure(request, version, image)


def _measure(request: grammar.Parameters, version: int, image: Size) -> None:
    try:
        found = measure(request, image, max_scale=0, max_pixels=0)
    except SidecarError:
        return
    region, size = found.region, found.size
    assert 0 <= region.x < region.right <= image.width
    assert 0 <= region.y < region.bottom <= image.height
    assert size.width > 0
    assert size.height > 0
    text = canonical(request, found)
    shown, sized, turned, last = text.split("/")
    again = grammar.parse(version, shown, sized, turned, last, FORMATS)
    assert measure(again, image, max_scale=0, max_pixels=0) == found, text
    assert canonical(again, found) == text


def read_headers(content: bytes) -> None:
    """Build the URI of an image from request headers, and compare validators: no header gets into a response as is."""
    headers = dict(_headers(content))
    environment = falcon.testing.create_environ(path="/iiif/3/a.jp2", headers=headers)
    environment["RAW_URI"] = headers.get("Target", "/")
    request = falcon.Request(environment)
    assert raw_target(request).startswith("/")
    matches(request, '"a"')
    matches_any(request)
    unmodified(request, datetime(2024, 1, 1, tzinfo=UTC))
    uri = public_uri(3, "a.jp2", headers)
    assert URI.fullmatch(uri), uri


def _headers(content: bytes) -> Generator[tuple[str, str], None, None]:
    for line in content.decode("latin-1").splitlines():
        name, separator, value = line.partition(":")
        if separator and re.fullmatch("[A-Za-z-]+", name):
            yield name, value.strip()


@dataclass
class Origin:
    """An origin whose every response is the same: a line with the status, headers, an empty line, the body."""

    content: bytes
    responses: int = field(default=0)

    @contextmanager
    def get(self, key: str, headers: Mapping[str, str]) -> Generator[Response, None, None]:
        """Respond, whatever is asked for."""
        del key, headers
        head, _, body = self.content.partition(b"\n\n")
        first, _, rest = head.partition(b"\n")
        self.responses += 1
        yield cast("Response", _Response(int(first) if first[:3].isdigit() and len(first) == 3 else 206, rest, body))

    def is_absent(self, status: int, code: str) -> bool:
        """Take 404 for a proof."""
        del code
        return status == 404

    def close(self) -> None:
        """Have no connections."""


class _Response:
    """As much of a response as is read."""

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status, self.headers = status, HTTPHeaderDict(_headers(head))
        self._body = BytesIO(body)

    def read(self, amount: int) -> bytes:
        return self._body.read(amount)


def read_response(content: bytes) -> None:
    """Open and read an object of an origin that may lie; whatever is returned has the length asked for."""
    transport = RangedTransport("origin", cast("Any", Origin(content)))
    try:
        opened = transport.open("key", HEAD, None)
        if opened is not None and opened.head:
            assert len(opened.head) == min(HEAD, opened.version.size)
        version = opened.version if opened else Version(1000, '"a"')
        wanted = ByteRange(10, 30)
        if version.size >= wanted.stop:
            assert len(b"".join(transport.fetch("key", version, wanted, 7))) == wanted.length
    except Transient:
        return


def read_lookup(content: bytes) -> None:
    """Take the answer of a lookup service for a place, as a redirect and as JSON; places are texts, and not empty."""
    refusals: list[SidecarError] = []
    asked = ((), ("url",), ("a.0.b", "c"))
    for fields in asked:
        settings = LookupSettings(lookup_url="https://host/{identifier}", lookup_fields=fields)
        try:
            place = LookupService("origin", cast("Any", Origin(content)), settings).ask("a")
        except Transient:
            continue
        except SidecarError as refusal:
            refusals.append(refusal)
            continue
        assert place is None or (all(place) and len(place) == max(1, len(fields)))
    if len(refusals) == len(asked):
        raise refusals[0]


def read_rule(content: bytes) -> None:
    """Parse a rule and match it; its parts are pieces of the identifier. Raises BadRequest if it is none."""
    text, _, identifier = content.decode("utf-8", "replace").partition("\n")
    try:
        rule = LocationRule.parse(text)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    parts = rule.match(identifier)
    assert parts is None or all(part and part in identifier for part in parts.values() if identifier)


def read_script(content: bytes) -> None:
    """Examine a delegate script; what is added to it takes away nothing that was found."""
    text = content.decode("utf-8", "replace").replace("__END__", "")
    found = examine(None, text)
    more = examine(None, f"{text}\n=begin\n=end\ndef authorize(options = {{}})\n  x\nend\n")
    assert {*found.overridden} <= {*more.overridden} >= {"authorize"}
    assert not more.only_looks_up


def read_properties(content: bytes) -> None:
    """Read a configuration file of Cantaloupe, and every key as each kind of value."""
    pairs = parse(content.decode("utf-8", "replace"), Path("cantaloupe.properties"))
    found = Properties([pairs], {})
    for key in found.keys:
        assert key == key.strip(BLANK)
        found.text(key)
        found.flag(key, default=True)
        found.whole(key, 1)
        assert isinstance(found.real(key, 1.0), float)


def refused(content: bytes) -> None:
    """Read a path whose every form must be understood or be a bad request. Raises BadRequest."""
    if not content:
        raise BadRequest("nothing")
    read_path(content)


def _lines(*lines: str) -> bytes:
    return "\n".join(lines).encode()


TARGETS: Final = (
    Target(
        "identifier",
        read_identifier,
        lambda: [b"a.jp2", b"a%2Fb%20c.jp2;1;1:2", b"%C3%A9+%2B.svs", b"a;1:2", b"..%2Fa%00"],
        words=(b"%2F", b"%00", b"%C3%A9", b";1", b";1:2", b"..", b"%", b"%25", b"%ff", b"%5C", b"%E2%80%AE", b"+"),
    ),
    Target(
        "path",
        refused,
        lambda: [
            b"full/max/0/default.jpg",
            b"square/^200,/!90/gray.png",
            b"1,2,30,40/pct:50/180/bitonal.jpg",
            b"pct:1.5,2,30,40.25/!10,20/270/color.png",
            b"0,0,1,1/full/0/default.jpg",
            b"full/,7/0/default.jpg",
            b"0,0,512,512/256,256/0/default.jpg",
        ],
        words=(
            *(b"full", b"square", b"max", b"pct:", b"^", b"!", b",", b"/", b".", b"0.5", b"99.99999", b"90", b"360"),
            *(b"default", b"gray", b"bitonal", b"color", b".jpg", b".png", b"9999999999", b"e1", b"\xd9\xa1", b"767"),
        ),
    ),
    Target(
        "headers",
        read_headers,
        lambda: [
            _lines("Host: images.example.org:8080", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example"),
            _lines("Host: [::1]", "X-Forwarded-Port: 443", "X-Forwarded-Path: /a/b", "X-Forwarded-ID: b%2Fc"),
            _lines('If-None-Match: W/"a", "b", *', "If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT"),
            _lines("Target: http://a/b?c", "If-None-Match: *"),
        ],
        words=(
            *(b"Host:", b"X-Forwarded-Proto:", b"X-Forwarded-Host:", b"X-Forwarded-Port:", b"X-Forwarded-Path:"),
            *(b"X-Forwarded-ID:", b"If-None-Match:", b"If-Modified-Since:", b"Target:", b"https", b"://", b"[::1]"),
            *(b'"', b"W/", b"*", b"GMT", b"\n", b"%0d%0a", b"<>", b"@", b"\xff"),
        ),
    ),
    Target(
        "responses",
        read_response,
        lambda: [
            _lines("206", "Content-Range: bytes 0-63/1000", "Content-Length: 64", 'ETag: "a"', "", "x" * 64),
            _lines("206", "Content-Range: bytes 10-29/1000", 'ETag: "a"', "", "x" * 20),
            _lines("200", "Content-Length: 40", "Last-Modified: Mon, 06 May 2024 07:08:09 GMT", "", "x" * 40),
            _lines("416", "Content-Range: bytes */0", "", ""),
            _lines("503", "Retry-After: 120", "", "<Error><Code>SlowDown</Code></Error>"),
            _lines("429", "Retry-After: Mon, 06 May 2024 07:08:09 GMT", "", ""),
        ],
        words=(
            *(
                b"206\n",
                b"200\n",
                b"404\n",
                b"416\n",
                b"503\n",
                b"Content-Range: bytes ",
                b"Content-Length: ",
                b"ETag:",
            ),
            *(b'"a"', b"W/", b"Last-Modified:", b"Retry-After: ", b"Content-Encoding: gzip", b"*/", b"/1000", b"0-63"),
            *(b"10-29", b"-1", b"999999999999999999", b"\n\n", b"<Code>", b"</Code>", b"inf", b"1e400"),
        ),
    ),
    Target(
        "lookups",
        read_lookup,
        lambda: [
            _lines("302", "Location: https://files.example.org/a.jp2", "", ""),
            _lines("200", "", '{"url": "https://files.example.org/a.jp2"}'),
            _lines("200", "", '{"a": [{"b": "bucket"}], "c": "key"}'),
            _lines("404", "", ""),
        ],
        words=(
            *(b"302\n", b"200\n", b"404\n", b"503\n", b"Location: ", b"https://", b"//", b"[::1]", b"@", b"\\", b"\0"),
            *(b'{"url":', b'{"a":[', b'"b"', b"null", b"NaN", b"1e999", b'"\\ud800"', b"[[[[", b"}", b"]", b"\xff"),
        ),
    ),
    Target(
        "rules",
        read_rule,
        lambda: [
            b"scans:{name*} -> https://host/{name}.jp2\nscans:a/b",
            b"{a:2}{b:2}{rest} -> {a}/{b}/{identifier}\nabcdef",
            b"{a*}-{b}/{c}.x -> {c}\na-b-c/d.x",
        ],
        words=(
            b" -> ",
            b"{a}",
            b"{a*}",
            b"{b:2}",
            b"{identifier}",
            b"{",
            b"}",
            b"*",
            b":",
            b"/",
            b"-" * 40,
            b"\n",
            b"[",
        ),
    ),
    Target(
        "scripts",
        read_script,
        lambda: [
            b"class CustomDelegate\n  def authorize(options = {})\n    true\n  end\n  def source; 'x'; end\nend\n",
            b"=begin\ndef authorize\n=end\ndef redactions(o = {}) = []\ninclude Auth # mixed in\n",
        ],
        words=(
            *(
                b"def authorize",
                b"def source",
                b"(options = {})",
                b"\nend\n",
                b"; end",
                b"true",
                b"nil",
                b"[]",
                b"=begin\n",
            ),
            *(
                b"=end\n",
                b"#",
                b"return ",
                b"private ",
                b"self.",
                b"method_missing",
                b"class A < B",
                b"\r",
                b"\xe2\x80\xa8",
            ),
        ),
    ),
    Target(
        "properties",
        read_properties,
        lambda: [
            _lines("# Cantaloupe", "http.port = 8182", "max_pixels: 1000", "a.b = \\\\\\x", "extends = b.properties"),
            _lines("!x", "endpoint.iiif.2.enabled=true", "empty =", "empty = 2", "number = +1.5e3", "= 1"),
        ],
        words=(b"=", b":", b"#", b"!", b"\\", b"\n", b"true", b"1e999", b"extends = ", b"\xe2\x80\xa8", b"\0", b"\r"),
    ),
)
