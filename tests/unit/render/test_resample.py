"""Scaling: Cantaloupe's arithmetic to the sample, whatever the strips and the orientation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.iiif.geometry import Orientation
from sidecar.plugin import Pixels, Size
from sidecar.render.steps.filters import FILTERS
from sidecar.render.steps.orient import orient
from sidecar.render.steps.resample import Resample
from sidecar.render.steps.step import Rows

F = np.float32
orientations = st.builds(Orientation, mirror=st.booleans(), quarter_turns=st.integers(0, 3))
filters = st.sampled_from(sorted(FILTERS))


def bc_spline(x: float, b: float, c: float) -> float:
    """Mitchell and Netravali's family of cubics, by its definition."""
    x = abs(x)
    if x < 1:
        return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
    if x < 2:
        return ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6
    return 0.0


def windowed_sinc(x: float) -> float:
    """Lanczos's window of three lobes on a sinc."""
    if x == 0:
        return 1.0
    return 3 * sin(pi * x) * sin(pi * x / 3) / (pi * x) ** 2 if abs(x) < 3 else 0.0


PUBLISHED: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: 1.0 if -0.5 < x <= 0.5 else 0.0),
    "triangle": (1.0, lambda x: max(0.0, 1 - abs(x))),
    "hermite": (1.0, lambda x: 2 * abs(x) ** 3 - 3 * x**2 + 1 if abs(x) < 1 else 0.0),
    "mitchell": (2.0, lambda x: bc_spline(x, 1 / 3, 1 / 3)),
    "bicubic": (2.0, lambda x: bc_spline(x, 0, 1 / 2)),
    "lanczos3": (3.0, windowed_sinc),
}


def taps(source: int, target: int, name: str) -> list[list[tuple[int, float]]]:
    """For each target sample, source samples and weights: centres in single precision, edges mirrored."""
    radius, kernel = PUBLISHED[name]
    scale = F(target) / F(source)
    reach = F(radius) / scale if scale < 1 else F(radius)
    stretch = radius / ceil(reach) if scale < 1 else 1.0
    made = []
    for index in range(target):
        center = F(index) / scale + F(0.5) / scale
        row = []
        for sample in range(floor(center - reach), ceil(center + reach) + 1):
            inside = -sample if sample < 0 else 2 * source - 1 - sample if sample >= source else sample
            weight = kernel(float(F(center - F(sample)) * F(stretch)))
            if weight and 0 <= inside < source:
                row.append((inside, weight))
        total = sum(weight for _, weight in row)
        made.append([(inside, weight / total) for inside, weight in row])
    return made


def scaled_down(pixels: Pixels, target: int, name: str) -> tuple[Pixels, float]:
    """Scale columns, one sample after the other; and how close a sum has come to half a level."""
    out = np.empty((target, *pixels.shape[1:]), np.uint8)
    close = 1.0
    for index, row in enumerate(taps(len(pixels), target, name)):
        total = sum(pixels[inside].astype(float) * weight for inside, weight in row)
        close = min(close, float(np.abs(total - np.floor(total) - 0.5).min()))
        out[index] = np.floor(np.clip(total, 0, 255) + 0.5)
    return out, close


def reference(pixels: Pixels, target: Size, name: str) -> tuple[Pixels, float]:
    """Rows first, 8 bits between."""
    narrow, first = scaled_down(pixels.transpose(1, 0, 2), target.width, name)
    whole, second = scaled_down(narrow.transpose(1, 0, 2), target.height, name)
    return whole, min(first, second)


def noise(size: Size, channels: int, seed: int) -> Pixels:
    """Values of every kind, the darkest and the lightest often."""
    values = np.random.default_rng(seed).integers(-60, 316, (size.height, size.width, channels))
    return np.clip(values, 0, 255).astype(np.uint8)


def whole(step: Resample, pixels: Pixels) -> Pixels:
    """Scale a picture in one go."""
    return step.apply(pixels, Rows(0, len(pixels)), Rows(0, step.target.height))


sides = st.integers(3, 60)
sizes = st.builds(Size, sides, sides)


@settings(max_examples=80, deadline=None)
@given(source=sizes, target=sizes, name=filters, seed=st.integers(0, 99))
def test_equals_the_published_formulae(source: Size, target: Size, name: str, seed: int) -> None:
    """A scaled picture is what plain Python makes of it, unless a sum is so close to half a level that luck decides."""
    pixels = noise(source, 3, seed)
    expected, close = reference(pixels, target, name)
    got = whole(Resample(source, target, name), pixels)
    if close > 1e-4:
        assert np.array_equal(got, expected)
    else:
        assert np.abs(got.astype(int) - expected).max() <= 1 + (name == "lanczos3")


