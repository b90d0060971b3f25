"""`sidecar index`: what decoders learn of images is learned and kept before anybody asks for them."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Literal, TypeAlias

import gevent
import typer
from gevent.pool import Pool

from sidecar.cli.console import print_json, printable, say
from sidecar.cli.named_images import STDIN, Named, named, suffixes_of
from sidecar.cli.progress import Progress
from sidecar.cli.setting_up import Loaded, loaded
from sidecar.errors import SidecarError, SourceError, StartError, Unsupported
from sidecar.observability.redaction import redacted
from sidecar.plugin import Blob, Decoder, Indexes
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.plugin_calls import plugin_call

Outcome: TypeAlias = Literal["indexed", "known", "skipped", "failed"]
_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells have it."""
_LISTED: Final = 100
"""Failures that JSON lists."""


class _StoreLost(Exception):
    """What is learned can no longer be kept."""


@dataclass(slots=True)
class Summary:
    """What became of the images."""

    indexed: int = 0
    """Learned and kept now."""
    known: int = 0
    """Kept already, and unchanged."""
    skipped: int = 0
    """Of a format of which nothing is learned."""
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    """The first of them, with the reason."""
    interrupted: bool = False
    stopped_by: str = ""
    """Why it ended before its time; empty if it did not."""

    @property
    def status(self) -> int:
        """The exit status."""
        if self.interrupted:
            return _INTERRUPTED
        if self.stopped_by or not self.indexed + self.known + self.skipped + self.failed:
            return 1
        return 3 if self.failed else 0


def execute(places: Sequence[str], *, at_once: int, json: bool) -> int:
    """Index all images of places; returns the exit status. Raises StartError."""
    with loaded() as tools:
        decoders = [each for each in tools.registry.decoders if isinstance(each, Indexes)]
        for line in _stores(decoders):
            typer.echo(line, err=True)
        found = Run(tools, at_once).all(places)
    if json:
        print_json(found)
    else:
        _show(found)
    return found.status


def _stores(decoders: Sequence[Indexes]) -> Sequence[str]:
    """Return a line for each place at which indexes are kept. Raises StartError if there is none, or one is ill."""
    states = {state.place: state for decoder in decoders for state in decoder.examine_stores()}
    if not states:
        raise StartError("nothing is set to keep indexes: set SIDECAR_JP2_INDEX_URL, SIDECAR_JP2_INDEX_FOLDER or both")
    for state in states.values():
        if state.problem or not state.writable:
            raise StartError(f"{state.place}: {redacted(state.problem) or 'it cannot be written'}")
    return [f"keeping in {place}" for place in states]


class Run:
    """One run over all images, several at once."""

    def __init__(self, tools: Loaded, at_once: int) -> None:
        self._tools = tools
        self._choice = DecoderChoice(tools.registry.decoders)
        self._suffixes = suffixes_of(each for each in tools.registry.decoders if isinstance(each, Indexes))
        self._pool = Pool(at_once)
        self._progress = Progress()
        self._summary = Summary()

    def all(self, places: Sequence[str]) -> Summary:
        """Index all images of places, whatever happens to some of them."""
        summary = self._summary
        counting = None if STDIN in places else gevent.spawn(self._count, places)
        try:
            with _interruptible():
                for each in named(self._tools, places, self._suffixes):
                    self._pool.spawn(self._one, each)
                    if summary.stopped_by:
                        break
                self._pool.join()
        except KeyboardInterrupt:
            summary.interrupted = True
        except SidecarError as error:  # of a place that cannot be listed
            self._pool.join()
            summary.stopped_by = redacted(str(error))
        finally:
            self._pool.kill()
            if counting:
                counting.kill()
            self._progress.end()
        return summary

    def _count(self, places: Sequence[str]) -> None:
        """Count the images beside the work: a listing has a thousand in each page."""
        count = 0
        try:
            for _ in named(self._tools, places, self._suffixes):
                count += 1
                gevent.sleep(0)
        except SidecarError:  # whoever does the work reports it
            return
        self._progress.total = count

    def _one(self, each: Named) -> None:
        summary = self._summary
        if summary.stopped_by:
            return
        try:
            outcome = self._indexed(each.blob())
        except _StoreLost as error:
            summary.stopped_by = str(error)
            return
        except SidecarError as error:
            outcome = "failed"
            line = printable(f"{each.name}: {error.reason}: {redacted(str(error))}")
            self._progress.say(line)
            summary.failures += [line] if len(summary.failures) < _LISTED else []
        setattr(summary, outcome, getattr(summary, outcome) + 1)
        done = summary.indexed + summary.known + summary.skipped + summary.failed
        self._progress.at(done, f"{summary.known:,} known, {summary.failed:,} failed  {printable(each.name)}")

    def _indexed(self, blob: Blob) -> Outcome:
        """Index an image by the first decoder that opens it. Raises what opening raises, _StoreLost."""
        candidates: list[tuple[Decoder, Indexes]] = [
            (each, each) for each in self._choice.candidates(blob) if isinstance(each, Indexes)
        ]
        if not candidates:
            return "skipped"
        if any(power.is_indexed(blob) for _, power in candidates):
            return "known"
        refusal: Unsupported | None = None
        for decoder, power in candidates:
            try:
                with plugin_call(decoder.name, blob.name):
                    power.index(blob)
            except Unsupported as error:
                refusal = refusal or error
            except SourceError:
                _check(power)
                raise
            else:
                return "indexed"
        assert refusal is not None  # noqa: S101  # nobody opened it
        raise refusal


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in this greenlet when SIGINT comes, and in no other, which would print it."""
    main = gevent.getcurrent()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if gevent.getcurrent() is main:
            raise KeyboardInterrupt
        gevent.kill(main, KeyboardInterrupt)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check(decoder: Indexes) -> None:
    """Raise _StoreLost if it was not the image that failed."""
    for state in decoder.examine_stores():
        if state.problem or not state.writable:
            raise _StoreLost(f"{state.place}: {redacted(state.problem) or 'it can no longer be written'}")


def _show(found: Summary) -> None:
    counts = Counter(indexed=found.indexed, known=found.known, skipped=found.skipped, failed=found.failed)
    words = {"indexed": "indexed", "known": "unchanged", "skipped": "of other formats", "failed": "failed"}
    text = ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts[name] or name == "indexed")
    if found.interrupted:
        text += "; interrupted: run it again, and it goes on where it was"
    if found.stopped_by:
        text += f"; stopped: {found.stopped_by}"
    say(text, typer.colors.RED if found.failed or found.stopped_by else None)
