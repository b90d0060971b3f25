"""Events as AWS's fronts make them of a request, in the forms that AWS documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

HOST: Final = "images.example.org"
CLIENT: Final = "203.0.113.7"
Headers = Mapping[str, str]
Event = dict[str, Any]


def _sent(scheme: str, headers: Headers) -> dict[str, str]:
    """Headers as they reach a function: those of the client, and those that the front adds or overwrites."""
    port = "443" if scheme == "https" else "80"
    forwarded = headers.get("x-forwarded-for")
    added = {"x-forwarded-for": f"{forwarded}, {CLIENT}" if forwarded else CLIENT}
    return {"host": HOST, **headers, **added, "x-forwarded-proto": scheme, "x-forwarded-port": port}


def rest(target: str, method: str = "GET", headers: Headers | None = None, stage: str = "prod") -> Event:
    """API Gateway, REST API, Lambda proxy integration (format 1.0): the path as it came, without the stage."""
    path, _, query = target.partition("?")
    sent = {name.title(): value for name, value in _sent("https", headers or {}).items()}
    pairs = parse_qsl(query, keep_blank_values=True)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": {name: [v for n, v in pairs if n == name] for name, _ in pairs} or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "domainName": HOST,
            "identity": {"sourceIp": CLIENT, "userAgent": "curl/8"},
        },
        "body": None,
        "isBase64Encoded": False,
    }


def http_1(target: str, method: str = "GET", headers: Headers | None = None) -> Event:
    """API Gateway, HTTP API with payload format 1.0: the path decoded."""
    event = rest(target, method, headers, "$default")
    return {**event, "version": "1.0", "path": unquote(event["path"])}


def url(
    target: str, method: str = "GET", headers: Headers | None = None, domain: str = "x.lambda-url.eu.on.aws"
) -> Event:
    """A function URL (format 2.0): the path as it came."""
    path, _, query = target.partition("?")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": _sent("https", headers or {}),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "x",
            "domainName": domain,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": CLIENT, "userAgent": "curl/8"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }


def http_2(target: str, method: str = "GET", headers: Headers | None = None) -> Event:
    """API Gateway, HTTP API with payload format 2.0: the path decoded."""
    event = url(target, method, headers, "x.execute-api.eu-west-1.amazonaws.com")
    return {**event, "rawPath": unquote(event["rawPath"])}


def balancer(target: str, method: str = "GET", headers: Headers | None = None) -> Event:
    """An application load balancer, with single values: path and query as they came."""
    path, _, query = target.partition("?")
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1"}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": dict(each.partition("=")[::2] for each in query.split("&")) if query else {},
        "headers": _sent("https", headers or {}),
        "body": "",
        "isBase64Encoded": False,
    }


def balancer_multiple(target: str, method: str = "GET", headers: Headers | None = None) -> Event:
    """An application load balancer, with multi-value headers switched on."""
    event = balancer(target, method, headers)
    query = event.pop("queryStringParameters")
    return {
        **event,
        "headers": None,
        "multiValueHeaders": {name: [value] for name, value in event["headers"].items()},
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
    }


FRONTS: Final = (rest, http_1, http_2, url, balancer, balancer_multiple)


def as_bytes(event: Event) -> bytes:
    """An event as the runtime API hands it out."""
    return json.dumps(event).encode()
