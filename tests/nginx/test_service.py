"""The whole through nginx, as a viewer uses it."""

from __future__ import annotations

import http.client
import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, PATIENCE, ask

BASE = "/iiif/3/tiled_512.jp2"
TILE = f"{BASE}/512,512,512,512/256,/0/default.jpg"
CANTALOUPE = "cantaloupe's answer"


def picture(body: bytes) -> Image.Image:
    """A picture that has been decoded whole."""
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def test_a_tile(stack: Stack) -> None:
    """A tile comes from the sidecar, in the requested size, as a JPEG."""
    answer = ask(stack.port, TILE)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert picture(answer.body).size == (256, 256)
    assert stack.cantaloupe.requests == []


@pytest.mark.parametrize("format_", ["webp", "avif"])
def test_formats_that_cantaloupe_lacks(stack: Stack, format_: str) -> None:
    """WebP and AVIF come from the sidecar, if the URL asks for them: the Accept of a browser changes nothing."""
    target = TILE.replace(".jpg", f".{format_}")
    browser = {"Accept": "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"}
    answer, plain = ask(stack.port, target, headers=browser), ask(stack.port, target)
    assert (answer.status, answer.headers["Content-Type"]) == (200, f"image/{format_}")
    assert picture(answer.body).size == (256, 256)
    assert (answer.body, answer.headers["ETag"]) == (plain.body, plain.headers["ETag"])
    assert ask(stack.port, TILE, headers=browser).headers["Content-Type"] == "image/jpeg"
    assert ask(stack.port, target, "HEAD").headers["ETag"] == answer.headers["ETag"]
    assert stack.cantaloupe.requests == []


@pytest.mark.parametrize("version, key", [("2", "@id"), ("3", "id")])
def test_info_names_the_url_the_client_used(stack: Stack, version: str, key: str) -> None:
    """The identifier in info.json is the URL as the client sees it: nginx's host and port, not the sidecar's."""
    answer = ask(stack.port, f"/iiif/{version}/tiled_512.jp2/info.json")
    info = json.loads(answer.body)
    assert info[key] == f"http://{HOST}:{stack.port}/iiif/{version}/tiled_512.jp2"
    assert (info["width"], info["height"]) == (2000, 1500)


@pytest.mark.parametrize("target", [TILE, f"{BASE}/info.json", f"{BASE}/full/100,/0/default.png"])
def test_head_is_get_without_the_body(stack: Stack, target: str) -> None:
    """HEAD has the headers of GET but those of the body's length."""
    get, head = ask(stack.port, target), ask(stack.port, target, "HEAD")
    assert (head.status, head.body) == (200, b"")
    for answer in (get, head):
        for name in ("Content-Length", "Transfer-Encoding", "Date", "X-Request-Id"):
            del answer.headers[name]
    assert sorted(head.headers.items()) == sorted(get.headers.items())


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "target", [TILE, f"{BASE}/full/max/0/default.jpg", f"{BASE}/full/max/0/default.png", f"{BASE}/info.json"]
)
def test_head_has_the_length_of_get_or_none(stack: Stack, target: str, alone: bool) -> None:  # noqa: FBT001 - a value of a row
    """No length but GET's, of small and of large responses, through nginx and without (RFC 9110 §8.6)."""
    port = stack.sidecar.port if alone else stack.port
    get, head = ask(port, target), ask(port, target, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] in (None, str(len(get.body)))
    assert head.headers["Transfer-Encoding"] is None


def test_any_version_will_do(stack: Stack) -> None:
    """`If-None-Match: *` is 304 for what there is, through nginx; the rest is Cantaloupe's as without it."""
    for target in (TILE, f"{BASE}/full/max/0/default.jpg", f"{BASE}/info.json"):
        answer = ask(stack.port, target, headers={"If-None-Match": "*"})
        assert (answer.status, answer.body) == (304, b"")
    for target in ("/iiif/3/unknown.jp2/info.json", f"{BASE}/5000,0,1,1/max/0/default.jpg"):
        assert ask(stack.port, target, headers={"If-None-Match": "*"}).text == CANTALOUPE


def test_the_base_uri_leads_to_info(stack: Stack) -> None:
    """An identifier alone is answered with 303 and the URL of its info.json."""
    answer = ask(stack.port, BASE)
    assert (answer.status, answer.headers["Location"]) == (303, f"http://{HOST}:{stack.port}{BASE}/info.json")


