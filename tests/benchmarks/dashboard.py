"""Draws the dashboard as Prometheus has its figures: docs/images/dashboard.png. Run it as a module; needs `prometheus`.

For a minute and a half a sidecar is asked for tiles, whole images and what it hands over, on this machine alone: files
of a folder, and one behind a link of 20 ms that fails now and then. A real Prometheus looks each second. Then all
queries of the panels are put to it, and drawn in their places. Grafana draws more nicely, and shows the same.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlencode

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sidecar_jp2.testing import picture

from sidecar.testing.object_store import Link, ObjectStore, Reply, Request
from tests.nginx.peers import HOST, ask
from tests.nginx.servers import REPOSITORY, Process, Sidecar, free_port, listening, wait_for

SECONDS: Final = 90
CLIENTS: Final = 3
OTHER: Final = 0.3
"""The part of the requests that are for something else than tiles."""
FAILS: Final = 0.01
IMAGES: Final = REPOSITORY / "tests" / "data" / "images"
PICTURE: Final = REPOSITORY / "docs" / "images" / "dashboard.png"
DASHBOARD: Final = REPOSITORY / "monitoring" / "grafana.json"
TILES: Final = "/iiif/3/far.jp2/{x},{y},512,512/512,/0/default.jpg"
SIZE: Final = (4096, 3072)
OTHERS: Final = (
    "/iiif/3/nemo.jp2/full/max/0/default.jpg",
    "/iiif/2/tiled_512.jp2/full/400,/0/default.png",
    "/iiif/3/unknown.jp2/full/max/0/default.jpg",
    "/iiif/3/nemo.jp2/full/max/12/default.jpg",
    "/iiif/3/far.jp2/full/1024,/0/default.jpg",
    "/iiif/3/tiled_512.jp2/0,0,512,512/512,/0/default.jpg",
)
CONFIGURATION: Final = """
global: {{ scrape_interval: 1s, evaluation_interval: 5s }}
rule_files: [{rules}]
scrape_configs:
  - job_name: iiif-sidecar
    metrics_path: /sidecar/metrics
    static_configs: [{{ targets: ["{host}:{port}"] }}]
