"""What OpenJPH must not be given."""

from __future__ import annotations

import pytest
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.testing import encode, photograph
from sidecar_jp2.index.index_cache import IndexCache

from sidecar.plugin import Unsupported, run_inline
from sidecar.testing.fakes import MemoryBlob


def quantized(guard_bits: int, exponent: int) -> bytes:
    """Return a codestream of the 9-7 wavelet whose first subband claims these (ITU-T T.800 A.6.4)."""
    made = bytearray(encode(photograph((40, 40), 1), levels=1, reversible=False))
    at = made.index(b"\xff\x5c") + 4
    made[at] = guard_bits << 5 | 2
    made[at + 1] = exponent << 3 | made[at + 1] & 7
    return bytes(made)


@pytest.mark.parametrize("guard_bits, exponent", [(1, 31), (2, 30), (7, 25), (7, 31)])
def test_more_bit_planes_than_openjph_has_room_for(guard_bits: int, exponent: int) -> None:
    """Subbands of the 9-7 wavelet with more than 30 bit planes, which crash OpenJPH, are left to other decoders."""
    decoder = Htj2kDecoder(OpenJph(load()), IndexCache(run_inline, 1 << 20))
    with pytest.raises(Unsupported, match="bit planes"):
        decoder.open(MemoryBlob("a.jph", quantized(guard_bits, exponent)))
    decoder.open(MemoryBlob("a.jph", quantized(guard_bits, 31 - guard_bits))).close()
