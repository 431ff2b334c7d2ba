"""The density as bytes and back."""

import numpy as np
import pytest

from sse_screen.exceptions import InputError
from sse_screen.transport.density import probability_density, smooth
from sse_screen.transport.density_archive import StoredDensity, pack_density, unpack_density


def stored(normalisation="probability", n_frames=400):
    generator = np.random.default_rng(0)
    fractional = generator.normal(0.3, 0.05, (n_frames, 7, 3))
    cell = np.array([[8.0, 0, 0], [2.0, 9.0, 0], [1.0, -1.0, 10.0]])
    density = probability_density(fractional, cell, spacing_A=0.4, normalisation=normalisation)
    return StoredDensity(density, 0.25, generator.random((3, 3)), ("P", "S", "S"))


@pytest.mark.parametrize("normalisation", ["probability", "number"])
def test_nothing_is_lost(normalisation):
    before = stored(normalisation)
    after = unpack_density(pack_density(before))
    np.testing.assert_allclose(after.density.values_per_A3, before.density.values_per_A3, rtol=1e-12)
    np.testing.assert_array_equal(after.density.cell_A, before.density.cell_A)
    assert (after.density.norm, after.density.n_samples) == (before.density.norm, before.density.n_samples)
    assert (after.smoothing_A, after.species) == (0.25, ("P", "S", "S"))
    np.testing.assert_allclose(after.fractional, before.fractional, atol=1e-6)


def test_equal_densities_give_equal_and_small_bytes():
    assert pack_density(stored()) == pack_density(stored())
    assert len(pack_density(stored())) < stored().density.values_per_A3.size / 4


def test_what_cannot_be_packed_or_read_says_so():
    before = stored()
    with pytest.raises(InputError, match="not smoothed"):
        pack_density(before._replace(density=smooth(before.density, 0.3)))
    with pytest.raises(InputError, match="density archive"):
        unpack_density(b"no archive")
    with pytest.raises(InputError, match="density archive"):
        unpack_density(pack_density(before)[:200])
