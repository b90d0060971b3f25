"""Real servers for the tests, started once; their logs are shown if a test fails."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.nginx.peers import HOST, Peer, reply, saying
from tests.nginx.servers import Nginx, Sidecar

LOGS = pytest.StashKey[list[Path]]()


@pytest.fixture(scope="session")
def logs(request: pytest.FixtureRequest) -> list[Path]:
    """Log files to show when a test fails."""
    return request.config.stash.setdefault(LOGS, [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the servers' logs to the report of a failed test."""
    report = yield
    if report.failed:
        for log in item.config.stash.get(LOGS, []):
            report.sections.append((str(log), "\n".join(log.read_text(errors="replace").splitlines()[-15:])))
    return report


@pytest.fixture
def cantaloupe(session_cantaloupe: Peer) -> Peer:
    """Return a stand-in for Cantaloupe, without requests so far, whose responses name it."""
    session_cantaloupe.requests.clear()
    session_cantaloupe.behaviour = saying(reply(200, b"cantaloupe's answer", Content_Type="text/plain"))
    return session_cantaloupe


@pytest.fixture(scope="session")
def session_cantaloupe() -> Iterator[Peer]:
    """The stand-in itself."""
    with Peer(saying(b"")) as peer:
        yield peer


@pytest.fixture
def actor(session_actor: Peer) -> Peer:
    """Return what stands in the sidecar's place if a test is about nginx alone."""
    session_actor.requests.clear()
    session_actor.behaviour = saying(reply(200, b"sidecar's answer", Content_Type="text/plain"))
    return session_actor


@pytest.fixture(scope="session")
def session_actor() -> Iterator[Peer]:
    """The actor itself."""
    with Peer(saying(b"")) as peer:
        yield peer


@pytest.fixture(scope="session")
def site(
    session_actor: Peer, session_cantaloupe: Peer, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    """Nginx with the shipped files between the actor and the stand-in."""
    folder = tmp_path_factory.mktemp("site")
    actor = session_actor.port
    with Nginx(folder, actor, session_cantaloupe.port, slots=[f"{HOST}:{actor}"]) as nginx:
        logs.append(nginx.process.log)
        yield nginx


@dataclass(frozen=True)
class Stack:
    """The whole: nginx, the sidecar, and the stand-in for Cantaloupe."""

    nginx: Nginx
    sidecar: Sidecar
    cantaloupe: Peer

    @property
    def port(self) -> int:
        """Where clients ask."""
        return self.nginx.port


@pytest.fixture(scope="session")
def folder(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served; what lies beside it must not be."""
    around = tmp_path_factory.mktemp("around")
    shutil.copytree(images, around / "images")
    (around / "images" / "sub folder").mkdir()
    shutil.copy(images / "tiny_60x40.jp2", around / "images" / "sub folder" / "déjà.jp2")
    shutil.copy(images / "tiny_60x40.jp2", around / "images" / "a b.jp2")
    shutil.copy(images / "tiny_60x40.jp2", around / "secret.jp2")
    (around / "images" / "leading_out.jp2").symlink_to(around / "secret.jp2")
    return around / "images"


@pytest.fixture(scope="session")
def session_stack(
    folder: Path, session_cantaloupe: Peer, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The servers themselves."""
    home = tmp_path_factory.mktemp("stack")
    sidecar = Sidecar(home, f'workers = 2\n[filesystem]\nroot = "{folder}"\n')
    logs.append(sidecar.process.log)
    with Nginx(home / "nginx", sidecar.port, session_cantaloupe.port) as nginx:
        logs.append(nginx.process.log)
        yield Stack(nginx, sidecar, session_cantaloupe)
    sidecar.stop()


@pytest.fixture
def stack(session_stack: Stack, cantaloupe: Peer) -> Stack:
    """The whole, as clients find it."""
    del cantaloupe  # it forgets what it was asked before
    return session_stack
