"""The exception tree, and what each branch means to the client.

* SidecarError
  + HandOver             Cantaloupe answers if there is one; if not, the sidecar answers with `status`
    - BadRequest         400  the path does not follow the IIIF grammar, or asks for the impossible
    - Forbidden          403  the response would be larger than the operator allows
    - NotFound           404  no source knows the identifier
    - NotAllowed         405  the method is neither GET nor HEAD
    - Unsupported        501  the request is well formed, but outside what the sidecar answers
    - UnsupportedFormat  415  no encoder makes the output format
    - DecodeError        500  the file is broken, or a native decoder failed on it
    - EncodeError        500  a native encoder failed
    - PluginFailure      500  a plugin raised an exception that is none of these
    - InternalError      500  the sidecar itself did
    - Quarantined        500  the image has recently crashed or blocked a worker
    - DeadlinePassed     504  the time that a request may take is over
    - Stalled            503  native calls have not returned for a while, so nothing here goes on
    - SourceError        502  the storage failed to return the bytes
      x SourceTimeout    504
      x SourceChanged    502  the object is no longer the one that the request began with
  + Refusal              the sidecar answers, even if a Cantaloupe stands behind it
    - Malformed          500  decoders are known to hang on such a file, or to claim memory for it, so none is asked
    - BeyondFormat       400  the output format holds no picture as large as the one asked for
    - TooLarge           413  one response would need more memory than the worker may use
    - TooLong            413  one response would take longer to decode than a request may take
    - Overloaded         503  too much is under way; try again later
    - ClientGone         503  the client disconnected
      x ClientTooSlow    503  the client took its response too slowly
    - NotShown           403  the sidecar's own pages are not for this client
  + StartError           at start, never in a request: a setting or a native library is missing or wrong
"""

from __future__ import annotations

from typing import ClassVar


class SidecarError(Exception):
    """Base of everything that the sidecar and its plugins raise on purpose."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "error"
    """One word for metrics and logs."""
    public: ClassVar[str] = ""
    """What a client gets to read if the text is for the log alone, since it may name files, hosts or buckets; empty:
    the text itself, which then says what is wrong with the request and nothing of what lies behind."""


class HandOver(SidecarError):
    """Cantaloupe answers if there is one; if not, the sidecar answers with a problem text and `status`."""

    reason = "handover"


class BadRequest(HandOver):
    """The request breaks the grammar or asks for something impossible; the text names the wrong part."""

    status = 400
    reason = "bad-request"


class Forbidden(HandOver):
    """The request asks for more than the operator allows."""

    status = 403
    reason = "forbidden"


class NotFound(HandOver):
    """No source knows the identifier."""

    status = 404
    reason = "not-found"


class NotAllowed(HandOver):
    """The method is neither GET nor HEAD."""

    status = 405
    reason = "method"


class Unsupported(HandOver):
    """The request is well formed, but outside what the sidecar answers correctly."""

    status = 501
    reason = "unsupported"


class UnsupportedFormat(HandOver):
    """No encoder makes the output format."""

    status = 415
    reason = "format"


class DecodeError(HandOver):
    """The file is broken, or a native decoder failed on it."""

    reason = "decode"
    public = "the image cannot be decoded"


class EncodeError(HandOver):
    """A native encoder failed."""

    reason = "encode"
    public = "the response cannot be encoded"


class PluginFailure(HandOver):
    """A plugin raised an exception that it should not have; the log has its traceback."""

    reason = "plugin"
    public = "a plugin of the sidecar failed"


class InternalError(HandOver):
    """The sidecar failed in a way that nobody foresaw; the log has the traceback."""

    reason = "crash"
    public = "the sidecar failed"


class Quarantined(HandOver):
    """The image was in progress when a worker crashed or a native call got stuck, a short time ago."""

    reason = "quarantined"


class DeadlinePassed(HandOver):
    """The time that a request may take is over; native calls that it has begun end by themselves."""

    status = 504
    reason = "deadline"


class Stalled(HandOver):
    """Native calls have not returned for a while: those that wait for their end go elsewhere."""

    status = 503
    reason = "stalled"


class SourceError(HandOver):
    """The storage failed to return the requested bytes."""

    status = 502
    reason = "source"
    public = "the image cannot be read from its storage"


class SourceTimeout(SourceError):
    """The storage did not answer in time."""

    status = 504
    reason = "source-timeout"
    public = "the storage of the image does not answer in time"


class SourceChanged(SourceError):
    """The object is no longer the one whose size and etag the request began with."""

    reason = "source-changed"
    public = "the image has changed while it was read"


class Refusal(SidecarError):
    """The sidecar answers itself, even if a Cantaloupe stands behind it."""

    reason = "refused"


class Malformed(Refusal):
    """The file is known to make decoders spin for ever or claim memory without end. Never handed over."""

    reason = "malformed"
    public = "the image is malformed"


class BeyondFormat(Refusal):
    """The output format holds no picture that large. Cantaloupe would answer 200 with a text in its place."""

    status = 400
    reason = "beyond-format"


class TooLarge(Refusal):
    """One response would need more memory than the worker may use."""

    status = 413
    reason = "too-large"

    def __init__(self, size: int, limit: int) -> None:
        """Both in bytes."""
        super().__init__(f"this response takes about {size >> 20} MiB of memory; the limit is {limit >> 20} MiB")


class TooLong(Refusal):
    """One response would take longer to decode than a request may take. Known beforehand, so nothing is begun."""

    status = 413
    reason = "too-long"

    def __init__(self, seconds: float, limit: float) -> None:
        super().__init__(f"decoding for this response takes about {seconds:.0f} seconds; the limit is {limit:.0f}")


class Overloaded(Refusal):
    """Too much is under way."""

    status = 503
    reason = "overloaded"


class ClientGone(Refusal, ConnectionResetError):
    """The client disconnected.

    A ConnectionResetError, so that gunicorn does not log it when raised mid-response.
    """

    status = 503
    reason = "client-gone"


class ClientTooSlow(ClientGone):
    """The client took its response more slowly than SIDECAR_LEAST_BYTES_PER_SECOND."""

    reason = "too-slow"


class NotShown(Refusal):
    """The status page and the viewer are not for this client."""

    status = 403
    reason = "not-shown"


class StartError(SidecarError):
    """A setting or a native library is missing or wrong; the text says what to set or install."""

    reason = "start"
