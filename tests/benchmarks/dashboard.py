"""Draws the dashboard as Prometheus has its figures: docs/images/dashboard.png. Run it as a module; needs `prometheus`.

A sidecar is asked for tiles, whole images and what it hands over for a minute and a half, on this machine alone, while
a real Prometheus asks it each second. Then every panel's queries are put to that Prometheus, and drawn in the panel's
place. Grafana draws more nicely, and shows the same.
"""

from __future__ import annotations

import json
import random
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

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import REPOSITORY, Process, Sidecar, free_port, listening, wait_for

SECONDS: Final = 90
CLIENTS: Final = 3
IMAGES: Final = REPOSITORY / "tests" / "data" / "images"
PICTURE: Final = REPOSITORY / "docs" / "images" / "dashboard.png"
DASHBOARD: Final = REPOSITORY / "monitoring" / "grafana.json"
TILES: Final = "/iiif/3/tiled_512.jp2/{x},{y},512,512/512,/0/default.jpg"
OTHERS: Final = (
    "/iiif/3/nemo.jp2/full/max/0/default.jpg",
    "/iiif/2/tiled_512.jp2/full/400,/0/default.png",
    "/iiif/3/unknown.jp2/full/max/0/default.jpg",
    "/iiif/3/nemo.jp2/full/max/12/default.jpg",
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
COLORS: Final = ("#3274d9", "#e02f44", "#37872d", "#ff9830", "#8f3bb8", "#1f9e9e", "#b0721c", "#6d6d6d")


def load(port: int, seed: int, until: float) -> None:
    """Ask as viewers do, one request after the other."""
    chosen = random.Random(seed)  # noqa: S311  # it only mixes requests
    while time.monotonic() < until:
        target = TILES.format(x=chosen.randrange(4) * 512, y=chosen.randrange(3) * 512)
        with suppress(OSError):
            ask(port, target if chosen.random() < 0.9 else chosen.choice(OTHERS))
        time.sleep(chosen.random() / 10)


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
        times = [datetime.fromtimestamp(at, UTC).timestamp() - start for at, _ in found["values"]]
        values = [float(value) / divisor for _, value in found["values"]]
        axes.plot(times, values, linewidth=1, label=label, color=COLORS[number % len(COLORS)])
    axes.set_ylim(bottom=0)
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
        sidecar = Sidecar(folder, f'workers = 2\nlog_level = "error"\n[filesystem]\nroot = "{IMAGES}"\n')
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
        sidecar.stop()


if __name__ == "__main__":
    main()
