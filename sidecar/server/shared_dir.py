"""The folder that gunicorn's master and its workers share, and the removal of folders that earlier masters have left.

The master holds a lock on a file in its folder, and so do its workers, which inherit the open file. The kernel releases
a lock with its last holder, however that ends (flock(2)): a folder whose lock can be had belongs to nobody any more.
The number of a process would not do: it is used again, and means another process in each container.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

VARIABLE: Final = "IIIF_SIDECAR_RUNTIME"
"""The variable by which the master names the folder to its workers."""
METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which workers share their metrics, so that asking any of them gives the sum."""
VARIABLES: Final = frozenset({VARIABLE, METRICS})
"""What is only for the workers of this master."""
_PREFIX: Final = "sidecar-"
_LOCK: Final = "lock"


def create() -> Path:
    """Make a folder that is this process's for as long as it runs. Abandoned ones are removed first."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_if_abandoned(lock)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Locked before it has its name, so that nobody finds it without its holder. Never closed.
    descriptor = os.open(made / "locking", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (made / "locking").rename(made / _LOCK)
    return made


def shared() -> Path | None:
    """Return the folder that master and workers share; None outside gunicorn."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def _remove_if_abandoned(lock: Path) -> None:
    # OSError: it is held, or somebody else is removing it.
    with suppress(OSError):
        # The place is open to all: what is not our own is left alone, links to our own included.
        if lock.parent.lstat().st_uid == os.geteuid():
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)
