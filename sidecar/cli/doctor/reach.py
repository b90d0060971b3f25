"""What the sidecar has to reach: its sources, Cantaloupe, and itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Final

import urllib3

from sidecar.cli import health
from sidecar.cli.doctor.finding import Finding
from sidecar.config import Settings
from sidecar.errors import SidecarError, StartError
from sidecar.observability.redaction import redacted
from sidecar.plugin import Decoder, Indexes, Source
from sidecar.render.service import ImageService

_SECONDS: Final = 5.0
"""That an answer may take."""
_PATIENCE: Final = urllib3.Timeout(connect=3.0, read=_SECONDS)
_PROBE: Final = "sidecar-doctor-probe.jp2"
"""An identifier that no image should have."""
_SKEW: Final = 60.0
"""Seconds between two clocks that are worth a word."""


def sources(found: Iterable[Source]) -> Iterator[Finding]:
    """Yield whether each source answers, by asking for an image that it does not have."""
    every = [*found]
    if not every:
        text = "no source is set up, so no image is found"
        yield Finding("sources", "problem", text, "set SIDECAR_FILESYSTEM_ROOT, or what the plugins http and s3 need")
    for source in every:
        began = time.perf_counter()
        try:
            source.find(_PROBE)
        except SidecarError as error:
            text = f"{source.name}: {redacted(str(error))}"
            yield Finding("sources", "problem", text, "see that the address, the rights and the network are right")
            continue
        yield Finding("sources", "ok", f"{source.name} answers, in {(time.perf_counter() - began) * 1000:.0f} ms")


def stores(decoders: Iterable[Decoder]) -> Iterator[Finding]:
    """Yield whether the places answer at which decoders keep what they learn."""
    found = {state.place: state for each in decoders if isinstance(each, Indexes) for state in each.examine_stores()}
    for state in found.values():
        if state.problem:
            text = f"{state.place}: {redacted(state.problem)}"
            remedy = "images are served without it, with more requests to their source; see docs/operate/index.md"
            yield Finding("indexes", "warning", text, remedy)
        elif not state.writable:
            text = f"{state.place} answers, in {state.milliseconds:.0f} ms, and takes nothing from this sidecar"
            yield Finding("indexes", "ok", f"{text}: right if `sidecar index` fills it elsewhere")
        else:
            yield Finding("indexes", "ok", f"{state.place} answers, in {state.milliseconds:.0f} ms")


def image(service: ImageService, identifier: str) -> Iterator[Finding]:
    """Yield whether an image is found and can be opened."""
    try:
        info = service.info(service.blob(identifier))
    except SidecarError as error:
        text = f"{identifier}: {error.reason}: {redacted(str(error))}"
        yield Finding("sources", "problem", text, "`sidecar inspect` and `sidecar explain` have more")
        return
    yield Finding("sources", "ok", f"{identifier} is found and opened: {info.size.width} x {info.size.height} pixels")


def cantaloupe(url: str) -> Iterator[Finding]:
    """Yield whether Cantaloupe answers."""
    if not url:
        text = "SIDECAR_CANTALOUPE_URL is not set: nothing was asked (behind the nginx site none is needed)"
        yield Finding("Cantaloupe", "ok", text)
        return
    began = time.time()
    try:
        response = urllib3.request("GET", url, timeout=_PATIENCE, retries=False, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        text = f"{redacted(url)} does not answer: {redacted(str(error))}"
        remedy = "start it, or correct the address; until then, what is handed over gets 502"
        yield Finding("Cantaloupe", "problem", text, remedy)
        return
    milliseconds = (time.time() - began) * 1000
    who = response.headers.get("X-Powered-By") or response.headers.get("Server") or "no name"
    text = f"{redacted(url)} answers {response.status} in {milliseconds:.0f} ms ({who})"
    yield Finding("Cantaloupe", "ok", text)
    yield from _skew(response.headers.get("Date"), began)


def _skew(date: str | None, began: float) -> Iterator[Finding]:
    """Yield whether another server's clock (RFC 9110 §6.6.1) says the same as this one's."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return
    apart = abs((theirs - datetime.fromtimestamp(began, UTC)).total_seconds())
    if apart > _SKEW:
        text = f"this clock and Cantaloupe's are {apart:.0f} seconds apart"
        yield Finding("clock", "warning", text, "see which one is wrong, and run an NTP client there")


def itself(settings: Settings) -> Iterator[Finding]:
    """Yield whether a sidecar runs where the settings say."""
    try:
        where = health.listener(settings.bind)
    except StartError:
        yield Finding("server", "ok", f"{settings.bind}: not asked")
        return
    try:
        status, said = health.ask(where, "/sidecar/ready", _SECONDS)
    except (OSError, HTTPException):
        yield Finding("server", "warning", f"nobody answers at {where}", "start it: `sidecar serve`")
        return
    good = status == HTTPStatus.OK
    text = f"{where} answers {status}: {said}"
    yield Finding("server", "ok" if good else "warning", text, "" if good else "see docs/operate/health.md")
