"""A small authorization service behind nginx/auth.conf: IIIF Auth 1 for Image API 2, IIIF Auth 2 for Image API 3.

`python service.py 8184 images.json`, with images.json as `{"open.jp2": {}, "guarded.jp2": {"instead": "small.jp2"}}`:
images by identifier. One with `instead` is for those who are logged in, the others get that one in its place; whatever
is not listed is for nobody. Everybody may log in: put what you have (LDAP, SAML, OpenID) in place of `_login`. Sessions
are in memory. docs/operate/auth.md explains each answer.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

AUTH_1: Final = "http://iiif.io/api/auth/1"
AUTH_2: Final = "http://iiif.io/api/auth/2/context.json"
COOKIE: Final = "image_access"
MESSAGE: Final = "<!doctype html><script>window.parent.postMessage({message}, {origin});</script>"
CLOSE: Final = "<!doctype html><title>Done</title><script>window.close();</script>You may close this window."
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")

Images = Mapping[str, Mapping[str, str]]


@dataclass
class Service:
    """What is known: the images by key, and who is logged in."""

    images: Images
    """By X-Image-Key: an identifier, percent-encoded so that only letters, digits and `-._~` stay."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Cookie -> token."""

    @property
    def substitutes(self) -> frozenset[str]:
        """The keys of images that stand in for others."""
        return frozenset(quote(image["instead"], safe="") for image in self.images.values() if "instead" in image)

    def may(self, key: str, secret: str) -> bool:
        """Report whether somebody who has a cookie or token may see an image."""
        image = self.images.get(key)
        if image is None:
            return False
        return "instead" not in image or secret in self.sessions or secret in self.sessions.values()


def auth_1(base: str) -> list[dict[str, Any]]:
    """Return the services of IIIF Auth 1 (§2.1 login, §2.2 token, §2.3 logout)."""
    token = {"@id": f"{base}/auth/token", "profile": f"{AUTH_1}/token"}
    logout = {"@id": f"{base}/auth/logout", "profile": f"{AUTH_1}/logout", "label": "Log out"}
    login = {"@context": f"{AUTH_1}/context.json", "@id": f"{base}/auth/login", "profile": f"{AUTH_1}/login"}
    return [{**login, "label": "Log in", "service": [token, logout]}]


def auth_2(base: str, key: str) -> list[dict[str, Any]]:
    """Return the services of IIIF Auth 2 (§5 probe, §3 access, §4 token, §7 logout)."""
    token = {"id": f"{base}/auth/token?v=2", "type": "AuthAccessTokenService2"}
    logout = {"id": f"{base}/auth/logout", "type": "AuthLogoutService2", "label": {"en": ["Log out"]}}
    access = {"id": f"{base}/auth/login", "type": "AuthAccessService2", "profile": "active"}
    access |= {"label": {"en": ["Log in"]}, "service": [token, logout]}  # type: ignore[dict-item]  # JSON
    return [{"@context": AUTH_2, "id": f"{base}/auth/probe/{key}", "type": "AuthProbeService2", "service": [access]}]


