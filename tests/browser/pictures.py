"""Makes the pictures of the docs that show the sidecar's own pages.

    python -m tests.browser.pictures

starts a sidecar over a photograph and a slide, shows both in Chromium, and takes the pictures. A second sidecar stands
for Cantaloupe.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from glymur import data
from PIL import Image
from playwright.sync_api import ViewportSize

from tests.browser.browser import Tab, started
from tests.nginx.peers import HOST
from tests.nginx.servers import REPOSITORY, Sidecar

IMAGES: Final = REPOSITORY / "docs" / "images"
VIEW: Final[ViewportSize] = {"width": 1200, "height": 860}
COLOURS: Final = 128
"""Of the status page: it has no photographs, and a palette makes it a third of the size."""


def picture(tab: Tab, **options: Any) -> Image.Image:
    """Return what a tab shows."""
    return Image.open(io.BytesIO(tab.page.screenshot(**options))).convert("RGB")


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "images"
        folder.mkdir()
        shutil.copy(data.nemo(), folder / "nemo.jp2")
        shutil.copy(REPOSITORY / "tests" / "data" / "images" / "slide.svs", folder)
        servers: list[Sidecar] = []
        try:
            url = ""
            for name in ("behind", "alone", "beside"):
                (Path(home) / name).mkdir()
                toml = f'workers = 2\ncantaloupe_url = "{url}"\n[filesystem]\nroot = "{folder}"\n'
                servers.append(Sidecar(Path(home) / name, toml))
                url = f"http://{HOST}:{servers[0].port}" if name == "alone" else ""
            take(servers[1].port, servers[2].port)
        finally:
            for server in servers:
                server.stop()


def take(alone: int, beside: int) -> None:
    """Take the pictures of two sidecars, of which the second has a Cantaloupe."""
    with started() as browser:
        tab = Tab(browser.new_page(viewport=VIEW), alone)
        tab.view("nemo.jp2")
        tab.page.get_by_role("button", name="Zoom in").click()
        tab.drawn()
        picture(tab).save(IMAGES / "viewer.jpg", quality=80)
        tab.view("slide.svs")
        tab.open("/sidecar/")
        picture(tab).quantize(COLOURS).save(IMAGES / "status.png", optimize=True)
        tab = Tab(browser.new_page(viewport=VIEW), beside)
        tab.view("slide.svs", panes=2)
        tab.page.get_by_role("button", name="Zoom in").click()
        tab.drawn()
        picture(tab).save(IMAGES / "beside.jpg", quality=80)


if __name__ == "__main__":
    main()
