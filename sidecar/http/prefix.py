"""What stands before `/iiif/` in the URLs of clients, as `/images` in `/images/iiif/3/…`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sidecar.http.middleware import StartResponse, Wsgi

_API: Final = "/iiif/"
_FORWARDED: Final = "HTTP_X_FORWARDED_PATH"


class Prefixed:
    """A WSGI application around another that knows nothing of the prefix; URLs without it pass as they are."""

    def __init__(self, app: Wsgi, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does for the URL behind the prefix."""
        # What stands around sees the URL as it came, and so does the log.
        return self._app(self._within(environ), start_response)

    def _within(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return the environment without the prefix, which X-Forwarded-Path then names, as a proxy would have done.

        A Cantaloupe that a request is handed over to needs that for its URLs (PEP 3333 has SCRIPT_NAME for it, which no
        other server would see).
        """
        names = ("RAW_URI", "PATH_INFO")
        paths = {name: str(environ[name]) for name in names if name in environ}
        if not self._prefix or not all(path.startswith(self._prefix + _API) for path in paths.values()):
            return environ
        within = {name: path[len(self._prefix) :] for name, path in paths.items()}
        return {_FORWARDED: self._prefix, **environ, **within}
