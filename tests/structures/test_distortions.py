"""Strain and rattling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.structures.distortions import apply_strain, random_strain, rattle
from sse_screen.structures.prototypes import build_prototype


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 0.1))
def test_random_strain_is_symmetric_bounded_and_keeps_fractional_coordinates(seed: int, bound: float) -> None:
    crystal = build_prototype("li3n")
    strained = random_strain(crystal, bound, np.random.default_rng(seed))
    tensor = np.linalg.inv(crystal.lattice.matrix) @ strained.lattice.matrix - np.eye(3)
    assert np.allclose(tensor, tensor.T, atol=1e-12)
    assert abs(tensor).max() <= bound + 1e-12
    assert np.array_equal(strained.frac_coords, crystal.frac_coords)
    assert strained.composition == crystal.composition


def test_isotropic_strain_scales_the_volume() -> None:
    crystal = build_prototype("licl")
    strained = apply_strain(crystal, 0.02 * np.eye(3))
    assert strained.volume / crystal.volume == pytest.approx(1.02**3, rel=1e-12)


def test_rattle_has_the_asked_width_no_drift_and_no_wrapping() -> None:
    crystal = build_prototype("lgps") * (2, 2, 2)
    rattled = rattle(crystal, 0.05, np.random.default_rng(1))
    moved = rattled.cart_coords - crystal.cart_coords
    assert np.allclose(moved.mean(axis=0), 0, atol=1e-12)
    assert moved.std() == pytest.approx(0.05, rel=0.05)
    assert abs(moved).max() < 0.5


def test_same_seed_same_crystal() -> None:
    crystal = build_prototype("li3n")
    pairs = [
        [random_strain(crystal, 0.05, np.random.default_rng(7)) for _ in range(2)],
        [rattle(crystal, 0.05, np.random.default_rng(7)) for _ in range(2)],
    ]
    assert all(one == same for one, same in pairs)


def test_original_is_untouched() -> None:
    crystal = build_prototype("li3n")
    before = crystal.copy()
    random_strain(crystal, 0.05, np.random.default_rng(0))
    rattle(crystal, 0.05, np.random.default_rng(0))
    assert crystal == before


def test_bad_values_are_refused() -> None:
    crystal, rng = build_prototype("li"), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"between 0 and 0\.3"):
        random_strain(crystal, 3.0, rng)
    with pytest.raises(InputError, match="zero or more"):
        rattle(crystal, -0.1, rng)
    with pytest.raises(InputError, match="symmetric"):
        apply_strain(crystal, [[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(InputError, match="inverted"):
        apply_strain(crystal, -2 * np.eye(3))
