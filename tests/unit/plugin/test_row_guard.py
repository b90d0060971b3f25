"""RowGuard: strips that fit their frame pass, all others are refused."""

from __future__ import annotations

import numpy as np
import pytest

from sidecar.plugin import EncodeError, Frame, RowGuard, Size

FRAME = Frame(size=Size(6, 5), channels=3)


def test_rows_are_counted() -> None:
    """Every row once: the end is reached after the last, not before."""
    count = RowGuard(FRAME)
    count.take(np.zeros((3, 6, 3), np.uint8))
    assert count.left == 2
    with pytest.raises(EncodeError, match="2 rows early"):
        count.end()
    count.take(np.zeros((2, 6, 3), np.uint8))
    count.end()


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 7, 3), (6, 6, 3), (0, 6, 3)])
def test_shapes_that_do_not_fit(shape: tuple[int, ...]) -> None:
    """Another width or other channels, rows too many or none, are refused and not counted."""
    count = RowGuard(FRAME)
    with pytest.raises(EncodeError):
        count.take(np.zeros(shape, np.uint8))
    assert count.left == 5


def test_other_types() -> None:
    """Samples of another type are refused."""
    with pytest.raises(EncodeError):
        RowGuard(FRAME).take(np.zeros((5, 6, 3), np.uint16))


def test_plain_strips_are_not_copied() -> None:
    """A strip in plain order passes without a copy."""
    strip = np.zeros((5, 6, 3), np.uint8)
    assert np.shares_memory(RowGuard(FRAME).take(strip), strip)


@pytest.mark.parametrize("cut", [np.s_[:, 1:7], np.s_[::-1, :6], np.s_[:, 11:5:-1]])
def test_other_orders_are_put_right(cut: tuple[slice, slice]) -> None:
    """A strip in another order comes out in plain order with the same samples."""
    strip = np.arange(5 * 12 * 3, dtype=np.uint8).reshape(5, 12, 3)[cut]
    taken = RowGuard(FRAME).take(strip)
    assert taken.strides == (18, 3, 1)
    assert np.array_equal(taken, strip)


def test_stride_of_a_single_row() -> None:
    """The row's stride is the row's length even if numpy does not care: one row, cut from a mirrored picture."""
    row = np.zeros((9, 6, 3), np.uint8)[::-1][4:5]
    assert RowGuard(FRAME).take(row).strides == (18, 3, 1)
