"""`sidecar explain`, `inspect` and `check` as people and programs see them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from sidecar import startup
from sidecar.cli.console import WIDTH, size
from sidecar.cli.main import make_cli
from sidecar.cli.reasons import meaning, status_alone
from sidecar.limits.threads import NativePool
from sidecar.registry import Plugins
from sidecar.server.application import create_app
from sidecar.testing.object_store import ObjectStore

TILE = "/iiif/3/untiled_precincts_plt_sop_eph.jp2/512,512,512,512/256,/0/default.jpg"
URLS = (
    TILE,
    "/iiif/2/tiled_512.jp2/full/full/0/default.jpg",
    "/iiif/3/slide.svs/0,0,1024,1024/512,/0/default.png",
    "/iiif/3/icc.jp2/full/300,/90/gray.jpg",
    "/iiif/3/rgba.jp2/info.json",
    "/iiif/3/tiled_512.jp2/full/max/22.5/default.jpg",
    "/iiif/3/tiled_512.jp2/full/max/0/default.tif",
    "/iiif/3/nobody.jp2/info.json",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, images: Path) -> None:
    """Serve the images of the tests, and nothing else; nothing is measured first."""
    for name in [*os.environ]:
        if name.startswith("SIDECAR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(images))
    # What may be lost is measured first, which takes a second or so.
    monkeypatch.setenv("SIDECAR_JP2_LOSS_DB", "0")


def run(*arguments: str) -> Result:
    """Run the command in this process, its output in a pipe."""
    return CliRunner().invoke(make_cli(Plugins()), [*arguments])


def run_json(*arguments: str) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def server() -> Iterator[Any]:
    """Make a worker's application."""
    found = startup.setup()
    pool = NativePool(2)
    app = create_app(found.config, found.plugins.load(found.config, pool), pool)
    yield app
    app.close()


@pytest.mark.parametrize("url", URLS)
def test_explain_is_what_the_server_logs(server: Any, url: str) -> None:
    """Promise, reason, decoder, size and ETag are those of the server's log and response for the same URL."""
    explained = run_json("explain", url)["forecast"]
    structlog.reset_defaults()
    with capture_logs() as logs:
        headers = {"X-Sidecar-Handover": "nginx", "Host": "localhost"}
        response = falcon.testing.simulate_get(server, url, headers=headers, extras={"RAW_URI": url})
    line = next(each for each in logs if each["event"] == "request")
    assert (explained["outcome"], explained["reason"]) == (line["outcome"], line["reason"])
    assert (explained["source"], explained["status"]) == (line.get("source", ""), line["status"])
    assert explained["headers"].get("etag") == response.headers.get("etag")
    if explained["cost"]:
        assert explained["cost"]["peak_bytes"] == line["promised"]
        assert explained["decoder"] == line["decoder"]
        assert "{width}x{height}".format(**explained["cost"]["size"]) == line["size"]
        assert explained["cost"]["bands"] == line["bands"]


def test_explain_a_far_image(monkeypatch: pytest.MonkeyPatch, images: Path) -> None:
    """Of an image behind HTTP few bytes are read to explain a tile, and the promised ranges to make it."""
    name = "untiled_precincts_plt_sop_eph.jp2"
    content = (images / name).read_bytes()
    monkeypatch.delenv("SIDECAR_FILESYSTEM_ROOT")
    with ObjectStore({f"images/{name}": content}) as store:
        monkeypatch.setenv("SIDECAR_HTTP_URL_PREFIX", f"{store.url}/images/")
        explained = run_json("explain", "--run", TILE)
    assert explained["forecast"]["source"] == "http"
    (window,) = explained["forecast"]["cost"]["windows"]
    assert 0 < window["bytes"] == explained["run"]["fetched_bytes"] < len(content)
    assert window["facts"]["decoded from"] == "a small codestream of 1 tile"
    assert int(window["facts"]["packets"].split()[0]) < int(window["facts"]["packets"].split()[2])


