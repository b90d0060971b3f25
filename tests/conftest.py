"""For all tests: where the data lies, and how Hypothesis draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no deadline: other processes share the machine.
settings.register_profile("sidecar", derandomize=True, deadline=None)
settings.load_profile("sidecar")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of the images that a real Cantaloupe was asked for."""
    return DATA / "images"
