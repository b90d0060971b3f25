"""What is known of images is kept within a number of bytes, with profiles of equal content once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.plugin import ImageInfo, Level, Size
from sidecar.plugin.color import shared_profile
from sidecar.render.info_cache import InfoCache

MEGABYTE = 1 << 20


def info(profile: bytes | None, levels: int = 1) -> ImageInfo:
    """Return an image with a profile."""
    size = Size(10, 10)
    level = Level(size=size, downsample=1.0, grid=None)
    return ImageInfo(size=size, channels=3, levels=(level,) * levels, icc=profile)


def test_equal_profiles_are_held_once() -> None:
    """A hundred images with copies of one profile of a megabyte have that one between them."""
    cache = InfoCache(5 * MEGABYTE)
    kept = [cache.put(f"{number}", info(bytes([7]) + bytes(MEGABYTE))) for number in range(100)]
    assert len({id(each.icc) for each in kept}) == 1
    assert len(cache) == 100
    assert MEGABYTE < cache.nbytes < 2 * MEGABYTE


def test_different_profiles_are_bounded() -> None:
    """Of sixty images with profiles of four megabytes each, no more are known than fit, the last ones used."""
    cache = InfoCache(16 * MEGABYTE)
    for number in range(60):
        cache.put(f"{number}", info(bytes([number]) * (4 * MEGABYTE - 8000)))
        assert cache.get("0") is not None
    assert cache.nbytes <= 16 * MEGABYTE
    assert [number for number in range(60) if cache.get(f"{number}")] == [0, 57, 58, 59]


def test_what_does_not_fit_is_not_kept() -> None:
    """An info larger than the cache is returned, not kept."""
    cache = InfoCache(MEGABYTE)
    assert cache.put("large", info(bytes(2 * MEGABYTE))).icc == bytes(2 * MEGABYTE)
    assert (len(cache), cache.nbytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 9)), max_size=30))
def test_bytes_add_up(steps: list[tuple[int, int, int]]) -> None:
    """Whatever is put in which order, nothing is counted that is not held, and all that is."""
    cache = InfoCache(20_000)
    for number, profile, levels in steps:
        cache.put(f"{number}", info(bytes([profile]) * 5000 if profile else None, levels))
        assert cache.nbytes <= 20_000
    alone = InfoCache(1 << 30)
    for number in range(6):
        if found := cache.get(f"{number}"):
            alone.put(f"{number}", found)
    assert cache.nbytes == alone.nbytes


def test_one_object_stands_for_equal_profiles() -> None:
    """Equal profiles become one object, different ones stay themselves; too large a one is only itself."""
    one, same, other = bytes([1]) * 1000, bytes([1]) * 1000, bytes([2]) * 1000
    assert shared_profile(one) is shared_profile(same)
    assert shared_profile(other) is not shared_profile(one)
    huge = bytes(40 * MEGABYTE)
    assert shared_profile(huge) is huge
