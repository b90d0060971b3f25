"""Judging a pair of answers: equal, within tolerance, different and where, or not to be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TypeGuard

from sidecar.compare.pixels import Couple, Distance, Unreadable
from sidecar.compare.requests import Wanted
from sidecar.compare.servers import Answer, NoAnswer, Reply

BY_DESIGN = frozenset(
    {
        # When and by whom, and what differs with the bytes of the same picture.
        *("date", "server", "x-powered-by", "age", "x-request-id", "server-timing"),
        *("etag", "last-modified", "content-length", "accept-ranges"),
        # Of the connection, not of the answer: RFC 9110 §7.6.1.
        *("connection", "keep-alive", "transfer-encoding"),
    }
)
"""Headers whose differences mean nothing."""
_LISTS = frozenset({"vary", "cache-control", "access-control-allow-methods", "access-control-allow-headers"})


class Outcome(StrEnum):
    """What comparing two answers comes to, best first."""

    EQUAL = "equal"
    CLOSE = "within tolerance"
    DIFFERENT = "different"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far pictures may be apart, and what is not looked at."""

    mean: float
    maximum: int
    psnr: float
    ignore: frozenset[str] = frozenset()
    """Fields of differences; one that ends in `*` stands for all that begin so."""

    def permits(self, distance: Distance) -> bool:
        """Whether a distance is small enough."""
        return distance.mean <= self.mean and distance.maximum <= self.maximum and distance.psnr >= self.psnr

    def ignores(self, name: str) -> bool:
        """Whether a field is not looked at."""
        starts = tuple(field[:-1] for field in self.ignore if field.endswith("*"))
        return name in self.ignore or (bool(starts) and name.startswith(starts))


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same."""

    field: str
    """`status`, a header's name, `size`, `icc`, `pixels`, `body`, or the path within info.json."""
    cantaloupe: str
    sidecar: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one request."""

    wanted: Wanted
    outcome: Outcome
    differences: Sequence[Difference] = ()
    distance: Distance | None = None
    same_bytes: bool = False
    """As where the sidecar handed the request to this Cantaloupe."""
    seconds: Sequence[Sequence[float]] = ((), ())
    """Of Cantaloupe and of the sidecar, each round."""


def judge(wanted: Wanted, replies: Sequence[Reply], tolerance: Tolerance) -> tuple[Verdict, Couple | None]:
    """Compare Cantaloupe's answer and the sidecar's; the couple of pictures where there are two that are not equal."""
    cantaloupe, sidecar = replies
    if isinstance(cantaloupe, NoAnswer) or isinstance(sidecar, NoAnswer):
        reasons = (reply.reason if isinstance(reply, NoAnswer) else str(reply.status) for reply in replies)
        return Verdict(wanted, Outcome.FAILED, (Difference("answer", *reasons),)), None
    found, couple = _bodies(wanted, cantaloupe, sidecar)
    distance = couple.distance if couple else None
    if distance and not tolerance.permits(distance):
        found.append(Difference("pixels", "", f"mean {distance.mean:.2f}, PSNR {distance.psnr:.1f} dB"))
    every = (*_heads(cantaloupe, sidecar), *found)
    differences = [difference for difference in every if not tolerance.ignores(difference.field)]
    close = distance is not None and distance.maximum > 0
    outcome = Outcome.DIFFERENT if differences else Outcome.CLOSE if close else Outcome.EQUAL
    same_bytes = cantaloupe.body == sidecar.body
    return Verdict(wanted, outcome, differences, distance, same_bytes, (cantaloupe.seconds, sidecar.seconds)), couple


def _heads(cantaloupe: Answer, sidecar: Answer) -> Iterator[Difference]:
    if cantaloupe.status != sidecar.status:
        yield Difference("status", str(cantaloupe.status), str(sidecar.status))
    elif cantaloupe.status < HTTPStatus.BAD_REQUEST:  # who refuses may word it freely
        for name in sorted({*cantaloupe.headers, *sidecar.headers} - BY_DESIGN):
            values = [answer.neutral(answer.headers.get(name, "")) for answer in (cantaloupe, sidecar)]
            if _meaning(name, values[0]) != _meaning(name, values[1]):
                yield Difference(name, *values)


def _meaning(name: str, value: str) -> object:
    """A header's value without what makes no difference: spaces, case, the order of a list."""
    if name in _LISTS:
        return frozenset(part.strip().lower() for part in value.split(","))
    if name == "content-type":
        return [part.strip().lower() for part in value.split(";")]
    return value


def _bodies(wanted: Wanted, cantaloupe: Answer, sidecar: Answer) -> tuple[list[Difference], Couple | None]:
    answers = (cantaloupe, sidecar)
    whole = all(answer.status == HTTPStatus.OK for answer in answers)
    if wanted.method == "HEAD" or not whole or cantaloupe.body == sidecar.body:
        return [], None
    if wanted.is_info:
        return _documents(*answers), None
    try:
        couple = Couple(cantaloupe.body, sidecar.body)
    except Unreadable as error:
        return [Difference("body", f"{len(cantaloupe.body)} bytes", f"{len(sidecar.body)} bytes; {error}")], None
    return _frames(couple), couple


def _frames(couple: Couple) -> list[Difference]:
    found = []
    if couple.sizes[0] != couple.sizes[1]:
        found.append(Difference("size", *("{}x{}".format(*size) for size in couple.sizes)))
    if couple.profiles[0] != couple.profiles[1]:
        found.append(Difference("icc", *("embedded" if profile else "none" for profile in couple.profiles)))
    return found


def _documents(cantaloupe: Answer, sidecar: Answer) -> list[Difference]:
    try:
        one, other = (json.loads(answer.neutral(answer.body.decode())) for answer in (cantaloupe, sidecar))
    except ValueError as error:
        return [Difference("body", "", f"not JSON: {error}")]
    return list(_apart("", one, other))


def _apart(path: str, one: object, other: object) -> Iterator[Difference]:
    """The places where two JSON documents differ; the order of lists of words says nothing."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in (*one, *(key for key in other if key not in one)):
            yield from _apart(f"{path}.{key}".lstrip("."), one.get(key), other.get(key))
    elif _are_words(one) and _are_words(other):
        extra = [sorted({*mine} - {*theirs}) for mine, theirs in ((one, other), (other, one))]
        if any(extra):
            yield Difference(path, *(json.dumps(words) for words in extra))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _apart(f"{path}[{index}]", *pair)
    elif one != other:
        yield Difference(path, json.dumps(one), json.dumps(other))


def _are_words(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
