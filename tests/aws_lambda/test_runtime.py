"""The handler under AWS Lambda's own runtime client, beside `sidecar serve`; the web adapter, if it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.aws_lambda.answers import Sent
from tests.aws_lambda.events import FRONTS, HOST, Event, balancer, rest, url
from tests.aws_lambda.runtime_api import RuntimeApi
from tests.nginx.peers import HOST as HERE
from tests.nginx.peers import ask
from tests.nginx.servers import Process, Sidecar, free_port, listening, wait_for

pytest.importorskip("awslambdaric")

_ROOT: Final = "5759e988bd862e3fe1be46a994272793"
_TRACE: Final = f"Root=1-{_ROOT[:8]}-{_ROOT[8:]};Parent=53995c3f42cd8ad8;Sampled=1"
_NOT_THE_SAME: Final = {"x-request-id", "date", "server", "connection", "keep-alive", "transfer-encoding"}
WHOLE: Final = "/iiif/3/sub%2Fsquare%20%25.jp2/full/max/0/default"
TARGETS: Final = [
    "/iiif/3/tiled_512.jp2/info.json",
    "/iiif/2/tiled_512.jp2/info.json",
    "/iiif/3/tiled_512.jp2/0,0,256,256/256,256/0/default.jpg",
    "/iiif/2/tiled_512.jp2/full/full/0/default.jpg",
    "/iiif/3/untiled_plain_lossless_lrcp.jp2/full/max/0/gray.png",
    "/iiif/3/icc.jp2/pct:10,10,50,50/^200,/90/default.jpg",
    "/iiif/3/sub%2Fsquare%20%25.jp2/square/64,/!180/bitonal.png",
    "/iiif/3/sub%2Fsquare%20%25.jp2",
    f"{WHOLE}.png",
    "/iiif/3/tiled_512.jp2/512,0,512,512/512,512/0/gray.jpg",
    "/iiif/3/none.jp2/full/max/0/default.jpg",
    "/iiif/3/tiled_512.jp2/full/max/0/default.tif",
    "/iiif/3/tiled_512.jp2/full/0,/0/default.jpg",
    "/nothing",
]
"""Pictures, documents, redirects and refusals."""


@pytest.fixture(scope="module")
def root(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images."""
    made = tmp_path_factory.mktemp("root")
    for name in ("tiled_512.jp2", "untiled_plain_lossless_lrcp.jp2", "icc.jp2"):
        shutil.copy(images / name, made / name)
    (made / "sub").mkdir()
    shutil.copy(images / "tiny_60x40.jp2", made / "sub/square %.jp2")
    return made


@contextmanager
def environment(root: Path, log: Path, api: RuntimeApi, command: list[str], **variables: str) -> Iterator[Process]:
    """Run what Lambda would run in an environment of a function."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "OTEL_", "AWS_"))}
    process = Process(
        command,
        log,
        {
            **kept,
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "images",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "SIDECAR_FILESYSTEM_ROOT": str(root),
            **variables,
        },
    )
    try:
        wait_for(lambda: api.waits.is_set() or not process.running, "the runtime asks for an event")
        assert process.running, log.read_text()
        yield process
    finally:
        process.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def lambda_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the function writes."""
    return tmp_path_factory.mktemp("lambda") / "log"


@pytest.fixture(scope="module")
def api(root: Path, lambda_log: Path) -> Iterator[RuntimeApi]:
    """A function under awslambdaric, with traces that go to its log."""
    command = [sys.executable, "-m", "awslambdaric", "sidecar.aws_lambda.main.handler"]
    traces = {"OTEL_TRACES_EXPORTER": "console", "OTEL_PROPAGATORS": "tracecontext,xray-lambda"}
    with RuntimeApi() as api, environment(root, lambda_log, api, command, **traces):
        yield api


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """The server, with the same images."""
    toml = f'workers = 1\nmemory_bytes = {512 * 2**20}\n[filesystem]\nroot = "{root}"'
    sidecar = Sidecar(tmp_path_factory.mktemp("server"), toml)
    yield sidecar
    sidecar.stop()


