"""Beside a Cantaloupe whose delegate script looks images up, with real nginx and gunicorn and a lookup service."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from sidecar.testing.object_store import ObjectStore, Reply, Request
from tests.nginx.conftest import Stack
from tests.nginx.peers import Peer, ask
from tests.nginx.servers import Nginx, Sidecar

PROPERTIES: Final = """
source.static = HttpSource
HttpSource.lookup_strategy = ScriptLookupStrategy
delegate_script.enabled = true
delegate_script.pathname = delegates.rb
"""
LOOKS_UP: Final = """
class CustomDelegate
  def authorize(options = {})
    true
  end

  def httpsource_resource_info(options = {})
    { 'uri' => JSON.parse(Net::HTTP.get(URI("http://catalogue/#{context['identifier']}")))['file']['url'] }
  end
end
"""
GUARDS: Final = LOOKS_UP.replace("    true\n", "    context['client_ip'].start_with?('10.')\n")
MASTERS: Final = {"a.jp2": "tiny_60x40.jp2", "b.jp2": "gray8.jp2"}
KNOWN: Final = {"item:1.jp2": "a.jp2", "item:2/3.jp2": "b.jp2", "item:gone.jp2": "none.jp2", "item:away.jp2": ""}
PATHS: Final = ("item%3A1.jp2", "item%3A2%2F3.jp2")
Start = Callable[[str], Stack]


@pytest.fixture(scope="module")
def files(images: Path) -> Iterator[ObjectStore]:
    """A server of files whose names are not the identifiers."""
    with ObjectStore({f"masters/{name}": (images / file).read_bytes() for name, file in MASTERS.items()}) as store:
        yield store


@pytest.fixture
def catalogue(files: ObjectStore) -> Iterator[ObjectStore]:
    """A service that says in JSON where files are, to who has the token."""

    def answer(request: Request, _reply: Reply) -> Reply:
        if request.headers.get("authorization") != "Bearer secret":
            return Reply(401)
        identifier = unquote(request.target.removeprefix("/where/"))
        if identifier not in KNOWN:
            return Reply(404)
        # A host that the sidecar's settings do not name.
        url = f"{files.url}/masters/{KNOWN[identifier]}" if KNOWN[identifier] else "http://169.254.169.254/latest/"
        return Reply(200, {}, json.dumps({"file": {"url": f"{url}?token=hidden"}}).encode())

    with ObjectStore() as store:
        store.mischief = answer
        yield store


@pytest.fixture
def start(
    cantaloupe: Peer, catalogue: ObjectStore, files: ObjectStore, logs: list[Path], tmp_path: Path
) -> Iterator[Start]:
    """Yield a function that starts nginx and the sidecar beside a Cantaloupe with a delegate script."""
    running: list[Stack] = []

    def started(script: str) -> Stack:
        (tmp_path / "cantaloupe.properties").write_text(PROPERTIES)
        (tmp_path / "delegates.rb").write_text(script)
        address = files.url.removeprefix("http://")
        toml = (
            "workers = 1\ndelegate_only_looks_up = true\nexplain_responses = true\n[http]\n"
            f'lookup_url = "{catalogue.url}/where/{{identifier}}"\nlookup_fields = ["file.url"]\n'
            f'lookup_authorization = "Bearer secret"\nhosts = ["{address}"]\n'
        )
        variables = {"SIDECAR_CANTALOUPE_CONFIG": str(tmp_path / "cantaloupe.properties")}
        sidecar = Sidecar(tmp_path, toml, environment=variables)
        logs.append(sidecar.process.log)
        nginx = Nginx(tmp_path / "nginx", sidecar.port, cantaloupe.port)
        running.append(Stack(nginx.__enter__(), sidecar, cantaloupe))
        return running[-1]

    yield started
    for stack in running:
        stack.nginx.__exit__(None, None, None)
        stack.sidecar.stop()
        logs.pop()


def picture(stack: Stack, path: str) -> np.ndarray:
    """The pixels of a whole image, which the sidecar has answered with."""
    answer = ask(stack.port, f"/iiif/3/{path}/full/max/0/default.png")
    assert (answer.status, answer.headers["X-Sidecar"].partition(";")[0]) == (200, "answered"), answer.text[:500]
    return np.asarray(Image.open(io.BytesIO(answer.body)))


def test_a_lookup_takes_the_place_of_a_script_that_only_looks_up(start: Start, images: Path) -> None:
    """The sidecar shows the file that the service names, hands over what it does not know, and logs no secret."""
    stack = start(LOOKS_UP)
    for path, name in zip(PATHS, MASTERS.values(), strict=True):
        assert np.array_equal(picture(stack, path), np.asarray(Image.open(images / name)))
    assert stack.cantaloupe.requests == []
    for unknown in ("item%3Anone.jp2", "item%3Agone.jp2", "item%3Aaway.jp2"):
        assert ask(stack.port, f"/iiif/3/{unknown}/info.json").text == "cantaloupe's answer"
    log = stack.sidecar.process.log.read_text()
    assert "delegates.rb is not asked for what the sidecar answers" in log
    assert "which SIDECAR_HTTP_HOSTS does not name" in log
    assert "hidden" not in log
    assert "secret" not in log


def test_a_script_that_guards_is_not_replaced(start: Start, catalogue: ObjectStore) -> None:
    """Whatever the operator has promised, every request is Cantaloupe's, and nobody is asked where the image is."""
    stack = start(GUARDS)
    for path in PATHS:
        for target in (f"/iiif/3/{path}/full/max/0/default.png", f"/iiif/2/{path}/info.json", f"/iiif/3/{path}"):
            assert ask(stack.port, target).text == "cantaloupe's answer", target
    assert catalogue.requests == []
    assert "DELEGATE_ONLY_LOOKS_UP has no effect: " in stack.sidecar.process.log.read_text()
