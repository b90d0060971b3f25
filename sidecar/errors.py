"""The exception tree, and what each branch means to the client.

* SidecarError
  + Elsewhere            Cantaloupe answers where there is one; else the sidecar says `status` itself
    - BadRequest         400  the path does not follow the IIIF grammar, or asks for what cannot be
    - Forbidden          403  larger than the operator allows
    - NotFound           404  no source knows the identifier
    - NotAllowed         405  neither GET nor HEAD
    - Unsupported        501  well formed, but outside what the sidecar answers
    - UnsupportedFormat  415  an output format that no encoder makes
    - DecodeError        500  a native decoder gave up on a file that looked whole
    - EncodeError        500  a native encoder gave up
    - Casualty           500  the image has lately crashed or blocked a worker
    - DeadlinePassed     504  the time a request may take is over
    - SourceError        502  the place where the bytes are did not give them
      x SourceTimeout    504
      x SourceChanged    502  the object is another one than when the request began
  + Refusal              the sidecar answers, whoever stands behind it
    - Malformed          500  the file's structure is broken: decoders hang on such files, so none is asked
    - TooLarge           413  one answer would need more memory than the worker may use
    - Overloaded         503  too much is under way; try again later
  + StartError           at start, never in a request: a setting or a native library is missing or wrong
"""

from __future__ import annotations

from typing import ClassVar


class SidecarError(Exception):
    """Base of all that the sidecar and its plugins raise on purpose."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "error"
    """One word for metrics and logs."""


class Elsewhere(SidecarError):
    """Not answered here: Cantaloupe's where there is one, else a problem text with `status`."""

    reason = "elsewhere"


class BadRequest(Elsewhere):
    """The request breaks the grammar or asks for something impossible; the text names the wrong part."""

    status = 400
    reason = "bad-request"


class Forbidden(Elsewhere):
    """The request asks for more than the operator allows."""

    status = 403
    reason = "forbidden"


class NotFound(Elsewhere):
    """No source knows the identifier."""

    status = 404
    reason = "not-found"


class NotAllowed(Elsewhere):
    """Neither GET nor HEAD."""

    status = 405
    reason = "method"


class Unsupported(Elsewhere):
    """Well formed, but outside what the sidecar answers rightly."""

    status = 501
    reason = "unsupported"


class UnsupportedFormat(Elsewhere):
    """No encoder makes the output format asked for."""

    status = 415
    reason = "format"


class DecodeError(Elsewhere):
    """A native decoder failed on a file whose structure looked whole."""

    reason = "decode"


class EncodeError(Elsewhere):
    """A native encoder failed."""

    reason = "encode"


class Casualty(Elsewhere):
    """The image was being worked on when a worker crashed or a native call got stuck, a while ago."""

    reason = "casualty"


class DeadlinePassed(Elsewhere):
    """The time a request may take is over; what it had begun in native code is left to end by itself."""

    status = 504
    reason = "deadline"


class SourceError(Elsewhere):
    """The place where the bytes are did not give them."""

    status = 502
    reason = "source"


class SourceTimeout(SourceError):
    """The place where the bytes are did not answer in time."""

    status = 504
    reason = "source-timeout"


class SourceChanged(SourceError):
    """The object is no longer the one whose size and etag the request began with."""

    reason = "source-changed"


class Refusal(SidecarError):
    """The sidecar answers this itself, whoever stands behind it."""

    reason = "refused"


class Malformed(Refusal):
    """The file's structure is broken. Never handed over: such files make decoders behind us spin for ever."""

    reason = "malformed"


class TooLarge(Refusal):
    """One answer would need more memory than the worker may use."""

    status = 413
    reason = "too-large"

    def __init__(self, size: int, limit: int) -> None:
        """Both in bytes."""
        super().__init__(f"this answer takes about {size >> 20} MiB of memory; the limit is {limit >> 20} MiB")


class Overloaded(Refusal):
    """Too much is under way."""

    status = 503
    reason = "overloaded"


class StartError(SidecarError):
    """A setting or a native library is missing or wrong; the text says what to set or install."""

    reason = "start"