"""
UNITS: Final = {"s": (1, "s"), "bytes": (1 << 20, "MiB"), "Bps": (1 << 20, "MiB/s"), "percentunit": (0.01, "%")}
PLACE: Final = re.compile(r"{{\w+}}")
COLORS: Final = ("#3274d9", "#e02f44", "#37872d", "#ff9830", "#8f3bb8", "#1f9e9e", "#b0721c", "#6d6d6d")


def load(port: int, seed: int, until: float) -> None:
    """Ask as viewers do, one request after the other."""
    chosen = random.Random(seed)  # noqa: S311  # it only mixes requests
    while time.monotonic() < until:
        # A viewport of neighbours, over a few connections.
        column, row = chosen.randrange(SIZE[0] // 512 - 1), chosen.randrange(SIZE[1] // 512 - 1)
        places = [(column + across, row + down) for down in (0, 1) for across in (0, 1)]
        targets = [TILES.format(x=x * 512, y=y * 512) for x, y in places]
        if chosen.random() < OTHER:
            targets = [chosen.choice(OTHERS)]
        with ThreadPoolExecutor(len(targets)) as connections, suppress(OSError):
            list(connections.map(partial(ask, port, headers={"X-Sidecar-Handover": "nginx"}), targets))
        time.sleep(chosen.random() / 4)


def fails_sometimes(request: Request, reply: Reply) -> Reply:
    """Answer a hundredth of the requests with 503."""
    del request
    return Reply(503) if random.random() < FAILS else reply  # noqa: S311  # as above


@contextmanager
def prometheus(folder: Path, sidecar: int) -> Iterator[int]:
    """Run Prometheus over a sidecar; yields its port."""
    port, configuration = free_port(), folder / "prometheus.yml"
    configuration.write_text(
        CONFIGURATION.format(host=HOST, port=sidecar, rules=REPOSITORY / "monitoring" / "alerts.yml")
    )
    command = shutil.which("prometheus")
    assert command, "there is no prometheus (Debian: prometheus)"
    options = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    process = Process([command, *options, f"--web.listen-address={HOST}:{port}"], folder / "prometheus.log")
    wait_for(lambda: listening(port) or not process.running, "Prometheus listens")
    try:
        yield port
    finally:
        process.stop(signal.SIGTERM)


def series(port: int, expression: str, start: float, end: float) -> Sequence[Mapping[str, Any]]:
    """Put a query to Prometheus, over a range."""
    for name, value in (("$job", "iiif-sidecar"), ("$__rate_interval", "15s")):
        expression = expression.replace(name, value)
    asked = urlencode({"query": expression, "start": start, "end": end, "step": 2})
    answer = json.loads(ask(port, f"/api/v1/query_range?{asked}").text)
    assert answer["status"] == "success", answer
    found: Sequence[Mapping[str, Any]] = answer["data"]["result"]
    return found


def draw(panel: Mapping[str, Any], axes: Axes, port: int, start: float, end: float) -> None:
    """Draw one panel."""
    axes.set_title(panel["title"], fontsize=8, loc="left")
    divisor, unit = UNITS.get(panel["fieldConfig"]["defaults"]["unit"], (1, ""))
    lines = [
        (target.get("legendFormat", ""), found)
        for target in panel["targets"]
        for found in series(port, target["expr"], start, end)
    ]
    if panel["type"] == "stat":
        axes.axis("off")
        for _, found in lines[:1]:
            value = float(found["values"][-1][1])
            shown = found["metric"].get("version") or f"{value / divisor:.3g} {unit}"
            axes.text(0.5, 0.45, shown, ha="center", va="center", fontsize=15, color=COLORS[0])
        return
    for number, (legend, found) in enumerate(lines):
        label = legend
        for name, value in found["metric"].items():
            label = label.replace(f"{{{{{name}}}}}", value)
        label = PLACE.sub("", label)
        times = [datetime.fromtimestamp(at, UTC).timestamp() - start for at, _ in found["values"]]
        values = [float(value) / divisor for _, value in found["values"]]
        axes.plot(times, values, linewidth=1, label=label, color=COLORS[number % len(COLORS)])
    axes.set_ylim(0, max(1.35 * axes.get_ylim()[1], 1e-9))
    axes.tick_params(labelsize=6)
    axes.set_ylabel(unit, fontsize=6)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=5, loc="upper left", ncols=2, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing", ha="center", va="center", fontsize=8, transform=axes.transAxes, color="gray")


def main() -> None:
    """Load, ask, draw."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        image = picture(SIZE, "-PLT", "-t", "1024,1024", "-n", "6", "-r", "12")
        with ObjectStore({"far.jp2": image}, link=Link(0.02)) as store:
            store.mischief = fails_sometimes
            toml = f'workers = 2\nlog_level = "error"\n[filesystem]\nroot = "{IMAGES}"\n[http]\n'
            far = f'url_prefix = "{store.url}/"\nblock_bytes = 16384\ncache_bytes = 1000000\n'
            sidecar = Sidecar(folder, toml + far)
            shown(folder, sidecar)
            sidecar.stop()


def shown(folder: Path, sidecar: Sidecar) -> None:
    """Load a sidecar while Prometheus looks, and draw what it has seen."""
    with prometheus(folder, sidecar.port) as port:
        start = time.time()
        with ThreadPoolExecutor(CLIENTS) as clients:
            run = partial(load, sidecar.port, until=time.monotonic() + SECONDS)
            list(clients.map(run, range(CLIENTS)))
        panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
        height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        figure = Figure(figsize=(13, height * 0.29), dpi=90)
        for panel in panels:
            place = panel["gridPos"]
            left, top = place["x"] / 24, 1 - place["y"] / height
            if panel["type"] == "row":
                figure.text(0.008, top - 0.7 / height, panel["title"], fontsize=10, weight="bold")
                continue
            inner = (
                left + 0.028,
                top - (place["h"] - 0.9) / height,
                place["w"] / 24 - 0.038,
                (place["h"] - 2.2) / height,
            )
            draw(panel, figure.add_axes(inner), port, start, start + SECONDS)
        figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