class Handler(BaseHTTPRequestHandler):
    """Answers nginx at `/auth`, and browsers below `/auth/`."""

    protocol_version = "HTTP/1.1"
    service: Service

    def do_GET(self) -> None:
        """Answer the gate's question, or one of the services of IIIF Auth."""
        path = urlsplit(self.path).path
        if path == "/auth":
            self._gate()
        elif path.startswith("/auth/probe/"):
            self._probe(path.rpartition("/")[2])
        else:
            answers = {"/auth/login": self._login, "/auth/token": self._token, "/auth/logout": self._logout}
            answers.get(path, lambda: self._send(404))()

    def do_OPTIONS(self) -> None:
        """Let viewers send the token to the probe service (Auth 2.0 §5.1)."""
        self._send(204, headers={"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Authorization"})

    def _gate(self) -> None:
        """Allow or refuse a request, by what nginx says of it and nothing else."""
        kind, key = self.headers.get("X-Image-Kind"), self.headers.get("X-Image-Key", "")
        version = self.headers.get("X-Image-Version", "")
        image = self.service.images.get(key)
        if kind == "other":  # the rest of the site
            self._send(204)
        elif kind == "unread" or image is None:
            self._send(403)
        elif "instead" not in image:
            # Auth 1.0 §4.1: a viewer that was sent here learns how to see more.
            offers = kind == "info" and version == "2" and key in self.service.substitutes
            self._send(204, headers={"X-Image-Services": json.dumps(auth_1(self._base))} if offers else {})
        else:
            self._guarded(kind == "info", version, key, image["instead"])

    def _guarded(self, info: bool, version: str, key: str, instead: str) -> None:  # noqa: FBT001  # of two kinds
        """Allow, refuse or redirect. In Auth 2 info.json is no secret: the probe service says who may see the image."""
        services = auth_2(self._base, key) if version == "3" else auth_1(self._base)
        described = {"X-Image-Services": json.dumps(services)} if info else {}
        if self.service.may(key, self._secret) or (info and version == "3"):
            self._send(204, headers=described)
        elif info:  # Auth 1.0 §4.1: the client is sent to what it may see
            self._send(401, headers={"X-Image-Instead": self._image(version, instead)})
        else:
            self._send(401)

    def _login(self) -> None:
        cookie = secrets.token_urlsafe(32)
        self.service.sessions[cookie] = secrets.token_urlsafe(32)
        # Images are embedded in other sites' pages: without SameSite=None, which needs Secure, it would not be sent.
        self._send(200, CLOSE, {"Set-Cookie": f"{COOKIE}={cookie}; Path=/; HttpOnly; Secure; SameSite=None"})

    def _logout(self) -> None:
        self.service.sessions.pop(self._cookie, None)
        self._send(200, CLOSE, {"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0; Secure; SameSite=None"})

    def _token(self) -> None:
        """Send the token for a cookie to the viewer's page, by a message or, if it asks so (Auth 1), as JSON."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        token, modern = self.service.sessions.get(self._cookie), query.get("v") == "2"
        content: dict[str, Any] = {"@context": AUTH_2, "type": "AuthAccessToken2"} if modern else {}
        if token:
            content |= {"accessToken": token, "expiresIn": 3600}
        elif modern:
            content |= {"type": "AuthAccessTokenError2", "profile": "missingAspect"}
        else:
            content |= {"error": "missingCredentials", "description": "Nobody is logged in."}
        if "messageId" not in query:
            self._json(content, 200 if token else 401)
            return
        content["messageId"] = query["messageId"]
        origin = query.get("origin", "")
        if not _ORIGIN.fullmatch(origin):
            self._send(400)
            return
        # `<` could end the script.
        message = json.dumps(content).replace("<", "\\u003c")
        self._send(200, MESSAGE.format(message=message, origin=json.dumps(origin)))

    def _probe(self, segment: str) -> None:
        """Say whether the one with this token may see the image; the answer itself is always 200 (Auth 2.0 §5.2)."""
        image = self.service.images.get(segment)
        content: dict[str, Any] = {"@context": AUTH_2, "type": "AuthProbeResult2"}
        if image is None:
            content |= {"status": 404}
        elif self.service.may(segment, self._bearer):
            content |= {"status": 200}
        else:
            substitute = self._image("3", image["instead"]).removesuffix("/info.json")
            content |= {"status": 401, "heading": {"en": ["Please log in"]}}
            content |= {"substitute": {"id": substitute, "type": "ImageService3"}}
        self._json(content)

    @property
    def _base(self) -> str:
        """The site as the client knows it, from the headers that nginx sets."""
        headers = self.headers
        prefix = headers.get("X-Forwarded-Path", "")
        return f"{headers.get('X-Forwarded-Proto', 'https')}://{headers.get('X-Forwarded-Host', '')}{prefix}"

    def _image(self, version: str, identifier: str) -> str:
        return f"{self._base}/iiif/{version}/{quote(identifier, safe='')}/info.json"

    @property
    def _cookie(self) -> str:
        found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        return found.value if found else ""

    @property
    def _bearer(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else ""

    @property
    def _secret(self) -> str:
        """The token, which scripts send for info.json, or the cookie, which browsers send for images."""
        return self._bearer or self._cookie

    def _json(self, content: Mapping[str, Any], status: int = 200) -> None:
        cors = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
        self._send(status, json.dumps(content), cors)

    def _send(self, status: int, text: str = "", headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html;charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: URLs and headers are secret here."""


def server(port: int, images: Images) -> ThreadingHTTPServer:
    """Return the service, on loopback: nginx is the only one to ask."""
    keyed = {quote(identifier, safe=""): image for identifier, image in images.items()}
    handler = type("BoundHandler", (Handler,), {"service": Service(keyed)})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    server(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))).serve_forever()
