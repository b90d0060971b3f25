"""The status page and the viewer, as Chromium shows them, with a real sidecar behind."""

from __future__ import annotations

import json
import math
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import openslide
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser.browser import VIEW, Tab, chromium, started
from tests.nginx.peers import HOST, Behaviour, Peer, Request, ask, reply, saying
from tests.nginx.servers import Sidecar, wait_for

pytestmark = pytest.mark.skipif(not chromium(), reason="Chromium is not installed: apt-get install chromium")

JP2: Final = "tiled_512.jp2"
SLIDE: Final = "slide.svs"
SMALL: Final = "tiny_60x40.jp2"
LIST: Final = "section[aria-labelledby=images]"
ALIKE: Final = 12
"""Mean difference of samples up to which two pictures show the same: JPEG, and two ways of scaling."""


@pytest.fixture(scope="module")
def folder(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a JP2, a slide and a very small image."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in (JP2, SLIDE, SMALL):
        shutil.copy(images / name, folder)
    return folder


@pytest.fixture(scope="module")
def sidecar(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar of two workers; the Cantaloupe behind it shows the sidecar's own pictures."""
    with Peer(saying(b"")) as cantaloupe:
        toml = f'cantaloupe_url = "http://{HOST}:{cantaloupe.port}"\n[filesystem]\nroot = "{folder}"\n'
        server = Sidecar(tmp_path_factory.mktemp("home"), f"workers = 2\n{toml}")
        cantaloupe.behaviour = repeating(server.port)
        yield server
        server.stop()


def repeating(port: int) -> Behaviour:
    """Answer as the sidecar does, or that there is no such image."""

    def behave(request: Request, connection: socket.socket) -> bool:
        # With this header the sidecar does not hand over what comes back to it.
        answer = ask(port, request.target, headers={"Via": "1.1 iiif-sidecar"})
        if answer.status == 200:
            connection.sendall(reply(200, answer.body, Content_Type=answer.headers["Content-Type"]))
        else:
            text = f"404 Not Found\n\nCantaloupe shows nothing at {request.target}"
            connection.sendall(reply(404, text.encode(), Content_Type="text/plain"))
        return True

    return behave


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, for all tests of this file."""
    with started() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, sidecar: Sidecar) -> Iterator[Callable[..., Tab]]:
    """Make a tab of a window of its own."""
    contexts = []

    def make(**options: Any) -> Tab:
        contexts.append(browser.new_context(**{"viewport": VIEW, **options}))
        return Tab(contexts[-1].new_page(), sidecar.port)

    yield make
    for context in contexts:
        context.close()


def info_of(sidecar: Sidecar, name: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(ask(sidecar.port, f"/iiif/3/{name}/info.json").body)
    return found


def grid(info: Mapping[str, Any], factor: int) -> set[str]:
    """Every tile that info.json offers at a scale, as the standard has it (IIIF Image API 3.0 §5.4)."""
    tile = info["tiles"][0]
    side, height = tile["width"] * factor, tile.get("height", tile["width"]) * factor
    found = set()
    for x in range(0, info["width"], side):
        for y in range(0, info["height"], height):
            w, h = min(side, info["width"] - x), min(height, info["height"] - y)
            whole = (x, y, w, h) == (0, 0, info["width"], info["height"])
            size = f"{math.ceil(w / factor)},{math.ceil(h / factor)}"
            found.add(f"{'full' if whole else f'{x},{y},{w},{h}'}/{'max' if whole and factor == 1 else size}")
    return found


def reference(folder: Path, name: str, size: tuple[int, int]) -> Image.Image:
    """The whole image by Pillow's OpenJPEG, or by OpenSlide: the sidecar has no part in it."""
    if name == SLIDE:
        with openslide.OpenSlide(folder / name) as slide:
            return slide.get_thumbnail(slide.dimensions).convert("RGB").resize(size)
    with Image.open(folder / name) as picture:
        return picture.convert("RGB").resize(size)


def difference(shown: Image.Image, expected: Image.Image) -> float:
    return float(np.abs(np.asarray(shown, np.int16) - np.asarray(expected, np.int16)).mean())


def framed(page: Tab) -> int:
    """How many pixels of the sidecar's picture have the colour of the frames."""
    colors = np.asarray(page.picture(".pane .openseadragon-canvas"), np.int16)
    return int((np.abs(colors - (0xE0, 0x00, 0x7A)).max(axis=2) < ALIKE).sum())


@pytest.mark.parametrize("name", [JP2, SLIDE])
def test_tiles_appear(tab: Callable[..., Tab], sidecar: Sidecar, folder: Path, name: str) -> None:
    """The viewer draws the whole of a JP2 and of a slide, of tiles that info.json offers, without a complaint."""
    page = tab()
    page.view(name, panes=2)
    info = info_of(sidecar, name)
    pane = page.picture(".pane .openseadragon-canvas")
    scale = min(pane.width / info["width"], pane.height / info["height"])
    size = round(info["width"] * scale), round(info["height"] * scale)
    left, top = (pane.width - size[0]) // 2, (pane.height - size[1]) // 2
    shown = pane.crop((left, top, left + size[0], top + size[1]))
    assert difference(shown, reference(folder, name, size)) < ALIKE
    offered = set().union(*(grid(info, factor) for factor in info["tiles"][0]["scaleFactors"]))
    asked = page.tiles(f"/iiif/3/{name}")
    assert asked
    assert set(asked) <= offered
    assert (page.complaints, page.elsewhere) == ([], [])


@pytest.mark.parametrize("name", [JP2, SLIDE])
def test_zooming_asks_for_the_tiles_of_the_next_scale(tab: Callable[..., Tab], sidecar: Sidecar, name: str) -> None:
    """Zooming in asks for the full-size tiles around the middle, each once, and not for those that are out of sight."""
    page = tab()
    page.view(name, panes=2)
    info = info_of(sidecar, name)
    before = page.tiles(f"/iiif/3/{name}")
    full = grid(info, 1)
    for _ in range(3):
        page.page.get_by_role("button", name="Zoom in").click()
        page.drawn()
    after = page.tiles(f"/iiif/3/{name}")
    side, height = info["tiles"][0]["width"], info["tiles"][0].get("height", info["tiles"][0]["width"])
    x, y = info["width"] // 2 // side * side, info["height"] // 2 // height * height
    middle = {tile for tile in full if tile.startswith(f"{x},{y},")}
    assert middle
    assert middle <= set(after)
    assert set(before) < set(after)
    assert not full <= set(after)
    assert len(after) == len(set(after))
    assert page.complaints == []


def test_both_move_together(tab: Callable[..., Tab]) -> None:
    """Cantaloupe's picture is beside the sidecar's, and follows when that is zoomed and moved by keys."""
    page = tab()
    page.view(JP2, panes=2)
    page.page.locator(".pane .openseadragon-canvas").first.focus()
    for key in ("+", "+", "+", "+", "ArrowLeft"):
        page.page.keyboard.press(key)
        page.drawn()
    ours, theirs = page.tiles(f"/iiif/3/{JP2}"), page.tiles(f"/sidecar/cantaloupe/iiif/3/{JP2}")
    assert len(ours) > 4
    assert set(ours) == set(theirs)
    left, right = (page.page.locator(".pane .openseadragon-canvas").nth(place).screenshot() for place in (0, 1))
    assert left[:8] == right[:8]
    assert page.complaints == []


def test_fingers_zoom(tab: Callable[..., Tab]) -> None:
    """On a touch screen a pinch zooms in, and the page itself stays as it is."""
    page = tab(has_touch=True, is_mobile=True)
    page.view(JP2, panes=2)
    before = set(page.tiles(f"/iiif/3/{JP2}"))
    box = page.page.locator(".pane").first.bounding_box()
    assert box
    middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = page.page.context.new_cdp_session(page.page)
    session.send("Input.synthesizePinchGesture", {**middle, "scaleFactor": 4.0, "gestureSourceType": "touch"})
    page.drawn()
    assert set(page.tiles(f"/iiif/3/{JP2}")) > before
    assert page.page.evaluate("visualViewport.scale") == 1


def test_full_screen(tab: Callable[..., Tab]) -> None:
    """The pictures fill the screen, with the buttons, and leave it again."""
    page = tab()
    page.view(SMALL, panes=2)
    button = page.page.get_by_role("button", name="Full screen")
    button.click()
    page.page.wait_for_selector("#stage:fullscreen")
    button.click()
    page.page.wait_for_selector("#stage:fullscreen", state="detached")


def test_a_small_image_is_not_blown_up(tab: Callable[..., Tab], folder: Path) -> None:
    """An image of 60 by 40 pixels is shown pixel for pixel in the middle, and its responses are no larger than it."""
    page = tab()
    page.view(SMALL, panes=2)
    pane = page.picture(".pane .openseadragon-canvas")
    left, top = (pane.width - 60) // 2, (pane.height - 40) // 2
    shown = pane.crop((left + 1, top + 1, left + 59, top + 39))
    expected = reference(folder, SMALL, (60, 40)).crop((1, 1, 59, 39))
    assert difference(shown, expected) < ALIKE
    assert len(pane.crop((2, 2, left - 2, pane.height - 2)).getcolors() or ()) == 1
    page.page.locator(".picture").first.scroll_into_view_if_needed()
    page.page.locator(".picture img").nth(4).wait_for()
    assert page.complaints == []


@pytest.fixture
def broken(folder: Path) -> Iterator[Path]:
    """An image in the folder that is cut off."""
    path = folder / "broken.jp2"
    path.write_bytes((folder / JP2).read_bytes()[:200])
    yield path
    path.unlink()


@pytest.mark.usefixtures("broken")
def test_every_image_of_the_folder_is_listed(tab: Callable[..., Tab], folder: Path) -> None:
    """The list has each image, with a picture of it or with the server's text if there is none."""
    page = tab()
    page.open("/sidecar/viewer")
    listed = page.page.locator(f"{LIST} .picture")
    assert sorted(listed.all_inner_texts()) == sorted(each.name for each in folder.iterdir())
    page.page.locator(f"{LIST} .picture img").nth(2).wait_for()
    text = page.page.locator(f"{LIST} .text").first
    text.wait_for()
    assert "Cantaloupe shows nothing" in text.inner_text()
    assert page.violations() == []


def test_what_fails_is_told(tab: Callable[..., Tab]) -> None:
    """Where a picture does not come, the server's own text stands."""
    page = tab()
    page.open("/sidecar/viewer?id=none.jp2")
    told = page.page.locator("#problems p")
    told.nth(1).wait_for()
    for text in told.all_inner_texts():
        assert "404 Not Found" in text
        assert "none.jp2" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_left_out(tab: Callable[..., Tab], scheme: str) -> None:
    """Axe finds nothing wrong with the viewer and the status page, in light and dark colours."""
    page = tab(color_scheme=scheme)
    page.view(JP2, panes=2)
    page.page.locator(f"{LIST} .picture").last.scroll_into_view_if_needed()
    page.page.locator(f"{LIST} .picture img").nth(2).wait_for()
    assert page.violations() == []
    page.open("/sidecar/")
    if scheme == "light":
        page.page.locator("summary").click()
    assert page.violations() == []
    assert page.page.locator("svg[role=img] rect.decode").count() > 0
    assert (page.complaints, page.elsewhere) == ([], [])


def test_the_status_page_has_every_worker(tab: Callable[..., Tab], sidecar: Sidecar) -> None:
    """Whichever worker answers, all are there, and the requests that each has answered."""
    page = tab()
    for _ in range(20):
        assert ask(sidecar.port, f"/iiif/3/{SMALL}/full/max/0/default.jpg").status == 200

    def shows_all() -> bool:
        page.open("/sidecar/")
        workers = page.page.locator("section[aria-labelledby=workers] tbody th").all_inner_texts()
        return sorted(map(int, workers)) == sorted(sidecar.workers())

    wait_for(shows_all, "the last worker has started")
    assert page.page.locator("section[aria-labelledby=recent] tbody tr").count() >= 20


def test_what_was_handed_over_is_marked(browser: Browser, folder: Path, sidecar: Sidecar, tmp_path: Path) -> None:
    """Tiles by Cantaloupe have a frame, and the line below says how many there are and why; others have none."""
    with Peer(saying(b"")) as cantaloupe:
        cantaloupe.behaviour = repeating(sidecar.port)
        limits = f'cantaloupe_url = "http://{HOST}:{cantaloupe.port}"\nhand_over = "scaled"\n'
        server = Sidecar(tmp_path, f'workers = 1\n{limits}[filesystem]\nroot = "{folder}"\n')
        context = browser.new_context(viewport=VIEW)
        try:
            page = Tab(context.new_page(), server.port)
            page.view(JP2, panes=2)
            said = page.page.locator(".handed")
            assert said.inner_text() == "Handed over to Cantaloupe: 1 of 1 tiles (unsupported)."
            assert framed(page) > 100
            for _ in range(4):
                page.page.get_by_role("button", name="Zoom in").click()
                page.drawn()
            tiles = page.tiles(f"/iiif/3/{JP2}")
            scaled = {*tiles} - grid(info_of(server, JP2), 1)
            assert 1 < len(scaled) < len(tiles)
            assert f" {len(scaled)} of {len(tiles)} tiles " in said.inner_text()
            assert page.complaints == []
        finally:
            context.close()
            server.stop()