def single(pixels: Pixels, target: int) -> Pixels:
    """Scale columns with the bicubic filter, every operation in single precision and in Java's order."""
    scale = F(target) / F(len(pixels))
    reach = F(2) / scale
    stretch = F(2 / ceil(reach))
    out = np.empty((target, *pixels.shape[1:]), np.uint8)
    for index in range(target):
        center = F(index) / scale + F(0.5) / scale
        samples = np.arange(floor(center - reach), ceil(center + reach) + 1)
        x = np.abs((center - samples.astype(F)) * stretch)
        near = F(1.5) * (x * x) * x - F(2.5) * (x * x) + F(1)
        far = F(-0.5) * (x * x) * x + F(2.5) * (x * x) - F(4) * x + F(2)
        weights = np.where(x < 1, near, np.where(x < 2, far, F(0)))
        total = F(0)
        for weight in weights:
            total += weight
        level = np.zeros(pixels.shape[1:], F)
        for sample, weight in zip(samples, weights, strict=True):
            inside = -sample if sample < 0 else 2 * len(pixels) - 1 - sample if sample >= len(pixels) else sample
            level += pixels[inside].astype(F) * (weight / total)
        out[index] = np.clip(level, 0, 255) + F(0.5)
    return out


@pytest.mark.parametrize("target", [Size(100, 67), Size(75, 50), Size(120, 80), Size(149, 99)])
def test_half_a_level_is_rounded_as_in_single_precision(target: Size) -> None:
    """At ratios like 3:2, where sums of half a level are common, every sample equals Java's."""
    pixels = noise(Size(150, 100), 3, 1)
    narrow = single(pixels.transpose(1, 0, 2), target.width).transpose(1, 0, 2)
    expected = single(narrow, target.height)
    assert np.array_equal(whole(Resample(Size(150, 100), target, "bicubic"), pixels), expected)


def test_large_pictures_seldom_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the second look at halves, one sample in a few hundred differs, by one level."""
    pixels = noise(Size(400, 300), 3, 2)
    step = Resample(Size(400, 300), Size(311, 217), "bicubic")
    exact = whole(step, pixels).astype(int)
    monkeypatch.setattr("sidecar.render.steps.resample._EXACT", 0)
    difference = np.abs(whole(step, pixels) - exact)
    assert difference.max() == 1
    assert (difference > 0).mean() < 0.004


@settings(max_examples=80, deadline=None)
@given(
    source=st.builds(Size, st.integers(1, 90), st.integers(1, 90)),
    target=st.builds(Size, st.integers(1, 90), st.integers(1, 90)),
    name=filters,
    channels=st.integers(1, 4),
    orientation=orientations,
    rows=st.integers(1, 40),
    exact=st.booleans(),
)
def test_strips_equal_the_whole(
    source: Size, target: Size, name: str, channels: int, orientation: Orientation, rows: int, *, exact: bool
) -> None:
    """Each strip, from no more than the rows it says it needs, is exactly that part of the whole."""
    pixels = noise(source, channels, 3)
    step = Resample(source, target, name, orientation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidecar.render.steps.resample._EXACT", 1 << 20 if exact else 0)
        expected = whole(step, pixels)
        for top in range(0, target.height, rows):
            wanted = Rows(top, min(top + rows, target.height))
            have = step.rows(wanted)
            assert 0 <= have.start < have.stop <= source.height
            strip = step.apply(pixels[have.start : have.stop], have, wanted)
            assert np.array_equal(strip, expected[wanted.start : wanted.stop])


@settings(max_examples=60, deadline=None)
@given(
    source=st.builds(Size, st.integers(1, 200), st.integers(1, 200)),
    target=st.builds(Size, st.integers(1, 200), st.integers(1, 200)),
    name=filters,
    channels=st.sampled_from([1, 3]),
    orientation=orientations,
    level=st.integers(0, 255),
)
def test_constant_stays_constant(
    source: Size, target: Size, name: str, channels: int, orientation: Orientation, level: int
) -> None:
    """A picture of one colour keeps it, scaled to whatever size."""
    pixels = np.full((source.height, source.width, channels), level, np.uint8)
    assert (whole(Resample(source, target, name, orientation), pixels) == level).all()


@settings(max_examples=60, deadline=None)
@given(source=sizes, target=sizes, name=filters, channels=st.sampled_from([1, 3]), orientation=orientations)
def test_scaled_before_it_is_turned(
    source: Size, target: Size, name: str, channels: int, orientation: Orientation
) -> None:
    """A turned picture scaled is the scaled picture turned."""
    pixels = noise(source, channels, 4)
    expected = orient(whole(Resample(source, target, name), pixels), orientation)
    step = Resample(orientation.apply(source), orientation.apply(target), name, orientation)
    assert np.array_equal(whole(step, np.ascontiguousarray(orient(pixels, orientation))), expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_invisible_colours_do_not_show(channels: int) -> None:
    """Scaled with alpha, pixels that are transparent give nothing to their neighbours."""
    pixels = np.zeros((20, 20, channels), np.uint8)
    pixels[:, :10] = 200
    pixels[:, 10:, :-1] = 10
    scaled = whole(Resample(Size(20, 20), Size(7, 7), "triangle"), pixels)
    visible = scaled[..., -1] > 20
    assert visible.any()
    assert np.abs(scaled[..., :-1].astype(int)[visible] - 200).max() <= 4


def test_weights_are_shared() -> None:
    """Steps are values: equal ones are equal, and another orientation makes another one."""
    step = Resample(Size(10, 10), Size(5, 5), "box")
    assert step == Resample(Size(10, 10), Size(5, 5), "box")
    assert step != replace(step, orientation=Orientation(mirror=True))
