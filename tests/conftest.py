"""For all tests: where the data lies, how Hypothesis draws, and which process runs what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The same examples every time, and no deadline: other processes share the machine.
settings.register_profile("sidecar", derandomize=True, deadline=None)
settings.load_profile("sidecar")

DATA = Path(__file__).parent / "data"


WITH_SERVERS: Final = ("tests/aws_lambda/", "tests/browser/", "tests/clouds/", "tests/nginx/", "tests/resilience/")


class ByModule(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """One module of tests after the other for each process; all tests that start servers in one of them.

    Servers share sessions' fixtures, and would be slowed by each other. They are most tests, so xdist begins with them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "servers" if nodeid.startswith(WITH_SERVERS) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    """Schedule the tests of `make test`, which runs them in several processes."""
    return ByModule(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the processor to tests with servers in another process, whose waits are bounded."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.nodeid.startswith(WITH_SERVERS):
        os.setpriority(os.PRIO_PROCESS, 0, 10)


@pytest.fixture(autouse=True)
def logging() -> Iterator[None]:
    """Undo what a test has set up of logging: it writes to what was standard error at that moment."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of the images that a real Cantaloupe was asked for."""
    return DATA / "images"
