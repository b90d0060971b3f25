"""An HTTP client for greenlets: urllib3's pools over gevent's sockets, whether or not the process is monkey-patched.

Its own connections do three things that urllib3's do not: they are cooperative by themselves, a name is resolved once
and its addresses are checked before a packet goes to one of them, and one TLS context serves all of them (loading the
certificates of the authorities for each connection would stop the event loop for tens of milliseconds).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException
from typing import Any, Final, TypeAlias, cast

import gevent.socket
import gevent.ssl
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as PoolTimeout

from sidecar.errors import SourceError, SourceTimeout
from sidecar.observability.tracing import onward
from sidecar.plugin import RemoteSettings
from sidecar.remote.transport import Transient

Response: TypeAlias = urllib3.BaseHTTPResponse
Guard: TypeAlias = Callable[[str, str], None]
"""Receives the host and an address that it resolves to; raises SourceError if it may not be connected to."""


_LONGEST_TEXT: Final = 500


def open_to_all(host: str, address: str) -> None:
    """Accept every address: the guard of a host that the operator has set and trusts."""
    del host, address


class _GreenConnection(HTTPConnection):
    """Connects gevent's sockets, to addresses that its guard accepts."""

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> gevent.socket.socket:
        try:
            found = gevent.socket.getaddrinfo(self._dns_host, self.port, type=gevent.socket.SOCK_STREAM)
        except (gevent.socket.gaierror, UnicodeError) as error:  # the latter of a name that cannot be one
            raise NewConnectionError(self, f"no address of {self.host}: {error}") from error
        for *_, address in found:
            self._guard(self.host, str(address[0]))
        return self._connected([(family, address) for family, *_, address in found])

    def _connected(self, addresses: list[tuple[int, Any]]) -> gevent.socket.socket:
        failure: OSError | None = None
        for family, address in addresses:
            sock = gevent.socket.socket(family, gevent.socket.SOCK_STREAM)
            try:
                sock.settimeout(cast("float", self.timeout))
                sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
                sock.connect(address)
                # Whatever resolves names on the way here, the connection leads to an address that may be asked.
                self._guard(self.host, str(sock.getpeername()[0]))
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from failure
        raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure


class _GreenTlsConnection(_GreenConnection, HTTPSConnection):
    """The same under TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _GreenConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GreenTlsConnection


class Client:
    """Sends requests over kept connections. Many greenlets may use it at once."""

    def __init__(self, settings: RemoteSettings, guard: Guard = open_to_all, *, verify: bool = True) -> None:
        self._guard = guard
        self._connections = settings.concurrency
        self._timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.stall_timeout)
        self._tls = _tls(verify=verify)
        self._pools: dict[tuple[str, str, int | None], urllib3.HTTPConnectionPool] = {}

    def get(self, url: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Send a GET request, as `send` does."""
        return self.send("GET", url, headers)

    @contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Generator[Response, None, None]:
        """Send a request; the body of the response is not read yet. The connection is kept if it is read whole.

        Raises Transient if the connection fails, SourceError if it may not be made or is not to be trusted. Reading the
        body within the context raises the same.
        """
        parts = urllib3.util.parse_url(url)
        host = (parts.host or "").strip("[]")
        with _mapped(host):
            response = self._pool(parts.scheme or "", host, parts.port).urlopen(
                method,
                parts.request_uri,
                body,
                # A trace goes on at the origin. Not part of what is signed: proxies may rewrite it.
                headers={"Accept-Encoding": "identity", "User-Agent": "iiif-sidecar", **headers, **onward()},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                yield response
            finally:
                response.close()
                response.release_conn()

    def close(self) -> None:
        """Close the connections that no request uses."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _pool(self, scheme: str, host: str, port: int | None) -> urllib3.HTTPConnectionPool:
        key = (scheme, host, port)
        if key not in self._pools:
            self._pools[key] = self._new_pool(scheme, host, port)
        return self._pools[key]

    def _new_pool(self, scheme: str, host: str, port: int | None) -> urllib3.HTTPConnectionPool:
        if scheme == "https":
            return _TlsPool(host, port, self._timeout, self._connections, guard=self._guard, ssl_context=self._tls)
        return _Pool(host, port, self._timeout, self._connections, guard=self._guard)


def _tls(*, verify: bool) -> ssl.SSLContext:
    context: ssl.SSLContext = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_default_certs()
    else:
        urllib3.disable_warnings(InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _mapped(host: str) -> Generator[None, None, None]:
    """Map the errors of urllib3 and gevent to ours, and those of the parsers beneath them."""
    try:
        yield
    except NewConnectionError as error:  # to urllib3 it is a timeout too; what takes too long is ConnectTimeoutError
        raise Transient(SourceError(_text(host, error))) from error
    except (PoolTimeout, TimeoutError) as error:
        raise Transient(SourceTimeout(_text(host, error))) from error
    except SSLError as error:
        untrusted = SourceError(_text(host, error))
        if isinstance(error.args[0], ssl.SSLCertVerificationError):
            raise untrusted from error
        raise Transient(untrusted) from error
    # The last three: a chunk of negative length, a number beyond what C counts, a field that is not there.
    except (HTTPError, HTTPException, OSError, ValueError, ArithmeticError, LookupError) as error:
        raise Transient(SourceError(_text(host, error))) from error


def _text(host: str, error: Exception) -> str:
    """Return what went wrong, for the log. Libraries repeat what an origin sent, however much that was."""
    return f"{host}: {type(error).__name__}: {error}"[:_LONGEST_TEXT]
