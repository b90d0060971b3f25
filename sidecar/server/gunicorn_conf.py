"""gunicorn's configuration: `gunicorn -c python:sidecar.server.gunicorn_conf`, which is what `sidecar serve` runs.

Names are gunicorn's own. Nothing of the application is imported here: each worker does so after gevent has patched the
standard library, and no native library, thread or event loop exists when workers are forked.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any, Final

from sidecar.config import core, load
from sidecar.limits.quarantine import Quarantine
from sidecar.observability.logging import standard_library
from sidecar.server import replacement, shared_dir
from sidecar.server.crash_journal import examine_crash

_toml = os.environ.get("SIDECAR_CONFIG")
_settings = core(load((), Path(_toml) if _toml else None, partly=True))

wsgi_app = "sidecar.server.application:get_app()"
bind = _settings.bind
workers = _settings.workers
worker_class = "sidecar.server.gunicorn_worker.Worker"
# Forking a process with OpenJPEG, OpenSlide and a gevent hub in it is not safe, so every worker loads its own.
preload_app = False
# Connections of a worker. Work is bounded by memory (SIDECAR_MEMORY, SIDECAR_QUEUE), idle connections cost little.
worker_connections = 1000
# The heartbeat comes from the event loop: a worker whose loop stands still this long is replaced.
timeout = 60
# Idle connections count as work when a worker stops, so this bounds a restart too. Longer than the upstream's
# keepalive_timeout in nginx/sidecar.conf.
keepalive = 6
graceful_timeout = 30
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # heartbeats touch no disk

# IIIF identifiers may be long; nginx lets lines of 8 KiB through, line end included.
limit_request_line = 8190
limit_request_fields = 200
limit_request_field_size = 16380
# The sidecar reads X-Forwarded-* itself, as Cantaloupe does: gunicorn neither trusts nor refuses any of them.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
# Keep the Python parser, which leaves odd bytes of the URL as they came, and no control socket in a home directory.
http_parser = "python"
control_socket_disable = True

# Requests are logged by the sidecar when they are really over; see sidecar.http.middleware.
accesslog = None
errorlog = "-"
loglevel = _settings.log_level
logconfig_dict = standard_library(loglevel)

_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers share their metrics, so that asking any of them gives the sum."""
_shared = shared_dir.create()
"""What workers share while this master runs: metrics, journals, the quarantine."""
os.environ[shared_dir.VARIABLE] = str(_shared)
if _METRICS not in os.environ:
    (_shared / "metrics").mkdir()
    os.environ[_METRICS] = str(_shared / "metrics")


_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _end_on_signals() -> None:
    """End on a signal until the worker sets handlers itself: the master's, which it inherits, do nothing."""
    for number in _STOPS:
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


# Held back around the fork, no signal reaches a worker that still has the master's handlers.
os.register_at_fork(
    before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS),
    after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS),
    after_in_child=_end_on_signals,
)


def on_starting(_server: Any) -> None:
    """Listen to workers that ask to be replaced; none exists yet."""
    replacement.listen()


def post_worker_init(worker: Any) -> None:
    """Start the self-checks: the worker is loaded and about to serve."""

    def stop() -> None:
        worker.alive = False

    worker.wsgi.start(stop)


def worker_exit(_server: Any, worker: Any) -> None:
    """Shut the worker down. gunicorn calls this in the master too, for a worker it has lost sight of."""
    if worker.pid != os.getpid():
        return
    worker.ended()
    if hasattr(worker, "wsgi"):
        worker.wsgi.close()


def child_exit(server: Any, worker: Any) -> None:
    """Examine the end of a worker; remove its gauges from the sums, and files that it had no time to fill."""
    replacement.settle(_shared, worker.pid, server)
    report = examine_crash(_shared, worker.pid, Quarantine(_shared, _settings.quarantine))
    if report.fault:
        server.log.error(
            "Worker %s crashed while %d images were in progress, of which %d are quarantined: %s",
            worker.pid,
            report.in_progress,
            report.quarantined,
            report.fault,
        )
    for file in Path(os.environ[_METRICS]).glob(f"*_{worker.pid}.db"):
        # A worker killed while it makes a file leaves an empty one, which no other worker could read.
        if not file.stat().st_size:
            file.unlink()
    from prometheus_client import multiprocess  # noqa: PLC0415  # it reads the variable above when it is imported

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it is not annotated


def on_exit(_server: Any) -> None:
    """Remove the shared folder."""
    shutil.rmtree(_shared, ignore_errors=True)
