"""nginx/auth.conf with the sidecar and a service: what the service learns, and what clients get (IIIF Auth 1 and 2)."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.nginx.peers import HOST, Answer, Peer, Request, ask, raw, reply, saying
from tests.nginx.servers import REPOSITORY, Nginx, Sidecar

GUARDED: Final = "sub folder/déjà.jp2"
KEY: Final = quote(GUARDED, safe="")
SMALL: Final = "tiny_60x40.jp2"
OPEN: Final = "a b.jp2"
IMAGE: Final = "/full/max/0/default.jpg"
LOCATION: Final = "location /auth/ { auth_request off; proxy_pass http://%s; include sidecar/sidecar-headers.conf; }"
HOOK: Final = "include sidecar/auth-location.conf;"


@dataclass(frozen=True)
class Guarded:
    """A guarded site: its nginx, and the sidecar and Cantaloupe behind it."""

    nginx: Nginx
    sidecar: Sidecar
    cantaloupe: Peer

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request through nginx; underscores in names of headers stand for hyphens."""
        return ask(self.nginx.port, target, method, {k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture(scope="module")
def sidecar(folder: Path, logs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar whose info.json may name services."""
    toml = f'workers = 1\ninfo_services = true\nmemory_bytes = 500_000_000\n[filesystem]\nroot = "{folder}"\n'
    running = Sidecar(tmp_path_factory.mktemp("auth"), toml)
    logs.append(running.process.log)
    yield running
    running.stop()


def site(folder: Path, sidecar: int, cantaloupe: int, service: int) -> Nginx:
    """Return nginx with all that auth.conf offers."""
    edits = {
        ("auth.conf", "127.0.0.1:8184"): f"{HOST}:{service}",
        ("sidecar-pass.conf", f"# {HOOK}"): HOOK,
    }
    include = {
        "http": "include sidecar/auth-maps.conf;",
        "server": "include sidecar/auth.conf;" + LOCATION % f"{HOST}:{service}",
    }
    return Nginx(folder, sidecar, cantaloupe, edits, include)


@pytest.fixture
def gate() -> Iterator[Peer]:
    """A service that allows everything and keeps what it was asked."""
    with Peer(saying(reply(200))) as peer:
        yield peer


@pytest.fixture
def asked(sidecar: Sidecar, cantaloupe: Peer, gate: Peer, logs: list[Path], tmp_path: Path) -> Iterator[Guarded]:
    """A site with that service."""
    with site(tmp_path / "nginx", sidecar.port, cantaloupe.port, gate.port) as nginx:
        logs.append(nginx.process.log)
        yield Guarded(nginx, sidecar, cantaloupe)
    logs.pop()


@pytest.fixture(scope="module")
def recipe(
    sidecar: Sidecar, session_cantaloupe: Peer, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A site with the service of the documentation."""
    path = REPOSITORY / "examples" / "authorization" / "service.py"
    spec = importlib.util.spec_from_file_location("authorization_service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    server = module.server(0, {OPEN: {}, SMALL: {}, GUARDED: {"instead": SMALL}})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    home = tmp_path_factory.mktemp("recipe")
    with site(home / "nginx", sidecar.port, session_cantaloupe.port, server.server_port) as nginx:
        logs.append(nginx.process.log)
        yield Guarded(nginx, sidecar, session_cantaloupe)
    logs.pop()
    server.shutdown()
    thread.join()
    server.server_close()


SPELLINGS: Final = [
    KEY,
    KEY.lower(),
    KEY.replace("%20", "+"),
    KEY.replace("%2F", "%2f").replace(".jp2", "%2ejp2"),
    KEY.replace("s", "%73"),
    f"{KEY};1",
    f"{KEY}%3B1%3B1%3A2",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_image_has_one_key(asked: Guarded, gate: Peer, spelling: str) -> None:
    """However a URL is spelled, the service gets the identifier that is looked up, and one key for it."""
    asked.ask(f"/iiif/3/{spelling}/info.json?a=%2F", Cookie="a=b", X_Image_Key="forged", X_Image_Identifier="forged")
    headers = gate.requests[0].headers
    assert headers["x-image-identifier"].encode("latin-1").decode() == GUARDED
    assert (headers["x-image-key"], headers["x-image-kind"], headers["x-image-version"]) == (KEY, "info", "3")
    assert headers["x-original-uri"] == f"/iiif/3/{spelling}/info.json?a=%2F"
    assert headers["cookie"] == "a=b"


def test_double_encoding_is_another_image(asked: Guarded, gate: Peer) -> None:
    """A percent sign that is itself encoded belongs to the name, for the service as for the sidecar."""
    answer = asked.ask(f"/iiif/3/{KEY.replace('%', '%25')}/info.json")
    assert gate.requests[0].headers["x-image-identifier"] == KEY
    assert answer.text == "cantaloupe's answer"  # no such image


@pytest.mark.parametrize(
    "path",
    [
        *("/iiif/3/a%0D%0AX-Image-Key:%20b/info.json", "/iiif/3/a%00.jp2/info.json", "/iiif/3/a%C2%85.jp2/info.json"),
        *("/iiif/3/..%2Fsecret.jp2/info.json", "/iiif/3/a%2F.%2Fb.jp2/info.json", "/iiif/3/a%5C..%5Cb.jp2/info.json"),
        *("/iiif/3/%FF.jp2/info.json", "/iiif/3/%2/info.json", "/iiif/3//secret.jp2/info.json"),
        *("/iiif/3;x/secret.jp2/info.json", "/%69iif/3/secret.jp2/info.json", "/x/../iiif/3/secret.jp2/info.json"),
        *("/x/%2e%2e/iiif/3/secret.jp2/info.json", "//iiif/3/secret.jp2/info.json", "/%2569iif/3/secret.jp2/info.json"),
        *("/x%2Fiiif/3/secret.jp2/info.json", "/IIIF//3/secret.jp2/info.json", f"/iiif/3/{'é' * 1300}/info.json"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(asked: Guarded, gate: Peer, path: str) -> None:
    """Nobody is asked about such a URL: no service, no sidecar, no Cantaloupe; and no header comes out of it."""
    status = int(raw(asked.nginx.port, f"GET {path} HTTP/1.0\r\n\r\n".encode()).split()[1])
    assert status in (400, 403)
    assert gate.requests == []
    assert asked.cantaloupe.requests == []


@pytest.mark.parametrize(
    "path, kind",
    [
        (f"/iiif/2/{SMALL}", "base"),
        (f"/iiif/2/{SMALL}{IMAGE}", "image"),
        (f"/prefix/iiif/2/{SMALL}/info.json", "info"),
        ("/iiif/3", "other"),
        ("/other/page", "other"),
        ("/", "other"),
    ],
)
def test_the_service_learns_what_is_asked(asked: Guarded, gate: Peer, path: str, kind: str) -> None:
    """Also of images below a prefix, and of URLs that are about no image, which have no key."""
    asked.ask(path, X_Image_Key="forged", X_Image_Kind="forged")
    headers = gate.requests[0].headers
    assert headers["x-image-kind"] == kind
    assert headers.get("x-image-key") == (None if kind == "other" else SMALL)


def test_a_preflight_passes(asked: Guarded, gate: Peer) -> None:
    """OPTIONS has no credentials, so nobody asks for them, and Cantaloupe answers."""
    gate.behaviour = saying(reply(401))
    assert asked.ask(f"/iiif/3/{SMALL}/info.json", "OPTIONS").text == "cantaloupe's answer"
    assert gate.requests == []


@pytest.mark.parametrize("path", [f"/iiif/3/{SMALL}{IMAGE}", "/iiif/3/other.tif/info.json"])
@pytest.mark.parametrize("status", [401, 403])
def test_scripts_see_that_they_were_refused(asked: Guarded, gate: Peer, path: str, status: int) -> None:
    """A refusal carries CORS, once, and is nothing that a shared cache keeps."""
    gate.behaviour = saying(reply(status, WWW_Authenticate="Bearer"))
    answer = asked.ask(path)
    assert (answer.status, answer.headers.get_all("Access-Control-Allow-Origin")) == (status, ["*"])
    assert answer.headers.get_all("Cache-Control") == ["private"]
    assert answer.headers["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
    assert asked.cantaloupe.requests == []


@pytest.mark.parametrize(
    "control, sent",
    [
        (None, ["private"]),
        ("max-age=9, public, no-transform", ["private, max-age=9, no-transform"]),
        ("s-maxage=9, max-age=4", ["private, max-age=4, no-transform"]),
        ("public", ["private"]),
        ("no-cache", ["private, no-cache"]),
        ("no-store", ["no-store"]),
    ],
)
def test_answers_are_private(asked: Guarded, control: str | None, sent: list[str]) -> None:
    """Whatever Cantaloupe says of caches, none that is shared keeps a guarded image."""
    headers = {"Access_Control_Allow_Origin": "*", **({"Cache_Control": control} if control else {})}
    asked.cantaloupe.behaviour = saying(reply(200, b"x", **headers))
    answer = asked.ask("/iiif/3/other.tif/info.json")
    assert answer.headers.get_all("Cache-Control") == sent
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]


def test_the_sidecars_answers_are_private(asked: Guarded) -> None:
    """Images, info.json and redirects of the sidecar are for the browser's cache alone."""
    for path in (f"/iiif/3/{SMALL}{IMAGE}", f"/iiif/3/{SMALL}/info.json", f"/iiif/3/{SMALL}"):
        assert asked.ask(path).headers.get_all("Cache-Control") == ["private, max-age=2592000, no-transform"]


def test_without_the_sidecar_nothing_is_taken_for_read(
    cantaloupe: Peer, gate: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """If the sidecar is down, the service is asked about a URL that nobody has read, and can still refuse it."""
    with Peer(saying(b"")) as closed:
        down = closed.port
    with site(tmp_path / "nginx", down, cantaloupe.port, gate.port) as nginx:
        logs.append(nginx.process.log)
        assert ask(nginx.port, f"/iiif/3/{SMALL}/info.json", headers={"X-Image-Key": "forged"}).status == 200
        assert gate.requests[0].headers["x-image-kind"] == "unread"
        assert "x-image-key" not in gate.requests[0].headers
        gate.behaviour = saying(reply(403))
        assert ask(nginx.port, f"/iiif/3/{SMALL}/info.json").status == 403
        logs.pop()


def test_the_cache_answers_after_the_service(
    actor: Peer, cantaloupe: Peer, gate: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """The cache of nginx keeps a guarded image for those who may see it, as private to clients as if it came anew."""
    kept = reply(200, b"a tile", Cache_Control="max-age=1000, public", ETag='"1"')

    def behave(request: Request, connection: socket.socket) -> bool:
        read = reply(204, X_Accel_Redirect="/sidecar-auth-service", X_Image_Kind="image", X_Image_Key="a.jp2")
        connection.sendall(read if request.target == "/sidecar/gate" else kept)
        return True

    actor.behaviour = behave
    edits = {
        ("auth.conf", "127.0.0.1:8184"): f"{HOST}:{gate.port}",
        ("cache.conf", "/var/cache/nginx-sidecar"): str(tmp_path / "cache"),
        ("sidecar-pass.conf", "# include sidecar/cache-location.conf;"): "include sidecar/cache-location.conf;",
    }
    include = {
        "http": "include sidecar/cache.conf; include sidecar/auth-maps.conf;",
        "server": "include sidecar/auth.conf; add_header Cache-Status $sidecar_cache_status;",
    }
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, edits, include) as nginx:
        logs.append(nginx.process.log)
        answers = [ask(nginx.port, f"/iiif/3/a.jp2{IMAGE}") for _ in range(2)]
        assert [answer.headers["Cache-Status"] for answer in answers] == ["nginx; fwd=miss", "nginx; hit"]
        for answer in answers:
            assert answer.headers.get_all("Cache-Control") == ["private, max-age=1000, no-transform"]
        gate.behaviour = saying(reply(401))
        assert ask(nginx.port, f"/iiif/3/a.jp2{IMAGE}").status == 401
        logs.pop()


def test_the_gate_is_not_there_for_clients(asked: Guarded) -> None:
    """Neither through nginx nor on the sidecar's own port."""
    for path in ("/sidecar-auth", "/sidecar-auth-service"):
        assert asked.ask(path).status in (403, 404)
    assert ask(asked.sidecar.port, "/sidecar/gate", headers={"X-Original-URI": "/iiif/3/a/info.json"}).status == 404


def test_clients_name_no_services(asked: Guarded) -> None:
    """What info.json names is the service's answer, whatever a client sends."""
    services = json.dumps([{"id": "https://evil.example"}])
    assert "service" not in json.loads(asked.ask(f"/iiif/3/{SMALL}/info.json", X_Sidecar_Services=services).text)


def get_in(recipe: Guarded, version: str = "") -> tuple[str, str]:
    """Log in as a browser does; return the cookie and the token."""
    (morsel,) = SimpleCookie(recipe.ask("/auth/login").headers["Set-Cookie"]).values()
    cookie = f"{morsel.key}={morsel.value}"
    return cookie, str(json.loads(recipe.ask(f"/auth/token{version}", Cookie=cookie).text)["accessToken"])


def test_open_images_are_open(recipe: Guarded) -> None:
    """Images for everybody need no credentials and name no services; those nobody has listed are for nobody."""
    described = recipe.ask(f"/iiif/3/{quote(OPEN)}/info.json")
    assert (described.status, "service" in json.loads(described.text)) == (200, False)
    assert recipe.ask(f"/iiif/3/{quote(OPEN)}{IMAGE}").status == 200
    assert recipe.ask("/iiif/3/rgb12.jp2/info.json").status == 403


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("version", [2, 3])
def test_guarded_images_are_guarded(recipe: Guarded, version: int, spelling: str) -> None:
    """Without a cookie no spelling of the URL leads to the picture."""
    assert recipe.ask(f"/iiif/{version}/{spelling}{IMAGE}").status == 401
    cookie, _ = get_in(recipe)
    assert recipe.ask(f"/iiif/{version}/{spelling}/full/full/0/default.jpg", Cookie=cookie).status in (200, 400, 501)


def test_iiif_auth_1(recipe: Guarded) -> None:
    """Image API 2: who is not allowed is sent to the other image, logs in, and gets info.json with a token."""
    path = f"/iiif/2/{KEY}"
    refused = recipe.ask(f"{path}/info.json", Origin="https://viewer.example")
    instead = f"http://{HOST}:{recipe.nginx.port}/iiif/2/{SMALL}/info.json"
    assert (refused.status, refused.headers["Location"]) == (302, instead)
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    offered = json.loads(recipe.ask(f"/iiif/2/{SMALL}/info.json").text)["service"]
    assert offered[0]["profile"] == "http://iiif.io/api/auth/1/login"
    cookie, token = get_in(recipe)
    described = recipe.ask(f"{path}/info.json", Authorization=f"Bearer {token}")
    content: dict[str, Any] = json.loads(described.text)
    assert content["@id"].endswith(f"/iiif/2/{KEY}")
    (login,) = content["service"]
    assert login["@context"] == "http://iiif.io/api/auth/1/context.json"
    assert login["@id"] == f"http://{HOST}:{recipe.nginx.port}/auth/login"
    assert [each["profile"].rpartition("/")[2] for each in login["service"]] == ["token", "logout"]
    assert recipe.ask(f"{path}/full/full/0/default.jpg", Cookie=cookie).headers["Content-Type"] == "image/jpeg"
    assert described.headers["Cache-Control"].startswith("private")
    recipe.ask("/auth/logout", Cookie=cookie)
    assert recipe.ask(f"{path}/info.json", Authorization=f"Bearer {token}").status == 302


def test_iiif_auth_2(recipe: Guarded) -> None:
    """Image API 3: info.json names the probe service, which names the other image, or says that all is well."""
    path = f"/iiif/3/{KEY}"
    content: dict[str, Any] = json.loads(recipe.ask(f"{path}/info.json").text)
    contexts = ["http://iiif.io/api/auth/2/context.json", "http://iiif.io/api/image/3/context.json"]
    assert content["@context"] == contexts
    (probe,) = content["service"]
    target = "/" + probe["id"].split("/", 3)[3]
    assert (probe["type"], "@context" in probe) == ("AuthProbeService2", False)
    assert recipe.ask(target, "OPTIONS").headers["Access-Control-Allow-Headers"] == "Authorization"
    result = json.loads(recipe.ask(target).text)
    assert (result["type"], result["status"]) == ("AuthProbeResult2", 401)
    assert recipe.ask("/" + result["substitute"]["id"].split("/", 3)[3] + "/info.json").status == 200
    assert recipe.ask(f"{path}{IMAGE}").status == 401
    cookie, token = get_in(recipe, "?v=2")
    assert json.loads(recipe.ask(target, Authorization=f"Bearer {token}").text)["status"] == 200
    assert recipe.ask(f"{path}{IMAGE}", Cookie=cookie).headers["Content-Type"] == "image/jpeg"


def test_tokens_go_to_the_page_that_asked(recipe: Guarded) -> None:
    """The message is for the origin of the viewer alone, and nothing in the query becomes part of the script."""
    cookie, _ = get_in(recipe)
    query = "?v=2&messageId=%3C/script%3E%3Cscript%3E&origin=https://viewer.example"
    text = recipe.ask(f"/auth/token{query}", Cookie=cookie).text
    assert text.count("<script>") == 1
    assert '"https://viewer.example"' in text
    assert recipe.ask("/auth/token?messageId=1&origin=*", Cookie=cookie).status == 400