def served(server: Sidecar, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Sent:
    """What the server sends through a front that ends TLS, which it believes."""
    answer = ask(server.port, target, method, {"Host": HOST, "X-Forwarded-Proto": "https", **(headers or {})})
    lines = {name: ", ".join(answer.headers.get_all(name, [])) for name in answer.headers}
    return Sent(answer.status, _comparable(lines), answer.body)


def _comparable(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a server and a function have in common, by lower-case name."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _NOT_THE_SAME}


def without_id(sent: Sent) -> bytes:
    """The body, without the id that each request has."""
    return sent.body.partition(b"details of request ")[0]


@pytest.mark.parametrize("front", FRONTS)
def test_equal_to_the_server(api: RuntimeApi, server: Sidecar, front: Callable[..., Event]) -> None:
    """Status, headers and every byte are the server's, whatever the front."""
    for target in TARGETS if front is url else TARGETS[1::3]:
        returned = api.invoke(front(target))
        assert returned.kind == "response", returned.body
        answer = Sent.of(returned.answer)
        expected = served(server, target)
        assert (answer.status, without_id(answer)) == (expected.status, without_id(expected)), target
        assert _comparable(answer.headers) == expected.headers, target


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "method, headers",
    [
        ("HEAD", {}),
        ("GET", {"if-none-match": '"other", *'}),
        ("HEAD", {"if-none-match": "*"}),
        ("GET", {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
        ("OPTIONS", {"origin": "https://viewer.example.org", "access-control-request-method": "GET"}),
        ("GET", {"accept": "application/ld+json"}),
    ],
    ids=["HEAD", "304", "HEAD of 304", "304 by time", "preflight", "Accept"],
)
def test_equal_to_the_server_otherwise(
    api: RuntimeApi, server: Sidecar, front: Callable[..., Event], method: str, headers: Mapping[str, str]
) -> None:
    """So they are without a body, under conditions, and for what browsers ask beforehand."""
    for target in (TARGETS[0], f"{WHOLE}.jpg", "/iiif/3/none.jp2/info.json"):
        answer = Sent.of(api.invoke(front(target, method, headers)).answer)
        expected = served(server, target, method, headers)
        assert (answer.status, without_id(answer)) == (expected.status, without_id(expected)), target
        assert _comparable(answer.headers) == expected.headers, target


def test_too_large_for_lambda(api: RuntimeApi) -> None:
    """An answer beyond Lambda's limit is refused with a text; the next one is answered."""
    large = "/iiif/3/untiled_plain_lossless_lrcp.jp2/full/max/0/default.png"
    assert Sent.of(api.invoke(balancer(large)).answer).status == 413
    assert Sent.of(api.invoke(url(TARGETS[0])).answer).status == 200


def test_errors_are_reported_to_lambda(api: RuntimeApi) -> None:
    """An event that is no request fails, and the environment goes on."""
    returned = api.invoke({"Records": []})
    assert (returned.kind, returned.answer["errorType"]) == ("error", "ValueError")
    assert Sent.of(api.invoke(rest(TARGETS[0])).answer).status == 200


def test_traces_go_on(api: RuntimeApi, lambda_log: Path) -> None:
    """The trace of an invocation goes on, and its spans are exported before the answer goes out."""
    api.invoke(url(TARGETS[2]), _TRACE)
    text = lambda_log.read_text()
    assert f'"trace_id": "0x{_ROOT}"' in text
    assert '"parent_id": "0x53995c3f42cd8ad8"' in text


@pytest.mark.skipif(not shutil.which("aws-lambda-rie"), reason="AWS's emulator of the runtime API is not installed")
def test_under_the_emulator(root: Path, server: Sidecar, tmp_path: Path) -> None:
    """Under AWS's own emulator answers are the server's too."""
    port = free_port()
    ports = [f"--runtime-interface-emulator-address={HERE}:{port}", f"--runtime-api-address={HERE}:{free_port()}"]
    command = ["aws-lambda-rie", *ports, sys.executable, "-m", "awslambdaric", "sidecar.aws_lambda.main.handler"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "OTEL_", "AWS_"))}
    variables = {**kept, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "SIDECAR_FILESYSTEM_ROOT": str(root)}
    process = Process(command, tmp_path / "log", variables)
    try:
        wait_for(lambda: listening(port), "the emulator listens")
        for target in TARGETS:
            event = json.dumps(url(target)).encode()
            answer = Sent.of(
                json.loads(ask(port, "/2015-03-31/functions/function/invocations", "POST", body=event).body)
            )
            expected = served(server, target)
            assert (answer.status, without_id(answer)) == (expected.status, without_id(expected)), target
    finally:
        process.stop(signal.SIGKILL)


@pytest.mark.skipif(not shutil.which("lambda-adapter"), reason="the AWS Lambda Web Adapter is not installed")
def test_streams_through_the_web_adapter(root: Path, tmp_path: Path) -> None:
    """`sidecar serve` behind the web adapter streams an answer of more than 6 MiB, which is the server's."""
    port = free_port()
    variables = {
        "AWS_LWA_PORT": str(port),
        "AWS_LWA_READINESS_CHECK_PATH": "/sidecar/health",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "SIDECAR_BIND": f"127.0.0.1:{port}",
        "SIDECAR_WORKERS": "1",
        "SIDECAR_MAX_SCALE": "8",
        "SIDECAR_MAX_PIXELS": "0",
    }
    script = 'lambda-adapter & exec "$0" -m sidecar serve'
    with (
        RuntimeApi() as api,
        environment(root, tmp_path / "log", api, ["sh", "-c", script, sys.executable], **variables),
    ):
        target = "/iiif/3/tiled_512.jp2/full/^4000,/0/default.png"
        returned = api.invoke(url(target))
        assert returned.streams
        head, body = returned.streamed
        assert head["statusCode"] == 200
        assert len(body) > 6 * 2**20
        assert body == ask(port, target).body
