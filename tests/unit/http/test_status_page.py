"""The status page and its JSON: what runs, what was asked for, how it is set up, and no secrets."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import falcon.testing
import pytest
from pydantic import SecretStr

from sidecar.config import Settings
from sidecar.http.middleware import Wsgi
from sidecar.http.page_templates import bars, duration, size
from sidecar.limits.quarantine import Quarantine, digest
from sidecar.limits.threads import NativePool
from sidecar.observability.work import STAGES
from sidecar.plugin import Config, Section
from sidecar.registry import Registry
from sidecar.server import shared_dir
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

BLOB = MemoryBlob("a.gradient", gradient(200, 100), datetime(2024, 5, 6, tzinfo=UTC))
TILE = "/iiif/3/a.gradient/0,0,64,64/max/0/default.raw"


class VaultSettings(Section):
    """Settings with a secret."""

    table: ClassVar[str] = "vault"

    key: SecretStr = SecretStr("")
    """What nobody may read."""
    url: str = ""
    """Where the vault is."""


class Listing(MemorySource):
    """A source that can name its images."""

    def listed(self, suffixes: frozenset[str], most: int) -> list[str]:
        """Return names, markup among them."""
        assert "gradient" in suffixes
        return ["a.gradient", "b/<b>&amp;.gradient", *(f"{number:05}.gradient" for number in range(100))][:most]


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


@pytest.fixture
def app(pool: NativePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wsgi:
    """An application with one image, whose workers share a folder."""
    monkeypatch.setenv(shared_dir.VARIABLE, str(tmp_path))
    registry = Registry([Listing({BLOB.name: BLOB})], [GradientDecoder()], {"raw": RawEncoderFactory()})
    vault = VaultSettings(key=SecretStr("hunter2"), url="http://user:hunter2@vault/?token=hunter2")
    config = Config(
        {Settings: Settings(workers=3), VaultSettings: vault},
        {("", "workers"): "/etc/sidecar.toml", ("vault", "url"): "X"},
    )
    return create_app(config, registry, pool)


def ask(app: Wsgi, target: str, **headers: str) -> falcon.testing.Result:
    path, _, query = target.partition("?")
    return falcon.testing.simulate_get(
        app, path, query_string=query, headers={"Host": "127.0.0.1", **headers}, extras={"RAW_URI": target}
    )


def test_what_was_asked_for(app: Wsgi) -> None:
    """A request is listed with its stages within its time; the sidecar's own pages are not."""
    assert ask(app, f"{TILE}?token=hunter2").status_code == 200
    assert ask(app, "/iiif/3/none.gradient/info.json").status_code == 404
    assert ask(app, "/sidecar/").status_code == 200
    report = ask(app, "/sidecar/status.json").json
    missing, tile = report["recent"]
    assert (missing["status"], missing["outcome"], missing["reason"]) == (404, "refused", "not-found")
    assert (tile["path"], tile["status"], tile["decoder"], tile["size"]) == (f"{TILE}?*", 200, "gradient", "64x64")
    assert {stage for stage, _, _ in tile["stages"]} >= {"wait", "decode", "encode"}
    assert all(-0.1 <= began <= ended <= tile["milliseconds"] + 0.1 for _, began, ended in tile["stages"])
    assert {each["id"] for each in report["slow"]} == {missing["id"], tile["id"]}
    assert report["running"] == []
    page = ask(app, "/sidecar/").text
    assert tile["id"] in page
    assert page.count('<rect class="decode"') == 2  # among the latest, and among the slowest


def test_how_it_is_set_up(app: Wsgi) -> None:
    """Settings have their origins, plugins their names, and what is secret shows nowhere."""
    report = ask(app, "/sidecar/status.json").json
    settings = {each["variable"]: (each["value"], each["origin"]) for each in report["settings"]}
    assert settings["SIDECAR_WORKERS"] == ("3", "/etc/sidecar.toml")
    assert settings["SIDECAR_THREADS"] == ("0", "default")
    assert settings["SIDECAR_VAULT_URL"] == ("http://*@vault/?*", "X")
    assert report["decoders"] == [{"name": "gradient", "suffixes": ["gradient"]}]
    assert report["versions"]["plugin API"] == "1"
    assert report["memory"]["budget"] == sum(each["budget"] for each in report["workers"]) > 0
    for target in ("/sidecar/", "/sidecar/status.json"):
        assert "hunter2" not in ask(app, target).text


def test_quarantine(app: Wsgi, tmp_path: Path) -> None:
    """Images in quarantine are listed, with the time that is left."""
    Quarantine(tmp_path, 600).add(digest("etag"))
    (found,) = ask(app, "/sidecar/status.json").json["quarantine"]
    assert found["digest"] == digest("etag").hex()
    assert 590 < found["seconds_left"] <= 600
    assert found["digest"] in ask(app, "/sidecar/").text


