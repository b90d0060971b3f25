"""Drop-in: each request that a real Cantaloupe answered is handed over or answered alike.

`tests/data/cantaloupe/requests.json` holds 347 requests and what was answered. Images are compared decoded.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

import falcon.testing
import gevent
import glymur
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sidecar_jp2.loss.idle_work import IdleWork

from sidecar import startup
from sidecar.http.client import BEHIND
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.observability.event import event_of
from sidecar.server.application import create_app

DATA: Final = Path(__file__).parents[2] / "data"
RECORDED: Final[list[dict[str, Any]]] = json.loads((DATA / "cantaloupe" / "requests.json").read_text("utf-8"))
HOST: Final = "cantaloupe.test:8182"

# The largest mean absolute difference of decoded pixels (0 to 255), by class of answer.
LIMITS: Final = {
    "png 1:1": 0.0,
    "png scaled": 0.0,
    "jpg 1:1": 0.0,
    "jpg scaled": 0.0,
    # Asked for both sides, Cantaloupe decodes at full resolution and resamples tenfold; the sidecar reads the level.
    "jpg scaled, both sides": 4.5,
    # Of 500 x 500 pixels: larger than what is rounded exactly as in single precision.
    "jpg gray": 0.05,
    "jpg gray of gray": 0.0,
    "jpg bitonal": 0.0,
}

# Where the sidecar answers otherwise on purpose: the README says so and why.
DIFFERENT: Final = (
    ("image_offset", "Cantaloupe takes the image offset for pixels: its image is larger and its regions are shifted"),
    ("/360/", "360 degrees are a rotation; Cantaloupe answers 500 in version 2"),
    ("/pct:0,0,101,", "a region beyond the edge is cropped; Cantaloupe answers 500 where it is given in percent"),
    ("palette.jp2/full/100,", "colours are averaged; Cantaloupe averages the numbers of colours"),
    ("/full/pct:0.1/", "two pixels of 2000 x 1500: Cantaloupe sends a dummy below three pixels"),
)


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str
    """Why the request was handed over."""

    @property
    def handed_over(self) -> bool:
        """Whether nginx would send the request to Cantaloupe."""
        return "x-accel-redirect" in self.headers


@dataclass
class Tally:
    """The results of the requests, printed in the end."""

    counts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)


TALLY: Final = Tally()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the recorded Cantaloupe's images."""
    root = tmp_path_factory.mktemp("images")
    for image in (DATA / "images").iterdir():
        copyfile(image, root / image.name)
    copyfile(glymur.data.nemo(), root / "nemo.jp2")
    return root


@contextmanager
def sidecar(root: Path, loss: str) -> Iterator[Wsgi]:
    """Yield the sidecar over a folder, set up as that Cantaloupe was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIDECAR_FILESYSTEM_ROOT", str(root))
        patch.setenv("SIDECAR_MAX_PIXELS", "10000000")
        patch.setenv("SIDECAR_JP2_LOSS_DB", loss)
        # It made no such pictures.
        patch.setenv("SIDECAR_WEBP_MAX_PIXELS", "0")
        patch.setenv("SIDECAR_AVIF_MAX_PIXELS", "0")
        found = startup.setup()
    pool = NativePool(2)
    registry = found.plugins.load(found.config, pool)
    yield create_app(found.config, registry, pool)
    registry.close()


@pytest.fixture(scope="module")
def app(root: Path, request: pytest.FixtureRequest) -> Iterator[Wsgi]:
    """Yield the sidecar with every bit decoded."""
    with sidecar(root, "0") as exact:
        yield exact
    tell(request.config, f"{dict(TALLY.counts)}")
    for kind, (difference, path) in sorted(TALLY.worst.items()):
        tell(request.config, f"largest mean difference of {kind}: {difference} (limit {LIMITS[kind]}), {path}")


@pytest.fixture(scope="module")
def lossy(root: Path) -> Iterator[Wsgi]:
    """Yield the sidecar by default, but that small files lose bits too, and that it is idle at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidecar_jp2.IdleWork", lambda: IDLE)
        patch.setattr("sidecar_jp2.extract.extractor.SMALL_FILE", 0)
        with sidecar(root, "0.1") as default:
            yield default


def tell(config: pytest.Config, line: str) -> None:
    """Print a line even if tests' output is captured."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nrecordings: {line}", end="")  # noqa: T201


def ask(app: Wsgi, recorded: Mapping[str, Any], *, behind: bool = True) -> Answer:
    """Send a request to the sidecar that Cantaloupe was sent, as our nginx site would."""
    query = recorded["path"].partition("?")[2]
    headers = {"Host": HOST, **recorded["request_headers"]} | ({BEHIND: "nginx"} if behind else {})
    environ = falcon.testing.create_environ(
        path="/", method=recorded["method"], query_string=query, headers=headers, http_version="1.1"
    )
    environ["RAW_URI"] = recorded["path"]
    started = falcon.testing.StartResponseMock()
    chunks: Iterable[bytes] = app(environ, started)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # Observed always gives something to close
    assert started.status is not None
    got = {key.lower(): value for key, value in started.headers or ()}
    return Answer(int(started.status[:3]), got, body, event_of(environ).reason)


def name(recorded: Mapping[str, Any]) -> str:
    """Return the test's id."""
    extra = ",".join(f"{key}={value}" for key, value in recorded["request_headers"].items())
    return f"{recorded['method']} {recorded['path']} {extra}".strip()