def test_explain_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed has the parts that people ask for, no colours in a pipe, and at most 100 columns."""
    monkeypatch.delenv("SIDECAR_JP2_LOSS_DB")
    done = run("explain", "--run", f"https://images.example.org{TILE}")
    assert done.exit_code == 0
    for words in (
        "answered",
        "by the sidecar, 200 OK",
        "decoder",
        "promised",
        "stages",
        "etag",
    ):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    "url, status, words",
    [
        (URLS[5], 3, ("handed over", "unsupported", "22.5", "the status would be 501")),
        (URLS[6], 3, ("handed over", "unsupported", "tif is not written here")),
        ("/iiif/3/tiled_512.jp2/full/%5E65501,/0/default.jpg", 3, ("bad-request", "scales above 100%")),
        ("/iiif/3/tiled_512.tif/info.json", 3, ("sends it to Cantaloupe at once", "not-found")),
    ],
)
def test_explain_says_why_not(url: str, status: int, words: tuple[str, ...]) -> None:
    """What is handed over has its reason with what that means, and a status of its own."""
    done = run("explain", url)
    assert done.exit_code == status
    for word in words:
        assert word in done.stdout


def test_explain_alone() -> None:
    """Without a Cantaloupe nothing is handed over."""
    done = run("explain", "--alone", URLS[5])
    assert done.exit_code == 4
    assert "501, unsupported" in done.stdout


def test_explain_with_headers() -> None:
    """Headers count as they do for the server; what is none is an error."""
    tag = run_json("explain", TILE)["forecast"]["headers"]["etag"]
    assert run_json("explain", TILE, "-H", f"If-None-Match: {tag}")["forecast"]["status"] == 304
    assert "is not `Name: value`" in str(run("explain", TILE, "-H", "nothing").exception)


def test_inspect_one(images: Path) -> None:
    """A file is described, its tiles are measured, and there is something on how it is encoded."""
    done = run("inspect", str(images / "tiled_512.jp2"))
    assert done.exit_code == 0
    for words in (
        "2000 x 1500 pixels",
        "12: 4 x 3 of 512 x 512",
        "512 x 512 at 1:1",
        "processor time",
        "promised",
        "advice",
    ):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= WIDTH


def test_inspect_an_identifier() -> None:
    """What is no file is looked for in the sources."""
    (found,) = run_json("inspect", "icc.jp2", "--no-measure")
    assert found["profile"]
    assert found["profile_bytes"] > 0
    assert "neither a file nor an identifier" in str(run("inspect", "nobody.jp2").exception)


def test_inspect_a_folder(images: Path, tmp_path: Path) -> None:
    """Of several images there is a line each, those that are not served too, which shows in the status."""
    for name in ("tiny_60x40.jp2", "slide.svs"):
        (tmp_path / name).write_bytes((images / name).read_bytes())
    (tmp_path / "broken.jp2").write_bytes((images / "icc.jp2").read_bytes()[:1000])
    (tmp_path / "notes.txt").write_text("no image")
    done = run("inspect", str(tmp_path))
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["image", "broken.jp2", "slide.svs", "tiny_60x40.jp2"]
    assert "not served" in lines[1]
    assert max(map(len, lines)) <= WIDTH


def test_check_names_what_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that do not fit together are warnings that begin with the variable; a start would succeed."""
    monkeypatch.setenv("SIDECAR_FIRST_BYTE_TIMEOUT", "10")
    monkeypatch.setenv("SIDECAR_TOTAL_TIMEOUT", "5")
    monkeypatch.setenv("SIDECAR_MEMORY_BYTES", str(2**20))
    monkeypatch.setenv("SIDECAR_CANTALOUPE_URL", "cantaloupe:8182")
    done = run("check")
    assert done.exit_code == 0
    for variable in ("FIRST_BYTE_TIMEOUT", "TOTAL_TIMEOUT", "REQUEST_MEMORY_BYTES", "CANTALOUPE_URL"):
        assert f"warning: SIDECAR_{variable}: " in done.stderr
    assert run_json("check")["problems"] == []


def test_check_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What keeps a worker from starting is named with its setting, each in a line, and the status is 1."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text('workers = 0\nmin_size = "small"\n')
    done = run("check", "--config", str(toml))
    assert done.exit_code == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["SIDECAR_WORKERS", "SIDECAR_MIN_SIZE"]
    assert str(toml) in done.stderr
    toml.write_text("")
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(tmp_path / "nowhere"))
    found = run_json("check", "--config", str(toml))
    assert found == {"problems": [f"SIDECAR_FILESYSTEM_ROOT: {tmp_path}/nowhere is not a folder"], "warnings": []}


def test_words() -> None:
    """Reasons and sizes in words."""
    assert meaning("not-found") == "No source knows the identifier."
    assert (meaning("nonsense"), status_alone("malformed")) == ("", 500)
    assert [size(number) for number in (12, 1500, 36784978, 4.58e9)] == ["12 bytes", "1.5 kB", "36.8 MB", "4.58 GB"]
