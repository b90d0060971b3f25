"""What an event says of a request: API Gateway's formats 1.0 and 2.0, a load balancer's, a function URL's.

apig-wsgi makes WSGI's environment of an event. Here are the parts that it guesses, from what AWS itself has written
into the event rather than from headers, which clients write.

The fronts differ in how they pass on a path. REST APIs, load balancers and function URLs leave it as it came. HTTP APIs
decode it, so an identifier `a%2Fb` comes as `a/b`; since slashes of identifiers have to be encoded (IIIF Image API 3.0
§9), and what follows an identifier has a fixed number of segments, they can be encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from sidecar.http.middleware import StartResponse, Wsgi

Event: TypeAlias = Mapping[str, Any]
EVENT: Final = "apig_wsgi.full_event"
"""Where apig-wsgi leaves the event in WSGI's environment."""
_KIB: Final = 1024
_WHOLE: Final = 6 * _KIB * _KIB
"""Bytes of a function's answer, as JSON (Lambda quotas, "Invocation payload")."""
_BALANCED: Final = _KIB * _KIB
"""The same behind a load balancer (Elastic Load Balancing, "Lambda functions as targets", limits)."""
_HEAD: Final = 16 * _KIB
"""Of that for everything but the body."""
_FUNCTION_URL: Final = ".lambda-url."
_SCHEMES: Final = ("http", "https")
_NOBODY: Final = "0.0.0.0"  # noqa: S104  # an address of no peer; nothing listens on it
# RFC 3986 §3.3, without the percent sign.
_PCHARS: Final = "!$&'()*+,;=:@"
_DOCUMENT_OR_PICTURE: Final = re.compile(r"(.*?/iiif/[0-9]+/)(.+)(/info\.json|(?:/[^/]+){4})")
_BASE: Final = re.compile(r"(.*?/iiif/[0-9]+/)(.+)()")


@dataclass(frozen=True, slots=True)
class Came:
    """How a request came, as far as AWS vouches for it."""

    path: str
    """Percent-encoded, as on the request line."""
    address: str
    """Of the client, or of what stands in front of AWS's front."""
    scheme: str
    longest: int
    """Bytes of the body of an answer that can be passed on whole; as base64 it takes a third more."""


def read(event: Event) -> Came:
    """Read an event. Raises ValueError if it is none of a request."""
    try:
        context = event["requestContext"]
        return _balanced(event) if "elb" in context else _through_api(event, context)
    except (AttributeError, KeyError, TypeError) as error:
        text = "this event is no HTTP request: it comes from no API Gateway, load balancer or function URL"
        raise ValueError(text) from error


def _through_api(event: Event, context: Mapping[str, Any]) -> Came:
    if event.get("version") == "2.0":
        path, address = str(event["rawPath"]), context["http"]["sourceIp"]
        decoded = _FUNCTION_URL not in str(context.get("domainName", ""))
    else:
        path, address = str(event["path"]), context.get("identity", {}).get("sourceIp")
        decoded = "version" in event  # HTTP APIs state it, REST APIs do not
    return Came(_encoded(path) if decoded else path, _address(address), "https", _longest(_WHOLE))


def _balanced(event: Event) -> Came:
    # The balancer adds the peer's address at the end, and overwrites the scheme.
    forwarded, scheme = _header(event, "x-forwarded-for"), _header(event, "x-forwarded-proto").lower()
    address = _address(forwarded.rpartition(",")[2].strip())
    return Came(str(event["path"]), address, scheme if scheme in _SCHEMES else "http", _longest(_BALANCED))


def _header(event: Event, name: str) -> str:
    """Return the last value of a header."""
    for key, values in (event.get("multiValueHeaders") or {}).items():
        if key.lower() == name and values:
            return str(values[-1])
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return ""


def _address(value: object) -> str:
    """Return an address; nobody's, if it is none or one of this machine, from which no request comes here."""
    try:
        found = ip_address(str(value))
    except ValueError:
        return _NOBODY
    return _NOBODY if found.is_loopback else str(found)


def _encoded(path: str) -> str:
    """Return a path as it came, of one that was decoded."""
    match = _DOCUMENT_OR_PICTURE.fullmatch(path) or _BASE.fullmatch(path)
    if match is None:
        return quote(path, safe=_PCHARS + "/")
    before, identifier, after = match.groups()
    return quote(before, safe=_PCHARS + "/") + quote(identifier, safe=_PCHARS) + quote(after, safe=_PCHARS + "/")


def _longest(payload: int) -> int:
    return (payload - _HEAD) // 4 * 3


class Vouched:
    """A WSGI application around another, to which only AWS says how a request came."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does."""
        came = read(environ[EVENT])
        query = str(environ.get("QUERY_STRING", ""))
        environ |= {
            # As gunicorn has them: PEP 3333 wants bytes as Latin-1.
            "RAW_URI": f"{came.path}?{query}" if query else came.path,
            "PATH_INFO": unquote(came.path, encoding="latin-1"),
            "REMOTE_ADDR": came.address,
            "wsgi.url_scheme": came.scheme,
        }
        # apig-wsgi has them for requests without a body, or a cookie, too.
        if environ.get("CONTENT_LENGTH") == "0":
            del environ["CONTENT_LENGTH"]
        if not environ.get("HTTP_COOKIE", "").strip(";"):
            environ.pop("HTTP_COOKIE", None)
        return self._app(environ, start_response)
