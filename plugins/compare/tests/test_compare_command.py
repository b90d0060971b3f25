"""`sidecar compare` run from the command line against two local servers."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import typer
from PIL import Image
from sidecar_compare.command import compare
from sidecar_compare.comparison import run as run_comparison
from sidecar_compare.requests import Request
from sidecar_compare.servers import Server
from sidecar_compare.tolerance import Tolerance
from typer.testing import CliRunner, Result

TILE = "/iiif/3/{}.jp2/full/max/0/default.png"


def _image(seed: int, offset: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(50, 150, (60, 80, 3), np.uint8) + np.uint8(offset)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


class Fake(ThreadingHTTPServer):
    """A server whose images are brighter by the number in the identifier, multiplied by `factor`."""

    daemon_threads = True

    def __init__(self, factor: int) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.factor = factor
        self.received: Counter[tuple[str, str]] = Counter()
        self.asked: list[tuple[str, str, str]] = []
        self.order: list[int] = []

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Sends images, info.json with the server's own URL, errors and broken responses."""

    protocol_version = "HTTP/1.1"
    server: Fake

    def do_GET(self) -> None:
        """Count the request, then respond according to its identifier."""
        self.server.received[self.headers.get("X-Group", ""), self.path] += 1
        self.server.order.append(self.server.factor)
        control, behind = (self.headers.get(name, "") for name in ("Cache-Control", "X-Sidecar-Handover"))
        self.server.asked.append((self.path, control, behind))
        identifier = self.path.split("/")[3]
        responses: dict[str, Callable[[], None]] = {
            "cut.jp2": self._cut,
            "gone.jp2": self._gone,
            "turned.jp2": self._turned,
            "handed.jp2": self._hand_over,
        }
        responses.get(identifier, self._usual)()

    def do_HEAD(self) -> None:
        """Show that the server is running."""
        self.send_response(404)
        self.end_headers()

    def _usual(self) -> None:
        if self.path.endswith("/info.json"):
            document = {"id": self.server.url + self.path, "width": 80, "tiles": [{"width": self.server.factor}]}
            self._send(200, "application/json", json.dumps(document).encode())
        elif ".png" in self.path:
            number = int(self.path.split("/")[3].removesuffix(".jp2"))
            self._send(200, "image/png", _image(number, number * self.server.factor))
        else:
            self._send(404, "text/plain", b"nothing here")

    def _turned(self) -> None:
        """Fail as Cantaloupe, respond as the sidecar."""
        self._send(200 if self.server.factor else 500, "image/png", b"")

    def _hand_over(self) -> None:
        """Respond as Cantaloupe, hand over as the sidecar."""
        if not self.server.factor:
            self._send(200, "image/png", b"")
            return
        self.send_response(200)
        self.send_header("X-Accel-Redirect", "@cantaloupe")
        self.send_header("X-Sidecar-Reason", "format")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def _gone(self) -> None:
        self._send(404 if self.server.factor else 410, "text/plain", b"gone")

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Log nothing."""


@pytest.fixture
def servers() -> Iterator[tuple[Fake, Fake]]:
    """Start a Cantaloupe, and a sidecar whose images are brighter."""
    with Fake(0) as cantaloupe, Fake(1) as sidecar:
        threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in (cantaloupe, sidecar)]
        for thread in threads:
            thread.start()
        yield cantaloupe, sidecar
        for server in (cantaloupe, sidecar):
            server.shutdown()
        for thread in threads:
            thread.join()


@pytest.fixture
def run(servers: tuple[Fake, Fake], tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs the command on URLs."""
    app = typer.Typer()
    app.command()(compare)

    def run(urls: list[str], *options: str) -> Result:
        listed = tmp_path / "urls.txt"
        listed.write_text("\n".join(urls))
        bases = ["--cantaloupe", servers[0].url, "--sidecar", servers[1].url]
        return CliRunner().invoke(app, [str(listed), *bases, *options])

    return run


def test_differences_within_the_tolerance_are_fine(run: Callable[..., Result]) -> None:
    """The exit status is 0 if pixels differ only slightly."""
    result = run([TILE.format(number) for number in (0, 1, 2)], "--mean", "3")
    assert result.exit_code == 0, result.output
    assert "within tolerance" in result.output


