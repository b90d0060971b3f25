"""The finding for each request: the two responses are equal, close, different, or one of them is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TypeGuard

from sidecar_compare.answered import HANDED_OVER, NOBODY, REASON, Answered, answered
from sidecar_compare.documented import Case, documented
from sidecar_compare.errors import UnreadableImage
from sidecar_compare.images import Distance, ImagePair
from sidecar_compare.requests import Request
from sidecar_compare.servers import NoResponse, Reply, Response
from sidecar_compare.tolerance import Tolerance

BY_DESIGN = frozenset(
    {
        # Time and server; headers that change with the encoded bytes of the same image.
        *("date", "server", "x-powered-by", "age", "x-request-id", "server-timing"),
        *("etag", "last-modified", "content-length", "accept-ranges"),
        # They describe the connection, not the response (RFC 9110 §7.6.1).
        *("connection", "keep-alive", "transfer-encoding"),
        # Only the sidecar says it.
        REASON,
    }
)
"""Headers that are not compared, because they may differ between equal responses."""
_LISTS = frozenset({"vary", "cache-control", "access-control-allow-methods", "access-control-allow-headers"})


class Outcome(StrEnum):
    """The result of comparing two responses, best first."""

    EQUAL = "equal"
    CLOSE = "within tolerance"
    DIFFERENT = "different"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs, with both values."""

    field: str
    """`response`, `status`, a header's name, `size`, `icc`, `pixels`, `body`, or a path within info.json."""
    cantaloupe: str
    sidecar: str
    documented: str = ""
    """The name of the known difference that it is; empty if it is news."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one request."""

    request: Request
    outcome: Outcome
    differences: Sequence[Difference] = ()
    distance: Distance | None = None
    same_bytes: bool = False
    """Also true if the sidecar hands the request over to the same Cantaloupe."""
    seconds: Sequence[Sequence[float]] = ((), ())
    """Times of Cantaloupe and of the sidecar, one for each round."""
    answered: Answered = NOBODY
    """Who answered the request that was sent to the sidecar, and why."""

    @property
    def documented(self) -> Sequence[str]:
        """The names of the known differences, if all differences are known; else none."""
        names = [difference.documented for difference in self.differences]
        return names if all(names) else []


def find(request: Request, replies: Sequence[Reply], tolerance: Tolerance) -> tuple[Finding, ImagePair | None]:
    """Compare the replies of Cantaloupe and of the sidecar.

    Returns the decoded images too if both responses are images whose bytes differ.
    """
    cantaloupe, sidecar = replies
    if isinstance(cantaloupe, NoResponse) or isinstance(sidecar, NoResponse):
        reasons = (reply.reason if isinstance(reply, NoResponse) else str(reply.status) for reply in replies)
        return Finding(request, Outcome.FAILED, (Difference("response", *reasons),)), None
    who = answered(sidecar.headers, direct=sidecar.direct)
    if HANDED_OVER in sidecar.headers:
        # Asked without nginx: what Cantaloupe would answer is what it has answered.
        return Finding(request, Outcome.EQUAL, answered=who), None
    found, pair = _bodies(request, cantaloupe, sidecar)
    distance = pair.distance if pair else None
    if distance and not tolerance.permits(distance, request):
        found.append(Difference("pixels", "", f"mean {distance.mean:.2f}, PSNR {distance.psnr:.1f} dB"))
    every = (
        replace(each, documented=_documented(request, cantaloupe, sidecar, each, pair))
        for each in (*_headers(cantaloupe, sidecar), *found)
    )
    differences = [each for each in every if not tolerance.ignores(each.field, each.documented)]
    close = distance is not None and distance.maximum > 0
    outcome = Outcome.DIFFERENT if differences else Outcome.CLOSE if close else Outcome.EQUAL
    same_bytes = cantaloupe.body == sidecar.body
    seconds = (cantaloupe.seconds, sidecar.seconds)
    return Finding(request, outcome, differences, distance, same_bytes, seconds, who), pair


def _documented(
    request: Request, cantaloupe: Response, sidecar: Response, found: Difference, pair: ImagePair | None
) -> str:
    return documented(Case(request, cantaloupe, sidecar, found.field, (found.cantaloupe, found.sidecar), pair))


def _headers(cantaloupe: Response, sidecar: Response) -> Iterator[Difference]:
    if cantaloupe.status != sidecar.status:
        yield Difference("status", str(cantaloupe.status), str(sidecar.status))
    elif cantaloupe.status < HTTPStatus.BAD_REQUEST:  # the headers of an error depend on the server
        # A redirect's text is for nobody, and so is its type.
        names = {*cantaloupe.headers, *sidecar.headers} - BY_DESIGN
        for name in sorted(names if cantaloupe.status < HTTPStatus.MULTIPLE_CHOICES else names - {"content-type"}):
            values = [response.without_base(response.headers.get(name, "")) for response in (cantaloupe, sidecar)]
            if _normalized(name, values[0]) != _normalized(name, values[1]):
                yield Difference(name, *values)


def _normalized(name: str, value: str) -> object:
    """Remove what has no meaning in the header: spaces, case, the order of a list."""
    if name in _LISTS:
        return frozenset(part.strip().lower() for part in value.split(","))
    if name == "content-type":
        return [part.strip().lower() for part in value.split(";")]
    return value


def _bodies(request: Request, cantaloupe: Response, sidecar: Response) -> tuple[list[Difference], ImagePair | None]:
    responses = (cantaloupe, sidecar)
    whole = all(response.status == HTTPStatus.OK for response in responses)
    if request.method == "HEAD" or not whole or cantaloupe.body == sidecar.body:
        return [], None
    if request.is_info:
        return _documents(*responses), None
    try:
        pair = ImagePair(cantaloupe.body, sidecar.body)
    except UnreadableImage as error:
        return [Difference("body", f"{len(cantaloupe.body)} bytes", f"{len(sidecar.body)} bytes; {error}")], None
    return _properties(pair), pair


def _properties(pair: ImagePair) -> list[Difference]:
    found = []
    if pair.sizes[0] != pair.sizes[1]:
        found.append(Difference("size", *("{}x{}".format(*size) for size in pair.sizes)))
    if pair.profiles[0] != pair.profiles[1]:
        found.append(Difference("icc", *("embedded" if profile else "none" for profile in pair.profiles)))
    return found


def _documents(cantaloupe: Response, sidecar: Response) -> list[Difference]:
    try:
        one, other = (json.loads(response.without_base(response.body.decode())) for response in (cantaloupe, sidecar))
    except ValueError as error:
        return [Difference("body", "", f"not JSON: {error}")]
    return list(_differing("", one, other))


def _differing(path: str, one: object, other: object) -> Iterator[Difference]:
    """Yield the paths at which two JSON documents differ; the order of a list of strings does not count."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in (*one, *(key for key in other if key not in one)):
            yield from _differing(f"{path}.{key}".lstrip("."), one.get(key), other.get(key))
    elif _are_strings(one) and _are_strings(other):
        extra = [sorted({*mine} - {*theirs}) for mine, theirs in ((one, other), (other, one))]
        if any(extra):
            yield Difference(path, *(json.dumps(strings) for strings in extra))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _differing(f"{path}[{index}]", *pair)
    elif one != other:
        yield Difference(path, json.dumps(one), json.dumps(other))


def _are_strings(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
