"""The border to plugins: an exception that nobody foresaw becomes an error of ours, counted and logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EMFILE, ENFILE
from typing import Final

from sidecar.errors import Overloaded, PluginFailure, SidecarError, SourceError
from sidecar.observability.logging import log
from sidecar.observability.metrics import PLUGIN_FAILURES, SOURCE_ERRORS
from sidecar.observability.work import source_of

_NO_DESCRIPTORS: Final = (EMFILE, ENFILE)


@contextmanager
def plugin_call(plugin: str, image: str) -> Iterator[None]:
    """Run code of a plugin (its source's, decoder's or encoder's name) for an image (its name, for the log).

    Errors of the tree in `sidecar.errors` pass. Raises Overloaded if memory or descriptors run out, PluginFailure for
    anything else.
    Safe in any thread.
    """
    try:
        yield
    except SourceError as error:
        SOURCE_ERRORS.labels(source_of(plugin), error.reason).inc()
        raise
    except SidecarError:
        raise
    except MemoryError as error:
        raise Overloaded("there is no memory for this response; try again later") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:
            raise Overloaded("too many files are open; try again later") from error
        PLUGIN_FAILURES.labels(plugin).inc()
        log.exception("a plugin failed unexpectedly", plugin=plugin, image=image)
        raise PluginFailure(f"the plugin {plugin} failed: {type(error).__name__}") from error