@pytest.mark.parametrize(
    "url, options",
    [
        (TILE.format(5), []),
        (TILE.format(1), ["--mean", "0.5"]),
        ("/iiif/3/a.jp2/info.json", []),
        (TILE.format("gone"), []),
        (TILE.format("cut"), []),
    ],
)
def test_differences_exit_with_status_one(run: Callable[..., Result], url: str, options: list[str]) -> None:
    """The exit status is 1 if pixels, info.json or a status differ or a response is broken, and else 0."""
    assert run([TILE.format(0), url], *options).exit_code == 1
    assert run([TILE.format(0)], *options).exit_code == 0


def test_responses_beyond_the_limit_fail(run: Callable[..., Result]) -> None:
    """A response larger than `--max-bytes` counts as missing."""
    urls = [TILE.format(0), "/iiif/3/nobody.jp2"]
    assert run(urls, "--max-bytes", "1000").exit_code == 1
    assert run(urls, "--max-bytes", "1000000").exit_code == 0


def test_ignored_fields_do_not_count(run: Callable[..., Result]) -> None:
    """The exit status is 0 if only ignored fields differ."""
    assert run(["/iiif/3/a.jp2/info.json"], "--ignore", "tiles*").exit_code == 0


@pytest.mark.parametrize(
    "urls, options",
    [
        ([], []),
        (["/favicon.ico"], []),
        ([TILE.format(0)], ["--sidecar", "http://127.0.0.1:1"]),
        ([TILE.format(0)], ["--sidecar", "nonsense"]),
        ([TILE.format(0)], ["--header", "nonsense"]),
        ([TILE.format("cut")], []),
        ([TILE.format(0)], ["--html", "/nowhere/report.html"]),
    ],
)
def test_failures_to_compare_exit_with_status_two(
    run: Callable[..., Result], urls: list[str], options: list[str]
) -> None:
    """The exit status is 2, without a traceback, if requests, servers, responses or the report's folder are missing."""
    result = run(urls, *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_both_servers_receive_every_request_each_round(run: Callable[..., Result], servers: tuple[Fake, Fake]) -> None:
    """Both servers receive each request once per round, with the given header."""
    urls = [TILE.format(number) for number in range(6)]
    assert run(urls, "--rounds", "3", "--jobs", "2", "--header", "X-Group: staff").exit_code == 1
    for server in servers:
        assert {url: server.received["staff", url] for url in urls} == dict.fromkeys(urls, 3)


@pytest.mark.parametrize(
    "caches, asks, changes", [("bypass", "no-cache", False), ("avoid", "no-cache", True), ("use", "", False)]
)
def test_caches_are_passed_by(
    run: Callable[..., Result],
    servers: tuple[Fake, Fake],
    caches: str,
    asks: str,
    changes: bool,  # noqa: FBT001 - a value of a row
) -> None:
    """By default caches are asked to pass requests on; if wanted, no URL is ever sent twice, or caches may answer."""
    run([TILE.format(1), f"{TILE.format(2)}?a=b"], "--caches", caches, "--rounds", "2")
    for server in servers:
        paths = [path for path, _, _ in server.asked]
        assert {control for _, control, _ in server.asked} == {asks}
        assert len(paths) == 4
        assert len({*paths}) == (4 if changes else 2)
        assert {path.partition("sidecar-compare=")[0].rstrip("?&") for path in paths} == {
            TILE.format(1),
            f"{TILE.format(2)}?a=b",
        }


def test_only_the_sidecar_is_told_that_a_cantaloupe_stands_behind(
    run: Callable[..., Result], servers: tuple[Fake, Fake]
) -> None:
    """As the nginx site tells it, so that it names what it hands over."""
    run([TILE.format(0)])
    assert [{behind for _, _, behind in server.asked} for server in servers] == [{""}, {"nginx"}]


def test_documented_differences_are_set_apart(run: Callable[..., Result], tmp_path: Path) -> None:
    """The report counts documented and other differences, names the former with their reason, and may ignore them."""
    urls = ["/iiif/3/handed.jp2/full/max/0/default.png", "/iiif/2/turned.jp2/full/max/360/default.jpg", TILE.format(5)]
    path, page = tmp_path / "report.json", tmp_path / "report.html"
    result = run(urls, "--json", str(path), "--html", str(page))
    assert result.exit_code == 1
    assert "documented: 1, other: 1" in " ".join(result.output.split())
    report = json.loads(path.read_text())
    assert report["different"] == {"documented": 1, "other": 1}
    assert report["documented"]["full-turn"]["requests"] == 1
    assert report["answered"]["Cantaloupe (format)"] == 1
    assert [request["documented"] for request in report["requests"]] == [[], ["full-turn"], []]
    for text in (result.output, page.read_text()):
        assert "full-turn" in text
        assert "Cantaloupe (format)" in text
    assert "Cantaloupe answers 500 in version 2" in page.read_text()
    assert run(urls[:2], "--ignore", "documented").exit_code == 0


def test_a_page_is_small_whatever_it_shows(run: Callable[..., Result], tmp_path: Path) -> None:
    """Hundreds of pairs and long URLs make no page of two megabytes, and it shows most of the pairs."""
    path = tmp_path / "report.html"
    long = "?a=" + "b" * 3000
    run([f"{TILE.format(number)}{long}" for number in range(100)], "--html", str(path), "--worst", "100", "--mean", "1")
    assert path.stat().st_size < 2_000_000
    assert path.read_text().count("data:image/png") > 3 * 50


def test_the_server_asked_first_alternates(run: Callable[..., Result], servers: tuple[Fake, Fake]) -> None:
    """Each server is asked first for every other request, so that both profit alike from a warm page cache."""
    servers[1].order = servers[0].order
    run([TILE.format(number) for number in range(4)], "--jobs", "1")
    assert servers[0].order == [0, 1, 1, 0, 0, 1, 1, 0]


class Stop(Exception):
    """An exception that ends a comparison early."""


def test_only_a_few_requests_are_started_ahead(servers: tuple[Fake, Fake]) -> None:
    """Of endless requests only a few are started ahead, and a comparison that is interrupted ends at once."""
    endless = (Request("GET", TILE.format(number)) for number in count())
    with closing(Server(servers[0].url, 2, 10.0, {}, 10**6)) as server, pytest.raises(Stop):
        run_comparison(
            endless,
            [server, server],
            Tolerance(3, 255, 30),
            jobs=2,
            rounds=1,
            worst=0,
            done=Mock(side_effect=[None, Stop]),
        )
    assert len(servers[0].order) <= 2 * (2 + 2 * 2)


def test_json_holds_everything(run: Callable[..., Result], tmp_path: Path) -> None:
    """The JSON holds outcome, differences, distance and times of each request."""
    path = tmp_path / "report.json"
    run([TILE.format(0), TILE.format(5), "/iiif/3/a.jp2/info.json"], "--json", str(path), "--rounds", "2")
    report = json.loads(path.read_text())
    assert report["fine"] is False
    assert report["counts"] == {"equal": 1, "within tolerance": 0, "different": 2, "failed": 0}
    equal, bright, info = report["requests"]
    assert (equal["outcome"], equal["same_bytes"], equal["distance"]) == ("equal", True, None)
    assert bright["distance"]["mean"] == 5
    assert bright["distance"]["psnr"] == pytest.approx(34.15, abs=0.01)
    assert [len(times) for times in bright["seconds"].values()] == [2, 2]
    assert info["differences"] == [{"field": "tiles[0].width", "cantaloupe": "0", "sidecar": "1"}]
    assert report["seconds"]["again"]["sidecar"]["median"] > 0


def test_json_can_go_to_standard_output(run: Callable[..., Result]) -> None:
    """With `--json -` standard output holds nothing but JSON."""
    assert json.loads(run([TILE.format(0)], "--json", "-").stdout)["fine"] is True


class Page(HTMLParser):
    """A parser that collects texts and image sources, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the open element and its source."""
        if tag not in self.VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record the text."""
        self.texts.append(data)


def test_the_page_shows_the_worst_pairs_and_loads_nothing(run: Callable[..., Result], tmp_path: Path) -> None:
    """The page is complete, embeds its images, and shows the two pairs that differ most, the worse one first."""
    path = tmp_path / "report.html"
    run([TILE.format(number) for number in (1, 9, 7, 4)], "--html", str(path), "--worst", "2")
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    assert len(page.sources) == 6
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert [text for text in page.texts if text.startswith("mean ") and "maximum" in text] == [
        "mean 9.00, maximum 9, PSNR 29.0 dB",
        "mean 7.00, maximum 7, PSNR 31.2 dB",
    ]


def test_the_page_escapes_text_from_servers(run: Callable[..., Result], tmp_path: Path) -> None:
    """An identifier that looks like markup is shown as text."""
    path = tmp_path / "report.html"
    run([TILE.format(0), "/iiif/3/<script>alert(1)<script>/info.json"], "--html", str(path))
    assert "<script>" not in path.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in path.read_text(encoding="utf-8")
