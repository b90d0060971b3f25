"""Wiring only: settings and plugins become the application of one worker."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sidecar import __version__, startup
from sidecar.config import Settings, Values, core
from sidecar.http.app import make_app
from sidecar.http.readiness import Readiness
from sidecar.http.status_report import StatusReport
from sidecar.limits import memory_limit
from sidecar.limits.access_policy import AccessPolicy
from sidecar.limits.admission import Admission
from sidecar.limits.cpu_share import CpuShare
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability import logging, metrics, tracing
from sidecar.observability.logging import log
from sidecar.observability.request_book import Record, RequestBook
from sidecar.plugin import Config, Folder, KeepsBytes, MayLose
from sidecar.registry import Registry
from sidecar.render.decoded_cache import DecodedCache
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.fetch import Fetcher
from sidecar.render.gathering import Gatherer
from sidecar.render.plan import PlanLimits
from sidecar.render.reader_cache import ReaderCache
from sidecar.render.renderer import Renderer
from sidecar.render.service import ImageService
from sidecar.render.streamed_responses import StreamedResponses
from sidecar.render.time_estimate import TimeLimits
from sidecar.server import descriptors, sandbox, shared_dir
from sidecar.server.crash_journal import CrashJournal
from sidecar.server.heap import resident
from sidecar.server.lifecycle import WorkerLifecycle, WorkerParts
from sidecar.server.reloads import RELOADS
from sidecar.server.restarts import RESTARTS

_BULK_NICE: Final = 5
"""How much lower than that of small responses the priority of large ones is (nice(1))."""
_BACKGROUND_NICE: Final = 10
"""How much lower that of work is that nobody waits for: it has a tenth of a processor that is fought for. Not more,
since such a thread may hold the GIL when it has to make room. It counts among the workers of one sidecar: what runs in
other sessions or cgroups has a share of its own (sched(7), "The autogroup feature")."""


def make_service(settings: Settings, registry: Registry, small: NativePool, quarantine: Quarantine) -> ImageService:
    """Return the image service of one worker: also what benchmarks, `explain` and tests use without HTTP."""
    cpu_share = CpuShare(len(os.sched_getaffinity(0)), shared_dir.shared())
    kept = settings.kept_bytes + _kept_bytes(registry)
    budget = memory_limit.budget(settings.memory_bytes, settings.workers, kept)
    part = memory_limit.kept_part(settings.memory_bytes, settings.workers, kept)
    large = settings.large_concurrency or max(1, cpu_share.count // settings.workers)
    cores = cpu_share.count
    bulk = NativePool(cores, nice=_BULK_NICE, note=small.note, share=cpu_share.share, stall=settings.stall_timeout)
    admission = Admission(
        budget,
        settings.queue_size,
        settings.queue_timeout,
        large,
        share=settings.client_share,
        stalled=lambda large: (bulk if large else small).stalled,
    )
    fetcher = Fetcher()
    renderer = Renderer(
        readers=ReaderCache(
            DecoderChoice(registry.decoders),
            descriptors.claim(settings).readers,
            quarantine,
            small.note,
            limit=int(part * settings.reader_cache_bytes),
        ),
        admission=admission,
        pool=small,
        bulk=bulk,
        cpu_share=cpu_share,
        fetcher=fetcher,
        gatherer=_gatherer(settings, small, fetcher, cores, part) if settings.gathered_pixels else None,
    )
    limits = PlanLimits(
        cores=cores,
        request_memory=settings.request_memory_bytes,
        memory=admission.largest(large=True),
        filter=settings.downscale_filter,
        background=settings.background,
        srgb=settings.color == "srgb",
        pass_tiles=settings.pass_tiles,
        time=TimeLimits(settings.first_byte_timeout, settings.total_timeout),
    )
    policy = AccessPolicy.of(settings)
    return ImageService(
        settings,
        registry.sources,
        registry.encoders,
        renderer,
        limits,
        policy,
        _loss(registry),
        streamed=StreamedResponses(int(part * settings.shared_response_bytes)),
    )


def _loss(registry: Registry) -> str:
    """Return all that changes what decoders lose; empty if they lose nothing."""
    return " ".join(f"{each.name}={each.loss}" for each in registry.decoders if isinstance(each, MayLose) and each.loss)


def _gatherer(settings: Settings, pool: NativePool, fetcher: Fetcher, cores: int, part: float) -> Gatherer:
    cpu_share = CpuShare(cores, shared_dir.shared(), "decodes")
    cache = DecodedCache(int(part * settings.decoded_cache_bytes))
    return Gatherer(pool, fetcher, cpu_share, cache, settings.gathered_pixels)


def _kept_bytes(registry: Registry) -> int:
    """Return the most bytes that sources and decoders keep between requests."""
    return sum(each.kept_bytes for each in (*registry.sources, *registry.decoders) if isinstance(each, KeepsBytes))


def create_app(
    config: Config,
    registry: Registry,
    pool: NativePool | None = None,
    journal: CrashJournal | None = None,
    found: startup.Setup | None = None,
) -> WorkerLifecycle:
    """Return the WSGI application of one worker. `found`: what the status page shows of the start."""
    settings = core(config)
    tracing.prepare(__version__)
    quarantine = Quarantine(shared_dir.shared(), settings.quarantine)
    service = make_service(
        settings, registry, pool or NativePool(settings.native_threads, stall=settings.stall_timeout), quarantine
    )
    renderer = service.renderer
    readiness = Readiness(renderer.admission, lambda: renderer.lost, registry.sources)
    gauges = metrics.Gauges(
        {
            metrics.PERMITS: lambda: renderer.admission.held,
            metrics.BUDGET: lambda: renderer.admission.budget,
            metrics.RESIDENT: resident,
            metrics.WAITING: lambda: renderer.admission.waiting,
            metrics.LEASED: lambda: renderer.readers.leased,
            metrics.IDLE: lambda: renderer.readers.idle,
            metrics.LOST: lambda: renderer.lost,
            metrics.FAILED_RELOADS: lambda: RELOADS.failed,
            metrics.LAST_RELOAD: lambda: RELOADS.last_failed,
            metrics.RESTARTS: lambda: RESTARTS.workers,
            metrics.STARTED: lambda: RESTARTS.started,
            metrics.BUILD.labels(__version__, platform.python_version()): lambda: 1,
        }
    )
    book = RequestBook(shared_dir.shared(), lambda: _state(renderer, readiness))
    plugins, warnings = (found.plugins.found, found.warnings) if found else ((), ())
    report = StatusReport(config, registry, plugins, warnings, quarantine, book, gauges.update)
    parts = WorkerParts(settings, registry, renderer, readiness, gauges, quarantine, journal, book)
    return WorkerLifecycle(make_app(service, readiness, gauges, report), parts)


def _state(renderer: Renderer, readiness: Readiness) -> Record:
    """Return what the status page shows of this worker. Sizes in bytes."""
    admission, readers = renderer.admission, renderer.readers
    return {
        "problem": readiness.problem,
        "budget": admission.budget,
        "promised": admission.held,
        "waiting": admission.waiting,
        "resident": resident(),
        "leased": readers.leased,
        "idle": readers.idle,
        "idle_bytes": readers.nbytes,
        "lost": renderer.lost,
    }


def get_app(below: Mapping[str, Values] = MappingProxyType({})) -> WorkerLifecycle:
    """Return the application as a worker runs it: settings from the environment, plugins as installed.

    `below`: origin -> settings that count if nobody sets them otherwise.
    """
    found = startup.setup(below=below)
    settings = core(found.config)
    logging.configure(settings.log_level, settings.log_format)
    shared = shared_dir.shared()
    journal = _journal(shared)
    note = journal.recorded if journal else nullcontext
    background = NativePool(1, nice=_BACKGROUND_NICE, note=note)
    pool = NativePool(settings.native_threads, note=note, stall=settings.stall_timeout, background=background)
    app = create_app(found.config, found.plugins.load(found.config, pool), pool, journal, found)
    # Last: whatever is to be loaded is loaded, and no thread is started yet.
    sandbox.enter(settings.sandbox, [*found.plugins.folders(found.config), *_own_folders(shared)])
    if shared:
        os.environ["TMPDIR"] = str(shared)  # the only place for temporary files that is left
    return app


def _own_folders(shared: Path | None) -> Iterator[Folder]:
    """Return the folders that workers share: of this master's, and of metrics, which may be elsewhere."""
    for folder in (shared, os.environ.get("PROMETHEUS_MULTIPROC_DIR")):
        if folder:
            yield Folder(path=Path(folder), writable=True)


def _journal(shared: Path | None) -> CrashJournal | None:
    """Return the worker's journal; None if there is no place for one. A worker is worth more than its journal."""
    try:
        return CrashJournal(shared, os.getpid()) if shared else None
    except OSError as error:
        log.error("images that crash this worker will not be known: there is no journal", problem=str(error))
        return None
