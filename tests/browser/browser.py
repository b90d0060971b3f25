"""Headless Chromium, as it is installed on this machine, and what a test wants to know of the pages it shows."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, sync_playwright

from tests.nginx.peers import HOST

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MILLISECONDS: Final = 60_000
"""That something may take to appear, on a machine with much else to do."""
LIKE_OTHERS: Final = "tbody tr:nth-child(n+5)"
"""Rows that are made as those above them: axe takes its time for each."""
VIEW: Final[ViewportSize] = {"width": 1000, "height": 800}


def chromium() -> str:
    """Return the path of the browser; empty if none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), "")


@contextmanager
def started() -> Iterator[Browser]:
    """Run the browser. Chromium's own sandbox does not work as root."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, what it asked for, and what it complained about."""

    page: Page
    port: int
    requested: list[str] = field(default_factory=list)
    """Paths, as they were sent."""
    elsewhere: list[str] = field(default_factory=list)
    """URLs that are not of the sidecar."""
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to listen."""
        self.page.set_default_timeout(MILLISECONDS)
        self.page.on("request", self._note)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, target: str) -> None:
        """Go to a page of the sidecar."""
        self.page.goto(f"http://{HOST}:{self.port}{target}")

    def view(self, identifier: str, panes: int = 1) -> None:
        """Open an image in the viewer, and wait until it is drawn."""
        self.open(f"/sidecar/viewer?id={identifier}")
        self.page.wait_for_selector(f'#stage[data-ready="{panes}"]')
        self.drawn()

    def drawn(self) -> None:
        """Wait until every tile that is wanted is drawn."""
        # Later than the next frame: what has just been clicked may want tiles then.
        self.page.wait_for_timeout(150)
        self.page.wait_for_selector(".pane[aria-busy=true]", state="detached")

    def tiles(self, base: str) -> list[str]:
        """Return what was asked for of an image, but for info.json and small pictures: region and size."""
        parts = [path.removeprefix(f"{base}/") for path in self.requested if path.startswith(f"{base}/")]
        return ["/".join(part.split("/")[:2]) for part in parts if part.endswith("/0/default.jpg") and "!" not in part]

    def picture(self, selector: str) -> Image.Image:
        """Return what an element looks like."""
        return Image.open(io.BytesIO(self.page.locator(selector).first.screenshot())).convert("RGB")

    def violations(self) -> Sequence[str]:
        """Return what axe finds wrong with the page for people who do not see, or not well."""
        found = Axe().run(self.page, {"exclude": [LIKE_OTHERS]}, {"resultTypes": ["violations"]}).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    def _note(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.port != self.port:
            self.elsewhere.append(request.url)
        self.requested.append(parts.path)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)