def test_a_client_that_has_the_answer_is_told_so(stack: Stack) -> None:
    """If-None-Match with the answer's ETag gives 304 without a body, through nginx; another ETag gives the answer."""
    etag = ask(stack.port, TILE).headers["ETag"]
    for method in ("GET", "HEAD"):
        again = ask(stack.port, TILE, method, {"If-None-Match": etag})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert ask(stack.port, TILE, headers={"If-None-Match": '"other"'}).status == 200


def test_connections_are_kept(stack: Stack) -> None:
    """One connection serves answers of every kind, one after the other, each complete."""
    connection = http.client.HTTPConnection(HOST, stack.port, timeout=PATIENCE)
    kinds = [
        (TILE, "GET"),
        (TILE, "HEAD"),
        (BASE, "GET"),
        (f"{BASE}/info.json", "GET"),
        ("/iiif/3/no.jp2/info.json", "GET"),
    ] * 2
    statuses = []
    for target, method in kinds:
        connection.request(method, target)
        sock = connection.sock
        response = connection.getresponse()
        response.read()
        assert connection.sock is sock is not None
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 200, 303, 200, 200] * 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "target",
    [
        "/iiif/3/unknown.jp2/info.json",
        "/iiif/3/sub%2Funknown%2Ejp2/full/max/0/default.jpg?a=%2F",
        f"{BASE}/full/max/0/default.tif",
        f"{BASE}/full/max/400/default.jpg",
        f"{BASE}/nonsense",
        f"{BASE}/full/max/0/",
        "/iiif/3/tiled_512.jp2;2/info.json",
    ],
)
def test_what_is_not_the_sidecars_is_cantaloupes(stack: Stack, method: str, target: str) -> None:
    """Requests that no source, no encoder or no grammar allows are handed over as they came."""
    answer = ask(stack.port, target, method, {"X-Mine": "yes"})
    assert answer.body == (b"" if method == "HEAD" else CANTALOUPE.encode())
    (request,) = stack.cantaloupe.requests
    assert (request.method, request.target, request.headers["x-mine"]) == (method, target, "yes")


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_cantaloupes(stack: Stack, method: str) -> None:
    """Other methods reach Cantaloupe with their body."""
    assert ask(stack.port, f"{TILE}?a=%2F", method, body=b"the body").text == CANTALOUPE
    (request,) = stack.cantaloupe.requests
    assert (request.method, request.target, request.body) == (method, f"{TILE}?a=%2F", b"the body")


@pytest.mark.parametrize(
    "identifier",
    [
        "a%20b.jp2",
        "a+b.jp2",
        "sub%20folder%2Fd%C3%A9j%C3%A0.jp2",
        "sub%20folder%2fd%c3%a9j%c3%a0%2Ejp2",
        "t%69led_512%2Ejp2",
    ],
)
def test_percent_encoding_means_what_it_stands_for(stack: Stack, identifier: str) -> None:
    """An identifier is the same however much of it is encoded, slashes and dots included; `+` is a space there."""
    assert picture(ask(stack.port, f"/iiif/3/{identifier}/full/60,/0/default.jpg").body).width == 60


@pytest.mark.parametrize("identifier", ["sub%20folder%2Fde%CC%81ja%CC%80.jp2", "a%2520b.jp2", "a%2Bb.jp2"])
def test_identifiers_are_decoded_once_and_not_made_equal(stack: Stack, identifier: str) -> None:
    """Neither another Unicode form, nor a second decoding, nor an encoded plus leads to a file."""
    assert ask(stack.port, f"/iiif/3/{identifier}/full/60,/0/default.jpg").text == CANTALOUPE


def test_every_image_is_served_or_handed_over(stack: Stack, folder: Path) -> None:
    """Each recorded image is answered by the sidecar or Cantaloupe, and no worker is lost."""
    workers = stack.sidecar.workers()
    served = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink():
            for rest in ("full/!300,300/0/default.jpg", "square/64,/90/gray.jpg", "full/max/0/default.png"):
                answer = ask(stack.port, f"/iiif/3/{quote(path.name)}/{rest}")
                assert answer.status == 200
                if answer.text != CANTALOUPE:
                    picture(answer.body)
                    served.append(path.name)
    assert len(set(served)) > 10
    assert stack.sidecar.workers() == workers