@pytest.mark.parametrize(
    "target", ["/sidecar/", "/sidecar/status.json", "/sidecar/viewer", "/sidecar/static/viewer.js"]
)
def test_not_for_everybody(app: Wsgi, target: str) -> None:
    """Each page is refused through a proxy; where it is shown, its policy lets no inline script or style in."""
    refused = ask(app, target, **{"X-Forwarded-For": "192.0.2.1"})
    assert (refused.status_code, refused.headers["x-sidecar-reason"]) == (403, "not-shown")
    shown = ask(app, target)
    assert shown.status_code == 200
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=\"/)|<style|\sstyle=|\son[a-z]+=|https?://", _elements(shown.text, target))


def _elements(text: str, target: str) -> str:
    """A page's elements without the text between them; other files have none."""
    return " ".join(re.findall("<[^>]*>", text)) if target.endswith(("/", "viewer")) else ""


def test_the_list_of_images(app: Wsgi) -> None:
    """Images that sources can name are listed by pages, with markup in their names as text."""
    first = ask(app, "/sidecar/viewer").text
    assert "1 to 60 of 102" in first
    second = ask(app, "/sidecar/viewer?from=60").text
    assert "61 to 102 of 102" in second
    both = first + second
    assert "b/<b>" not in both
    assert html.escape("b/<b>&amp;.gradient") in both
    assert 'href="/sidecar/viewer?id=b%2F%3Cb%3E%26amp%3B.gradient"' in both
    assert 'data-base="/iiif/3/b%2F%3Cb%3E%26amp%3B.gradient"' in both


def test_any_identifier(app: Wsgi) -> None:
    """An identifier that is not listed is shown all the same, as text."""
    page = ask(app, "/sidecar/viewer?id=%22%3E%3Cscript%3E").text
    assert "<h1>&#34;&gt;&lt;script&gt;</h1>" in page
    assert 'data-base="/iiif/3/%22%3E%3Cscript%3E"' in page


def test_cantaloupe_is_beside_if_it_is_known(pool: NativePool, app: Wsgi) -> None:
    """Its pane and its path are there only if the address of a Cantaloupe is set."""
    pane = 'data-base="/sidecar/cantaloupe/iiif/3/x"'
    assert pane not in ask(app, "/sidecar/viewer?id=x").text
    assert ask(app, "/sidecar/cantaloupe/iiif/3/x/info.json").status_code == 404
    registry = Registry([MemorySource({})], [GradientDecoder()], {})
    beside = create_app(Config.of(Settings(cantaloupe_url="http://127.0.0.1:1")), registry, pool)
    assert pane in ask(beside, "/sidecar/viewer?id=x").text
    answer = ask(beside, "/sidecar/cantaloupe/iiif/3/x/info.json")
    assert (answer.status_code, "Cantaloupe does not answer" in answer.text) == (502, True)
    assert "sandbox" in answer.headers["content-security-policy"]


def test_one_slash_further(app: Wsgi) -> None:
    """The page without its last slash leads to it."""
    assert ask(app, "/sidecar").headers["location"] == "/sidecar/"


@pytest.mark.parametrize(
    "write, value, text",
    [
        (duration, 3.21, "3.2 ms"),
        (duration, 321, "321 ms"),
        (duration, 3210, "3.2 s"),
        (duration, 150_000, "2 min 30 s"),
        (duration, 7_500_000, "2 h 5 min"),
        (duration, 200_000_000, "2 d 7 h"),
        (size, 12, "12 B"),
        (size, 2048, "2 KiB"),
        (size, 3 * 2**30, "3.0 GiB"),
    ],
)
def test_numbers(write: Callable[[float], str], value: float, text: str) -> None:
    """Times and sizes have a unit, and as many digits as matter."""
    assert write(value) == text


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_a_colour(stage: str) -> None:
    """Whatever stages there are, the style knows them: as bars and as words, in light and dark."""
    style = (files("sidecar.http") / "static" / "page.css").read_text(encoding="utf-8")
    assert style.count(f"--{stage}: #") == 2
    assert f"rect.{stage} {{ fill: var(--{stage}); }}" in style
    assert f".stage.{stage} {{ color: var(--{stage}); }}" in style


def test_bars_stay_within_the_drawing() -> None:
    """A stage is drawn where it was, wide enough to be seen, also if it went on after the response was over."""
    record: dict[str, Any] = {
        "milliseconds": 100.0,
        "stages": [("wait", 0.0, 0.0), ("decode", 10.0, 60.0), ("encode", 95.0, 300.0)],
    }
    wait, decode, encode = bars(record)
    assert (wait.x, wait.width) == (0, 4)
    assert (decode.x, decode.width, decode.text) == (100, 500, "decode 50 ms from 10 ms")
    assert (encode.x, encode.x + encode.width) == (950, 1000)
