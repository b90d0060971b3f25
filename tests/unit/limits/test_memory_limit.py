"""Memory: limits are found wherever in the tree of cgroups they are set."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.limits import memory_limit

MIB = 2**20
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "35 31 0:32 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "36 31 0:33 {top} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)


def machine(root: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A filesystem with what a kernel shows."""
    for name, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "cgroup, mounts, limits",
    [
        pytest.param("0::/\n", V2, {"memory.max": 300}, id="v2, a container's own namespace"),
        pytest.param(
            "0::/system.slice/sidecar.service\n",
            V2,
            {"system.slice/sidecar.service/memory.max": 300, "system.slice/memory.max": 900},
            id="v2, a service",
        ),
        pytest.param(
            "0::/a/b\n", V2, {"a/b/memory.max": None, "a/memory.max": 300, "memory.max": 900}, id="v2, set further up"
        ),
        pytest.param(
            "0::/../other\n", V2, {"memory.max": 300, "other/memory.max": 1}, id="v2, outside what is mounted"
        ),
        pytest.param(
            "5:cpu:/x\n4:memory:/x\n0::/\n",
            V1.format(top="/"),
            {"memory/x/memory.limit_in_bytes": 300, "memory/memory.limit_in_bytes": 2**43},
            id="v1, nested",
        ),
        pytest.param(
            "4:cpu,memory:/docker/ab\n",
            V1.format(top="/docker/ab"),
            {"memory/memory.limit_in_bytes": 300},
            id="v1, a container that sees the host's path",
        ),
    ],
)
def test_the_smallest_limit_on_the_way_up(
    tmp_path: Path, cgroup: str, mounts: str, limits: dict[str, int | None]
) -> None:
    """The process's own cgroup and all around it count, in both versions, whatever part of the tree is mounted."""
    files = {
        f"sys/fs/cgroup/{name}": "max\n" if limit is None else f"{limit * MIB}\n" for name, limit in limits.items()
    }
    assert memory_limit.total(machine(tmp_path, cgroup, mounts, files)) == 300 * MIB


def test_without_limits_it_is_the_machines(tmp_path: Path) -> None:
    """Without cgroups, or without a limit in any, it is the memory of the machine."""
    unlimited = machine(tmp_path, "0::/\n", V2, {"sys/fs/cgroup/memory.max": "max\n"})
    assert memory_limit.total(tmp_path / "nothing") == memory_limit.total(unlimited) > 64 * MIB


def test_the_budget_is_as_set_or_each_workers_part() -> None:
    """Set, it is that; else half of all, shared among the workers."""
    assert memory_limit.budget(123, 4) == 123
    assert memory_limit.budget(123, 4, kept=23) == 100
    assert memory_limit.budget(123, 4, kept=1000) == 61
    assert memory_limit.budget(0, 2) == pytest.approx(memory_limit.total() / 4, abs=1)


@pytest.mark.parametrize("kept", [0, 1, 40, 50, 51, 1000])
def test_what_is_kept_fits_in_beside_the_budget(kept: int) -> None:
    """Responses and all that is kept between them take no more than is set; a small worker keeps less."""
    part = memory_limit.kept_part(100, 4, kept)
    assert memory_limit.budget(100, 4, kept) + int(part * kept) <= 100
    assert (part == 1) is (kept <= 50)


@pytest.mark.parametrize(
    "mounts, name",
    [
        (V2, "sys/fs/cgroup/a/memory.events"),
        (V1.format(top="/"), "sys/fs/cgroup/memory/a/memory.oom_control"),
    ],
)
def test_kills_for_memory_are_counted(tmp_path: Path, mounts: str, name: str) -> None:
    """The count is that of the process's own cgroup, 0 without one."""
    cgroup = "0::/a\n" if mounts == V2 else "4:memory:/a\n"
    root = machine(tmp_path, cgroup, mounts, {name: "low 9\noom 5\noom_kill 3\noom_group_kill 1\n"})
    assert memory_limit.oom_kills(root) == 3
    assert memory_limit.oom_kills(tmp_path / "nothing") == 0
