"""Decoding one window of one codestream with OpenJPEG: a codec, a stream and an image of its own for each call.

A codec holds the state of its decode, so nothing of it is shared: any number of threads may decode at once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import DecodeError, SidecarError
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.openjpeg.memory_view import view

Plane: TypeAlias = NDArray[np.int32]
"""The samples of one component: shape (rows, columns), a view of OpenJPEG's memory."""

STREAM_BUFFER = 1 << 16
"""OpenJPEG reads larger pieces straight to their destination; a small buffer makes hops between tile-parts cheap."""
MAX_MESSAGES = 8
"""How many of OpenJPEG's messages are kept; a broken file can cause thousands."""
END = (1 << 64) - 1
"""The result of a read callback at the end of the stream: (OPJ_SIZE_T)-1."""

_READ = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_SKIP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_SEEK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)
_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


class Input(Protocol):
    """The bytes of one codestream."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    def fill(self, address: int, count: int, offset: int) -> int:
        """Copy up to `count` bytes from `offset` to an address; return the number copied, 0 at the end.

        Called in the thread that decodes. Raises SidecarError.
        """
        ...


class OpenJpeg:
    """OpenJPEG through glymur's ctypes module, with the stream functions that glymur leaves out."""

    def __init__(self, glymur: ModuleType) -> None:
        self._opj = glymur
        library = glymur.OPENJP2
        # Prototypes of our own: glymur sets argument types on the library's shared function objects at each call.
        make = ctypes.CFUNCTYPE
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32
        self._create = make(pointer, size, number)(("opj_stream_create", library))
        self._set_length = make(None, pointer, ctypes.c_uint64)(("opj_stream_set_user_data_length", library))
        self._set_read = make(None, pointer, _READ)(("opj_stream_set_read_function", library))
        self._set_skip = make(None, pointer, _SKIP)(("opj_stream_set_skip_function", library))
        self._set_seek = make(None, pointer, _SEEK)(("opj_stream_set_seek_function", library))

    @contextmanager
    def decoded(self, source: Input, area: Area) -> Iterator[Sequence[Plane]]:
        """Decode an area and lend the samples of each component, which are freed when the context ends.

        Raises DecodeError with OpenJPEG's messages, also for a truncated codestream, and whatever the input raises.
        """
        stream, log = _Stream(source), _Log()
        with ExitStack() as owned:
            # ctypes does not keep callbacks alive. `calls` does, until everything that may call them is destroyed.
            calls = _Calls.of(stream, log)
            try:
                image = self._decode(source.size, calls, area, owned)
            except OSError as error:  # glymur's OpenJPEGLibraryError
                raise (stream.error or DecodeError(log.text)) from error
            if area.tiles > 1 and log.tiles < area.tiles:
                raise DecodeError(f"OpenJPEG: {area.tiles - log.tiles} of {area.tiles} tiles are missing")
            if log.misplaced:
                raise DecodeError("OpenJPEG: packets do not begin where the packet lengths place them")
            yield [_plane(component) for component in image.comps[: image.numcomps]]

    def _decode(self, size: int, calls: _Calls, area: Area, owned: ExitStack) -> Any:
        opj = self._opj
        stream = self._open(size, calls)
        owned.callback(opj.stream_destroy, stream)
        codec = opj.create_decompress(opj.CODEC_J2K)
        owned.callback(opj.destroy_codec, codec)
        opj.set_error_handler(codec, calls.error)
        if area.tiles > 1:
            opj.set_info_handler(codec, calls.info)
        if area.marked:
            opj.set_warning_handler(codec, calls.warning)
        parameters = opj.set_default_decoder_parameters()
        parameters.cp_reduce = area.reduce
        opj.setup_decoder(codec, parameters)
        image = opj.read_header(stream, codec)
        owned.callback(opj.image_destroy, image)
        opj.set_decode_area(codec, image, area.left, area.top, area.right, area.bottom)
        opj.decode(codec, stream, image)
        return image.contents

    def _open(self, size: int, calls: _Calls) -> int:
        stream = self._create(STREAM_BUFFER, 1)
        if not stream:
            raise MemoryError
        self._set_length(stream, size)
        self._set_read(stream, calls.read)
        self._set_skip(stream, calls.skip)
        self._set_seek(stream, calls.seek)
        return int(stream)


def _plane(component: Any) -> Plane:
    if not component.data:
        raise DecodeError("OpenJPEG: a component has no samples")
    shape = (component.h, component.w)
    samples = view(ctypes.addressof(component.data.contents), component.h * component.w * np.dtype(np.int32).itemsize)
    return np.frombuffer(samples, np.int32).reshape(shape)


class _Stream:
    """A position in an input. No exception may leave a callback, so it is kept in `error`."""

    def __init__(self, source: Input) -> None:
        self.error: SidecarError | None = None
        self._source = source
        self._position = 0

    def read(self, address: int, count: int, _: object) -> int:
        """The opj_stream_read_fn."""
        try:
            done = self._source.fill(address, count, self._position)
        except SidecarError as error:
            self.error = error
            done = 0
        self._position += done
        return done or END

    def skip(self, count: int, _: object) -> int:
        """The opj_stream_skip_fn."""
        self._position += count
        return count

    def seek(self, position: int, _: object) -> int:
        """The opj_stream_seek_fn."""
        self._position = position
        return 1


class _Log:
    """The messages of OpenJPEG during one decode."""

    def __init__(self) -> None:
        self._errors: list[str] = []
        self.tiles = 0
        self.misplaced = False

    @property
    def text(self) -> str:
        """The error messages in one line."""
        return "OpenJPEG: " + ("; ".join(self._errors) or "failed without a message")

    def error(self, message: bytes, _: object) -> None:
        """The opj_msg_callback for errors."""
        if len(self._errors) < MAX_MESSAGES:
            self._errors.append(message.decode("utf-8", "replace").strip())

    def info(self, message: bytes, _: object) -> None:
        """The opj_msg_callback for progress, which is the only report of a decoded tile."""
        self.tiles += b"has been decoded" in message

    def warning(self, message: bytes, _: object) -> None:
        """The opj_msg_callback for warnings: SOP (ITU-T T.800 A.8.1) is missing before a packet."""
        self.misplaced |= b"SOP marker" in message


class _Calls(NamedTuple):
    """C callbacks to the methods of a stream and a log, which hold no reference back, so there are no cycles."""

    read: ctypes._CFunctionType
    skip: ctypes._CFunctionType
    seek: ctypes._CFunctionType
    error: ctypes._CFunctionType
    info: ctypes._CFunctionType
    warning: ctypes._CFunctionType

    @classmethod
    def of(cls, stream: _Stream, log: _Log) -> _Calls:
        input_ = _READ(stream.read), _SKIP(stream.skip), _SEEK(stream.seek)
        return cls(*input_, _MESSAGE(log.error), _MESSAGE(log.info), _MESSAGE(log.warning))
