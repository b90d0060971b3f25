"""What the status page shows of a request: a line of the log, with the place of each stage in time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from sidecar.observability.redaction import redacted
from sidecar.observability.request_book import Record
from sidecar.observability.work import Work

_NONE: Final = {
    "source": "",
    "decoder": "",
    "encoder": "",
    "size": "",
    "bands": 0,
    "decoded_for": 1,
    "stored": False,
    "shared": False,
}
"""What a request that has not got so far has of an image."""
_PROBLEM: Final = 160
"""Characters of an explanation; the log has all of it."""


def request_record(line: Mapping[str, Any], work: Work, began: float, **rest: Any) -> Record:
    """Return the record of a request, of one under way as far as it has got.

    `line`: of the log; `began`: on `time.monotonic`'s clock; `rest`: further fields.
    """
    since = time.monotonic() - began
    return {
        **_NONE,
        **line,
        "path": redacted(str(line["path"])),
        "problem": redacted(str(line.get("problem", "")))[:_PROBLEM],
        "began": round(time.time() - since, 3),
        "milliseconds": round(since * 1000, 1),
        # On Linux perf_counter and monotonic are one clock (clock_gettime(2), CLOCK_MONOTONIC).
        "stages": work.spans(int(began * 1e9)),
        **rest,
    }
