"""Prometheus metrics of a worker; `sidecar.observability.exposition` sums them up over all workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from sidecar.observability import metric_files

metric_files.allocate()
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS: Final = Counter("sidecar_requests", "Requests answered.", ["kind", "status"])
HANDOVERS: Final = Counter(
    "sidecar_handovers", "Requests given to Cantaloupe, or refused if there is none.", ["reason"]
)
BROKEN: Final = Counter("sidecar_broken_answers", "Responses that broke off after the first byte.", ["reason"])
PLUGIN_FAILURES: Final = Counter(
    "sidecar_plugin_failures", "Exceptions of a plugin that it should not raise.", ["plugin"]
)
SECONDS: Final = Histogram("sidecar_request_seconds", "From the request to its last byte.", ["kind"], buckets=BUCKETS)
FIRST: Final = Histogram("sidecar_first_byte_seconds", "From the request to the first byte.", ["kind"], buckets=BUCKETS)
STAGES: Final = Histogram(
    "sidecar_stage_seconds",
    "Time of one piece of work of a stage: wait, index, fetch, decode, encode, proxy. Pieces and stages overlap.",
    ["stage", "plugin"],
    buckets=BUCKETS,
)
IMAGES: Final = Histogram(
    "sidecar_image_seconds",
    "From the request for a picture to its last byte, of those answered with 200.",
    ["source", "decoder", "format"],
    buckets=BUCKETS,
)
READ: Final = Counter(
    "sidecar_read_bytes",
    "Bytes of images that were read for windows, from the source or from what is kept of it; files on this machine do "
    "not count.",
    ["source"],
)
SAVED: Final = Counter(
    "sidecar_saved_bytes",
    "Bytes of images that pictures were made without: the size of each file less what was read, if that is known.",
    ["source"],
)
FETCHED: Final = Counter("sidecar_fetched_bytes", "Bytes of images that came over a network.", ["source"])
SOURCE_ERRORS: Final = Counter("sidecar_source_errors", "Requests that a source failed.", ["source", "reason"])
RETRIES: Final = Counter("sidecar_source_retries", "Attempts that failed, and were made again.", ["source"])
LOOKUPS: Final = Counter("sidecar_cache_lookups", "What was looked up in caches.", ["cache", "result"])
TALLIES: Final = Counter("sidecar_tallies", "What plugins count of their work.", ["tally"])
SENT: Final = Counter("sidecar_sent_bytes", "Bytes of responses.", ["kind"])
SHARED: Final = Counter("sidecar_shared_responses", "Requests answered with what was being made for an identical one.")
PASSED: Final = Counter("sidecar_passed_tiles", "Stored tiles that were sent as they are, without decoding them.")
GATHERED: Final = Histogram(
    "sidecar_decode_requests", "Small requests that one decode was made for.", buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24)
)
ASKED: Final = Counter("sidecar_asked_pixels", "Pixels that small requests wanted of what was decoded for them.")
DECODED: Final = Counter("sidecar_decoded_pixels", "Pixels that were decoded for small requests.")
DECODED_BEFORE: Final = Counter(
    "sidecar_decoded_before", "Small requests whose pixels had just been decoded, or were being decoded, for others."
)
IN_FLIGHT: Final = Gauge("sidecar_requests_in_flight", "Requests under way.", multiprocess_mode="livesum")
PERMITS: Final = Gauge(
    "sidecar_permits_bytes_in_use", "Bytes of memory promised to responses.", multiprocess_mode="livesum"
)
BUDGET: Final = Gauge(
    "sidecar_budget_bytes", "Bytes of memory that responses may take at once.", multiprocess_mode="livesum"
)
RESIDENT: Final = Gauge(
    "sidecar_resident_bytes",
    "Memory of the workers (RSS); what they share counts in each.",
    multiprocess_mode="livesum",
)
WAITING: Final = Gauge("sidecar_permits_waiting", "Requests waiting for memory.", multiprocess_mode="livesum")
LEASED: Final = Gauge("sidecar_readers_leased", "Opened images in use.", multiprocess_mode="livesum")
IDLE: Final = Gauge("sidecar_readers_idle", "Opened images kept for the next request.", multiprocess_mode="livesum")
LOST: Final = Gauge("sidecar_native_threads_lost", "Threads stuck in native calls.", multiprocess_mode="livesum")
EVICTED: Final = Counter(
    "sidecar_connections_evicted", "Connections that were waiting for their clients, closed to make room for new ones."
)
LATE: Final = Histogram(
    "sidecar_loop_late_seconds",
    "How late the event loop ran what was due.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
LONGEST: Final = Gauge(
    "sidecar_loop_longest_late_seconds", "The longest delay of the last minute.", multiprocess_mode="livemax"
)
WORKERS: Final = Gauge("sidecar_workers", "Workers that serve.", multiprocess_mode="livesum")
FAILED_RELOADS: Final = Gauge(
    "sidecar_failed_reloads", "Reloads (SIGHUP) that failed since the start.", multiprocess_mode="livemax"
)
LAST_RELOAD: Final = Gauge(
    "sidecar_last_reload_failed", "1 if the last reload failed, else 0.", multiprocess_mode="livemax"
)


RESTARTS: Final = Gauge(
    "sidecar_worker_restarts",
    "Workers that ended without being told to, since the start; others took their place.",
    multiprocess_mode="livemax",
)
STARTED: Final = Gauge(
    "sidecar_start_time_seconds",
    "When the master started, in seconds since 1970: `time()` less this is the uptime.",
    multiprocess_mode="livemax",
)
BUILD: Final = Gauge("sidecar_build_info", "1, with what runs.", ["version", "python"], multiprocess_mode="livemax")

LABELS: Final[Mapping[str, str]] = {
    "cache": "one of the [caches](#caches)",
    "decoder": "a decoder that is installed",
    "format": "a format that an installed encoder makes",
    "kind": "the kind of request, see below: 12",
    "plugin": "a source, decoder or encoder's format that is installed",
    "python": "one",
    "reason": "one of the [reasons](reasons.md), or `crash`",
    "result": "`hit`, `miss`",
    "source": "a source that is installed; `source` if it is not known which",
    "stage": "one of the [stages](operate/traces.md#what-a-trace-looks-like): 6",
    "status": "a status of HTTP; also Cantaloupe's, if the sidecar asks it",
    "tally": "one of the [tallies](#tallies)",
    "version": "one",
}
"""Every label, and which values it has: never anything that a client chooses."""


class Gauges:
    """Gauges and the functions that read their values. They are set now and then, and before they are shown.

    `Gauge.set_function` would do, but does not work with several processes.
    """

    def __init__(self, values: Mapping[Gauge, Callable[[], float]]) -> None:
        self._values = values

    def update(self) -> None:
        """Set each gauge to its present value."""
        for gauge, value in self._values.items():
            gauge.set(value())
