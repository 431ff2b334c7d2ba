"""The content hash: what it must and must not notice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from sse_screen.structures.identity import structure_hash
from sse_screen.structures.prototypes import build_prototype, list_prototypes


def test_known_value() -> None:
    """A change of the scheme makes every stored identity invalid and needs a new version tag."""
    licl = Structure(Lattice.cubic(5.0), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert structure_hash(licl) == "81fcf88f329dc8e7b1a9e7bbe93ca7b0f45dea71d1e92256c72b245ed77e20a7"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["lgps", "li3ycl6", "li6ps5cl-disordered"]))
def test_order_images_rotation_and_noise_do_not_count(seed: int, name: str) -> None:
    crystal = build_prototype(name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(crystal))
    shifted = crystal.frac_coords[order] + rng.integers(-2, 3, size=(len(crystal), 3))
    shifted += rng.normal(scale=1e-12, size=shifted.shape)
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    other = Structure(
        Lattice(crystal.lattice.matrix @ rotation.T), [crystal[int(i)].species for i in order], shifted
    )
    assert structure_hash(other) == structure_hash(crystal)


def test_what_counts() -> None:
    crystal = build_prototype("li3n")
    variants = [crystal, crystal * (2, 1, 1)]
    moved = crystal.copy()
    moved.translate_sites([0], [0, 0, 2e-6])
    variants.append(moved)
    strained = crystal.copy()
    strained.apply_strain(1e-5)
    variants.append(strained)
    other = crystal.copy()
    other.replace(0, "Na")
    variants.append(other)
    part = crystal.copy()
    part.replace(0, {"Li": 0.5})
    variants.append(part)
    assert len({structure_hash(v) for v in variants}) == len(variants)


def test_labels_and_oxidation_states_do_not_count() -> None:
    crystal = build_prototype("licl")
    decorated = crystal.copy()
    decorated.add_oxidation_state_by_element({"Li": 1, "Cl": -1})
    decorated.remove_site_property("orbit")
    assert structure_hash(decorated) == structure_hash(crystal)


def test_all_prototypes_differ() -> None:
    hashes = [structure_hash(build_prototype(p.name)) for p in list_prototypes()]
    assert len(set(hashes)) == len(hashes)
    assert all(len(h) == 64 for h in hashes)


@pytest.mark.parametrize("coordinate", [0.3863645, 1 / 3, 2 / 3, 0.125, 0.9999999999])
def test_values_with_few_digits_are_not_on_an_edge(coordinate: float) -> None:
    hashes = {
        structure_hash(Structure(Lattice.cubic(5), ["Li"], [[coordinate + noise, 0, 0]]))
        for noise in (-1e-11, 0.0, 1e-11)
    }
    assert len(hashes) == 1