@pytest.mark.parametrize("recorded", RECORDED, ids=name)
def test_handed_over_or_alike(app: Wsgi, recorded: dict[str, Any]) -> None:
    """The request is handed over, or the response has the same status, headers, info.json and picture."""
    answer = ask(app, recorded)
    if answer.handed_over:
        assert not must_take(recorded)
        TALLY.counts[f"handed over: {answer.reason}"] += 1
        return
    if any(part in recorded["path"] for part, _ in DIFFERENT):
        TALLY.counts["deliberately different"] += 1
        assert answer.status == (200 if recorded["status"] == 500 else recorded["status"])
        return
    assert answer.status == recorded["status"]
    compare_headers(answer, recorded)
    if recorded.get("json"):
        assert json.loads(answer.body) == filled(recorded["json"])
    if recorded.get("body_file"):
        compare_pictures(answer, recorded)
    TALLY.counts["alike"] += 1


IDLE: Final = IdleWork(0, 0)
LOSSY: Final = [
    each
    for each in RECORDED
    if re.search(r"/(default|color)\.jpg$", each["path"])
    and (each["method"], each["status"]) == ("GET", 200)
    and re.search(r"/iiif/3/tiled_256[^/]*/[^/]*/(max|200,)/", each["path"])
]


@pytest.mark.parametrize("recorded", LOSSY, ids=name)
def test_pictures_of_fewer_bits_look_alike(app: Wsgi, lossy: Wsgi, recorded: dict[str, Any]) -> None:
    """By default a JPEG is as near to the pixels as one of all bits, but for 0.25 dB, and its ETag is weak."""
    png = {**recorded, "path": recorded["path"].removesuffix("jpg") + "png"}
    exact = pixels(Image.open(io.BytesIO(ask(app, png).body)))
    ask(lossy, recorded)
    while IDLE.busy:
        gevent.sleep(0.01)
    fewer, whole = (pixels(Image.open(io.BytesIO(ask(each, recorded).body))) for each in (lossy, app))
    errors = [float(np.mean((shown - exact) ** 2)) for shown in (fewer, whole)]
    assert 10 * math.log10(errors[0] / errors[1]) <= 0.25
    assert (fewer != whole).any()
    assert ask(lossy, recorded).headers["etag"].startswith('W/"')
    assert ask(lossy, png).headers["etag"].startswith('"')
    assert ask(app, recorded).headers["etag"].startswith('"')


def must_take(recorded: Mapping[str, Any]) -> bool:
    """Report whether it is a picture that the sidecar promises to answer."""
    return recorded["status"] == 200 and bool(
        re.search(r"/!?(0|90|180|270)(\.0)?/(default|color|gray|bitonal)\.(jpg|png)(\?|$)", recorded["path"])
    )


def compare_headers(answer: Answer, recorded: Mapping[str, Any]) -> None:
    """Compare recorded headers, but for links in which Cantaloupe takes the image's ratio for the region's."""
    expected = {key.lower(): filled(value) for key, value in recorded["headers"].items()}
    link = expected.pop("link", None)
    got = {key: answer.headers.get(key) for key in expected}
    assert got == expected
    assert ("last-modified" in answer.headers) == recorded["has_last_modified"] or recorded["status"] != 200
    if link is not None and "/full/" in recorded["path"].partition(".jp2")[2][:6]:
        assert answer.headers["link"] == link


def compare_pictures(answer: Answer, recorded: Mapping[str, Any]) -> None:
    """Check that pictures have the same size and differ no more than their class may."""
    expected = Image.open(DATA / "cantaloupe" / "bodies" / Path(recorded["body_file"]).name)
    got = Image.open(io.BytesIO(answer.body))
    assert got.size == expected.size
    assert got.format == expected.format
    kind = picture_class(recorded["path"], expected)
    difference = float(np.abs(pixels(got) - pixels(expected)).mean())
    TALLY.counts["to the pixel" if difference == 0 else "pixels differ"] += 1
    if difference > TALLY.worst.get(kind, (-1.0, ""))[0]:
        TALLY.worst[kind] = (round(difference, 3), recorded["path"])
    assert difference <= LIMITS[kind]


def picture_class(path: str, picture: Image.Image) -> str:
    """Return the class of a picture, which limits by how much it may differ."""
    if "bitonal" in path:
        return "jpg bitonal"
    if "gray." in path:
        return "jpg gray of gray" if re.search(r"/gray\d", path) else "jpg gray"
    whole = "/full/full/" in path or "/max/" in path or (picture.size == (512, 512) and "512,512/512," in path)
    if re.search(r"/\^?\d+,\d+/\d", path) and not whole and "!" not in path:
        return "jpg scaled, both sides"
    return f"{path.partition('?')[0][-3:]} {'1:1' if whole else 'scaled'}"


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    """Return a picture as RGB numbers."""
    return np.asarray(picture.convert("RGB"), np.float64)


def filled(value: Any) -> Any:
    """Return a recorded value with the base URI filled in."""
    return json.loads(json.dumps(value).replace("{base}", f"http://{HOST}"))


@pytest.mark.parametrize("recorded", [r for r in RECORDED if 400 <= r["status"] < 500], ids=name)
def test_refusals_without_a_cantaloupe(app: Wsgi, recorded: dict[str, Any]) -> None:
    """Without a Cantaloupe, what it refuses is refused with the same status and a text that says why."""
    answer = ask(app, recorded, behind=False)
    assert answer.status == recorded["status"]
    if recorded["method"] != "HEAD":
        assert len(answer.body) > 20
