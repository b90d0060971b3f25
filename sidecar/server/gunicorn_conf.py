"""gunicorn's configuration: `--config python:sidecar.server.gunicorn_conf`, read by sidecar.server.master.

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
from sidecar.observability import request_book
from sidecar.observability.logging import standard_library
from sidecar.server import descriptors, replacement, shared_dir
from sidecar.server.crash_journal import examine_crash
from sidecar.server.listeners import listen, slots_of
from sidecar.server.slots import addresses
from sidecar.server.workers import state

_toml = os.environ.get("SIDECAR_CONFIG")
_settings = core(load((), Path(_toml) if _toml else None, partly=True))

wsgi_app = "sidecar.server.application:get_app()"
slots = addresses(_settings.bind, _settings.worker_bind, _settings.workers)
"""Not gunicorn's: the addresses at which one worker listens by itself."""
bind = [*map(str.strip, _settings.bind.split(",")), *slots]
workers = _settings.workers
worker_class = "sidecar.server.gunicorn_worker.Worker"
# Forking a process with OpenJPEG, OpenSlide and a gevent hub in it is not safe, so every worker loads its own.
preload_app = False
# Connections of a worker. Work is bounded by memory (SIDECAR_MEMORY_BYTES, SIDECAR_QUEUE_SIZE), idle connections cost
# little. Workers inherit the limit of descriptors.
_descriptors = descriptors.claim(_settings)
worker_connections = _descriptors.connections
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
# The sidecar reads X-Forwarded-* itself, from SIDECAR_TRUSTED_PROXIES (sidecar.http.trust). gunicorn trusts nobody:
# one rule, not two.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
# Keep the Python parser, which leaves odd bytes of the URL as they came, and no control socket in a home directory.
http_parser = "python"
control_socket_disable = True

# Requests are logged by the sidecar when they are really over; see sidecar.http.middleware.
accesslog = None
logger_class = "sidecar.server.gunicorn_log.NoAccessLog"
errorlog = "-"
loglevel = _settings.log_level
logconfig_dict = standard_library(loglevel, _settings.log_format)

_shared = shared_dir.create()
"""What workers share while this master runs: metrics, journals, the quarantine."""
os.environ[shared_dir.VARIABLE] = str(_shared)
if shared_dir.METRICS not in os.environ:
    (_shared / "metrics").mkdir()
    os.environ[shared_dir.METRICS] = str(_shared / "metrics")


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


def on_starting(server: Any) -> None:
    """Begin with the settings as they are, which a reload may change; listen to workers that ask to be replaced."""
    server.quarantine = _settings.quarantine
    replacement.listen()
    if _descriptors.warning:
        server.log.warning(_descriptors.warning)


def pre_fork(server: Any, worker: Any) -> None:
    """Make what a worker and the master share of its state."""
    state(worker)
    worker.slots = slots_of(server.LISTENERS, server.slots)


def post_worker_init(worker: Any) -> None:
    """Start the self-checks: the worker is loaded and about to serve."""

    def stop() -> None:
        worker.alive = False

    worker.wsgi.start(stop)
    # If nobody could serve before, the sockets are bound only.
    listen(worker.sockets, worker.cfg.backlog)
    state(worker).now_serves()


def worker_exit(_server: Any, worker: Any) -> None:
    """Shut the worker down. gunicorn calls this in the master too, for a worker it has lost sight of."""
    if worker.pid != os.getpid():
        return
    worker.ended()
    if hasattr(worker, "wsgi"):
        worker.wsgi.close()


def child_exit(server: Any, worker: Any) -> None:
    """Examine the end of a worker, and clear away what it has left. A full disk must not end the master."""
    try:
        replacement.settle(_shared, worker.pid, server)
        report = examine_crash(_shared, worker.pid, Quarantine(_shared, server.quarantine))
        request_book.forget(_shared, worker.pid)
        _clear_metrics(worker.pid)
    except OSError as error:
        text = "The end of worker %s could not be examined: %s"
        server.log.error(text, worker.pid, error)  # noqa: TRY400  # the text is enough
        return
    if report.fault:
        server.log.error(
            "Worker %s crashed while %d images were in progress, of which %d are quarantined: %s",
            worker.pid,
            report.in_progress,
            report.quarantined,
            report.fault,
        )


def _clear_metrics(pid: int) -> None:
    """Remove the gauges of a worker that has ended from the sums, and files that it had no time to fill."""
    for file in Path(os.environ[shared_dir.METRICS]).glob(f"*_{pid}.db"):
        # A worker killed while it makes a file leaves an empty one, which no other worker could read.
        if not file.stat().st_size:
            file.unlink()
    from prometheus_client import multiprocess  # noqa: PLC0415  # it reads the variable above when it is imported

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # it is not annotated


def on_exit(_server: Any) -> None:
    """Remove the shared folder."""
    shutil.rmtree(_shared, ignore_errors=True)
