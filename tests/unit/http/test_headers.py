"""Validators, conditional requests (RFC 9110 §13) and Content-Disposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, Tolerance
from sidecar.registry import Registry
from sidecar.render.etag import etag
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

MODIFIED: Final = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
THEN: Final = "Mon, 06 May 2024 07:08:09 GMT"
BEFORE: Final = "Mon, 06 May 2024 07:08:08 GMT"
AFTER: Final = "Mon, 06 May 2024 07:08:10 GMT"
TILE: Final = "/iiif/3/x.gradient/0,0,64,64/max/0/default.raw"

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Yield a function that sends a request to a sidecar with one image."""
    native = NativePool(1)
    source = MemorySource(
        {
            "x.gradient": MemoryBlob("x.gradient", gradient(200, 100), MODIFIED),
            "broken.gradient": MemoryBlob("broken.gradient", b"gradient one two\n", MODIFIED),
        }
    )
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    app = create_app(Config.of(Settings()), registry, native)

    def send(path: str = TILE, method: str = "GET", query: str = "", **headers: str) -> falcon.testing.Result:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return falcon.testing.simulate_request(
            app, method, "/", query_string=query, headers=named, extras={"RAW_URI": path}
        )

    yield send
    native.close()


@pytest.mark.parametrize(
    "none_match, since, status",
    [
        ("{tag}", None, 304),
        ("W/{tag}", None, 304),
        ('"other", {tag}', None, 304),
        ('"other"', None, 200),
        ('"other"', AFTER, 200),  # §13.1.3: If-Modified-Since is ignored where If-None-Match is
        ("{tag}", BEFORE, 304),
        ("*", None, 304),
        ("*", BEFORE, 304),
        (None, BEFORE, 200),
        (None, THEN, 304),
        (None, AFTER, 304),
        (None, "yesterday", 200),
        (None, "0", 200),
        (None, None, 200),
        ("not quoted", None, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditional_requests(ask: Ask, method: str, none_match: str | None, since: str | None, status: int) -> None:
    """RFC 9110 §13.2.2 for GET and HEAD: If-None-Match first, by weak comparison, else If-Modified-Since."""
    tag = ask().headers["etag"]
    headers = {} if none_match is None else {"If_None_Match": none_match.format(tag=tag)}
    headers |= {"If_Modified_Since": since} if since else {}
    assert ask(method=method, **headers).status_code == status


@pytest.mark.parametrize("path", [TILE, "/iiif/3/x.gradient/info.json"])
def test_not_modified_says_what_the_answer_would_have(ask: Ask, path: str) -> None:
    """A 304 has Cache-Control, ETag and Vary of the 200 (RFC 9110 §15.4.5), no body and no Content-Type."""
    whole = ask(path)
    answer = ask(path, If_None_Match=whole.headers["etag"])
    assert (answer.status_code, answer.content) == (304, b"")
    kept = ("cache-control", "etag", "vary", "access-control-allow-origin")
    assert {name: answer.headers[name] for name in kept} == {name: whole.headers[name] for name in kept}
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(
    "last", ["900,900,1,1/max/0/default.raw", "full/max/45/default.raw", "full/^900,/0/default.raw"]
)
def test_conditions_do_not_hide_refusals(ask: Ask, last: str) -> None:
    """Conditions are ignored if the response without them would not be a 200 (RFC 9110 §13.2.1)."""
    path = f"/iiif/3/x.gradient/{last}"
    plain = ask(path).status_code
    assert plain >= 400
    assert ask(path, If_Modified_Since=AFTER).status_code == plain
    assert ask(path, If_None_Match="*").status_code == plain


@pytest.mark.parametrize(
    "path, status",
    [
        ("/iiif/3/x.gradient/info.json", 304),
        ("/iiif/3/x.gradient", 303),
        ("/iiif/3/unknown.gradient/info.json", 404),
        (TILE.replace("x.gradient", "unknown.gradient"), 404),
        (TILE.replace("x.gradient", "broken.gradient"), 500),
        (TILE.replace(".raw", ".jpg"), 501),
    ],
)
def test_any_version_is_one_of_an_image_that_there_is(ask: Ask, path: str, status: int) -> None:
    """`If-None-Match: *` is 304 if the response without it were a 200, and changes nothing else (RFC 9110 §13.1.2)."""
    assert ask(path, If_None_Match="*").status_code == status


@pytest.mark.parametrize("host", [{}, {"Host": "no host"}])
def test_any_version_is_refused_with_the_request(ask: Ask, host: dict[str, str]) -> None:
    """A request whose Host is none is 400, whatever its conditions."""
    answer = ask(If_None_Match="*", **host)
    assert answer.status_code == (400 if host else 304)


def test_etags_are_strong_and_tell_answers_apart(ask: Ask) -> None:
    """Each picture of an image has an ETag of its own, the same for every request."""
    paths = [TILE, TILE.replace("64,64/max", "64,64/32,"), TILE.replace("/0/default", "/90/default")]
    tags = [ask(path).headers["etag"] for path in paths * 2]
    assert len(set(tags)) == 3
    assert tags[:3] == tags[3:]
    assert all(tag.startswith('"') for tag in tags)


class LossyDecoder(GradientDecoder):
    """Leaves bits out of what becomes a lossy file."""

    loss = "some"


class LossyFactory(RawEncoderFactory):
    """Hides errors."""

    tolerance = Tolerance(80, "4:2:0")


@pytest.mark.parametrize("decoder", [GradientDecoder, LossyDecoder])
@pytest.mark.parametrize("factory", [RawEncoderFactory, LossyFactory])
@pytest.mark.parametrize("quality", ["default", "bitonal"])
def test_etags_are_weak_where_bits_may_be_lost(
    decoder: type[GradientDecoder], factory: type[RawEncoderFactory], quality: str
) -> None:
    """The ETag of a lossy file is weak if a decoder loses bits (RFC 9110 §8.8.1), others are strong; 304 goes by it."""
    source = MemorySource({"x.gradient": MemoryBlob("x.gradient", gradient(200, 100), MODIFIED)})
    app = create_app(
        Config.of(Settings()), Registry([source], [decoder()], {"raw": factory()}), native := NativePool(1)
    )
    path = TILE.replace("default", quality)
    answer = falcon.testing.simulate_get(app, "/", extras={"RAW_URI": path})
    tag = answer.headers["etag"]
    weak = decoder is LossyDecoder and factory is LossyFactory and quality == "default"
    assert tag.startswith('W/"' if weak else '"')
    again = falcon.testing.simulate_get(app, "/", headers={"If-None-Match": tag}, extras={"RAW_URI": path})
    assert (answer.status_code, again.status_code) == (200, 304)
    assert again.headers["etag"] == tag
    native.close()


parts = st.lists(st.text(max_size=5), min_size=1, max_size=4)


@given(one=parts, other=parts)
def test_etags_of_different_parts_differ(one: list[str], other: list[str]) -> None:
    """Only the same parts in the same order have the same ETag, whatever the texts and their division."""
    blob = MemoryBlob("x", b"")
    assert (etag(blob, *one) == etag(blob, *other)) == (one == other)


@pytest.mark.parametrize(
    "asked, expected",
    [
        ("inline", "inline"),
        ("attachment", "attachment"),
        ('attachment; filename="a.jpg"', 'attachment; filename="a.jpg"'),
        ("attachment;filename=a b.jpg", 'attachment; filename="a b.jpg"'),
        ('inline; filename="a.jpg"\r\nSet-Cookie: a=b', None),
        ('attachment; filename="../a.jpg"', None),
        ('attachment; filename="a".jpg"', None),
        ("form-data", None),
        ("", None),
    ],
)
def test_disposition(ask: Ask, asked: str, expected: str | None) -> None:
    """The two types of RFC 6266 with a plain file name are sent, anything else is left out."""
    query = falcon.uri.encode_value(asked)
    answer = ask(query=f"response-content-disposition={query}")
    assert answer.status_code == 200
    assert answer.headers.get("content-disposition") == expected


@pytest.mark.parametrize("name", ["日本.jpg", "naïve.jpg", "a\u2028b.jpg"])
def test_disposition_can_be_sent(ask: Ask, name: str) -> None:
    """Header fields are sent as US-ASCII (RFC 9110 §5.5): a name outside of it must not break the whole answer."""
    query = falcon.uri.encode_value(f'attachment; filename="{name}"')
    answer = ask(query=f"response-content-disposition={query}")
    assert answer.headers.get("content-disposition", "").isascii()
