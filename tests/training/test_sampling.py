"""Sampling: which frames, how distorted, which orderings; the same seed gives the same structures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure, SymmOp

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.potentials.loading import load_chgnet
from sse_screen.potentials.registry import find_potential
from sse_screen.thermodynamics.composition_space import HullEntry
from sse_screen.thermodynamics.hull import HullError
from sse_screen.training.labelling import geometry_hash
from sse_screen.training.sampling import (
    SamplingProtocol,
    choose_frames,
    crystal_features,
    distorted_copies,
    equidistant_frames,
    farthest_points,
    frame_structure,
    random_frames,
    sample_crystal,
    sample_trajectory,
    select_orderings,
)

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.1), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3])


def walk(n_frames=101, step_ps=0.02, amplitude_A=0.1, seed=0):
    rng = np.random.default_rng(seed)
    positions = SALT.cart_coords + rng.normal(scale=amplitude_A, size=(n_frames, 8, 3))
    return Trajectory(
        positions=positions + 5.1 * rng.integers(-1, 2, size=(1, 8, 3)),
        cells=SALT.lattice.matrix,
        species=tuple(site.specie.symbol for site in SALT),
        times_ps=np.arange(n_frames) * step_ps,
        unwrapped=True,
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.data())
def test_frames_are_different_and_in_range(n_frames, data):
    n = data.draw(st.integers(1, n_frames))
    for frames in (random_frames(n_frames, n, np.random.default_rng(n)), equidistant_frames(n_frames, n)):
        assert len(set(frames.tolist())) == n
        assert sorted(frames) == list(frames)
        assert 0 <= frames[0] <= frames[-1] < n_frames
    gaps = np.diff(equidistant_frames(n_frames, n))
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert equidistant_frames(n_frames, n)[-1] == n_frames - 1


def test_more_frames_than_there_are_cannot_be_had():
    for choose in (
        lambda: random_frames(3, 4, np.random.default_rng(1)),
        lambda: equidistant_frames(3, 4),
        lambda: farthest_points(np.zeros((3, 2)), 4),
    ):
        with pytest.raises(InputError, match="4 frames of 3: take fewer, or run longer"):
            choose()


def test_random_frames_are_all_equally_likely():
    rng = np.random.default_rng(7)
    counts = np.bincount(np.concatenate([random_frames(10, 3, rng) for _ in range(5000)]), minlength=10)
    assert np.abs(counts / 5000 - 0.3).max() < 4 * np.sqrt(0.21 / 5000)


def test_farthest_points_by_hand():
    # the mean is 2.6: first 10, then 0, then 2 (2 from 0), then 1 and 1 again
    points = np.array([[0.0], [1.0], [2.0], [10.0], [0.0]])
    assert farthest_points(points, 5).tolist() == [3, 0, 2, 1, 4]


def test_farthest_points_cover_what_random_ones_miss():
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(scale=0.01, size=(500, 3)), rng.normal(scale=5.0, size=(10, 3))])
    chosen = farthest_points(points, 12)
    assert set(range(500, 510)) <= set(chosen.tolist())

    def radius(of):
        return np.linalg.norm(points[:, None] - points[None, of], axis=2).min(axis=1).max()

    assert radius(chosen) < 0.1 * radius(random_frames(510, 12, rng))


@pytest.fixture(scope="module")
def model():
    return load_chgnet(find_potential("chgnet").path)


def test_features_know_neither_order_nor_orientation(model):
    rng = np.random.default_rng(2)
    one = SALT.copy().perturb(0.1)
    order = rng.permutation(8)
    turned = Structure.from_sites([one[i] for i in order])
    turned.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 40))
    other = SALT.copy().perturb(0.3)
    first, second, third = crystal_features([one, turned, other], model)
    assert first.shape == (64,)
    assert np.linalg.norm(first - second) < 1e-4 * np.linalg.norm(first)
    assert np.linalg.norm(first - third) > 100 * np.linalg.norm(first - second)
    assert crystal_features([one], model).shape == (1, 64)


def test_farthest_frames_find_the_odd_one(model):
    run = walk(21, amplitude_A=0.02)
    positions = np.array(run.positions)
    positions[13, 0] += 0.8
    odd = Trajectory(positions, run.cells, run.species, run.times_ps, True)
    protocol = SamplingProtocol(method="farthest_point", frames=3, candidates=50)
    assert 13 in choose_frames(odd, protocol, np.random.default_rng(1), model)
    with pytest.raises(InputError, match="give the CHGNet whose features"):
        choose_frames(odd, protocol, np.random.default_rng(1))


def test_the_start_of_a_run_is_left_out():
    for method in ("random", "equidistant"):
        protocol = SamplingProtocol(method=method, frames=51, skip_ps=1.0)
        frames = choose_frames(walk(), protocol, np.random.default_rng(1))
        assert frames.tolist() == list(range(50, 101))
    with pytest.raises(InputError, match="52 frames of 51"):
        choose_frames(walk(), SamplingProtocol(frames=52, skip_ps=1.0), np.random.default_rng(1))


def test_frames_are_crystals_in_their_cell():
    run = walk()
    structure = frame_structure(run, 5)
    assert structure.composition.reduced_formula == "LiCl"
    assert structure.frac_coords.min() >= 0
    assert structure.frac_coords.max() < 1
    shift = (structure.cart_coords - run.positions[5]) / 5.1
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-9)


def test_strain_stays_within_its_bounds_and_fractional_coordinates_stay():
    protocol = SamplingProtocol(copies=200, maximum_strain=0.03)
    copies = distorted_copies(SALT, protocol, np.random.default_rng(1))
    strains = []
    for copy, done in copies:
        strain = np.linalg.solve(SALT.lattice.matrix, copy.lattice.matrix) - np.eye(3)
        np.testing.assert_allclose(strain, strain.T, atol=1e-12)
        np.testing.assert_allclose(copy.frac_coords, SALT.frac_coords)
        strains.append(strain)
        assert done.startswith(" strained ")
    assert np.abs(strains).max() <= 0.03
    assert np.abs(strains).max() > 0.029
    assert np.abs(np.mean(strains, axis=0)).max() < 0.005


def test_copies_are_named_by_what_was_done():
    def done(**changes):
        protocol = SamplingProtocol(**({"maximum_strain": 0.0} | changes))
        found = distorted_copies(SALT, protocol, np.random.default_rng(1))
        assert len(found) * protocol.frames == protocol.structures_per_run
        return [words for _, words in found]

    assert done() == [""]
    assert done(maximum_strain=0.03, copies=2) == [" strained 1", " strained 2"]
    assert done(rattle_A=0.1, keep_undistorted=True) == ["", " rattled 1"]
    assert done(maximum_strain=0.01, rattle_A=0.1) == [" strained rattled 1"]
    (rattled, _), *_ = distorted_copies(
        SALT, SamplingProtocol(maximum_strain=0, rattle_A=0.05), np.random.default_rng(1)
    )
    moved = rattled.cart_coords - SALT.cart_coords
    assert 0.02 < moved.std() < 0.08


def test_a_run_gives_structures_with_their_origin_and_the_same_seed_the_same():
    protocol = SamplingProtocol(frames=10)
    (first, left_out), (second, _), (other, _) = (
        sample_trajectory(
            walk(),
            protocol,
            np.random.default_rng(seed),
            parent_configuration="salt",
            run="run 7",
            first_frame=5,
        )
        for seed in (1, 1, 2)
    )
    assert left_out == 0
    assert len(first) == protocol.structures_per_run == 10
    assert first == second != other
    numbers = [int(one.source.split(" frame ")[1].split()[0]) for one in first]
    expected = 5 + random_frames(101, 10, np.random.default_rng(1))
    assert numbers == expected.tolist()
    assert {one.parent_configuration for one in first} == {"salt"}
    hashes = {geometry_hash(Structure.from_dict(one.structure).to_ase_atoms(msonable=False)) for one in first}
    assert len(hashes) == 10


def test_what_is_not_worth_a_label_is_counted():
    run = walk(10, amplitude_A=0.0)
    positions = np.array(run.positions)
    positions[4, 1] = positions[4, 0] + 0.3
    broken = Trajectory(positions, run.cells, run.species, run.times_ps, True)
    protocol = SamplingProtocol(frames=10, maximum_strain=0.0, copies=1)
    kept, left_out = sample_trajectory(
        broken, protocol, np.random.default_rng(1), parent_configuration="p", run="r"
    )
    assert (len(kept), left_out) == (9, 1)
    assert "r frame 4" not in {one.source for one in kept}


def test_a_crystal_that_did_not_run_is_strained_and_rattled():
    protocol = SamplingProtocol(frames=5, copies=2, rattle_A=0.05, keep_undistorted=True)
    kept, left_out = sample_crystal(SALT, protocol, np.random.default_rng(1), parent_configuration="salt")
    assert (len(kept), left_out) == (11, 0)
    assert kept[0].source == "salt"
    assert kept[10].source == "salt strained rattled 10"
    with pytest.raises(InputError, match="all copies of the crystal would be equal"):
        sample_crystal(
            SALT, SamplingProtocol(maximum_strain=0), np.random.default_rng(1), parent_configuration="p"
        )


def entries(n=30, level=None):
    rng = np.random.default_rng(0)
    return [
        HullEntry(formula, -4.0 - 0.1 * len(formula) + e, f"{formula} {i}", level)
        for formula in ("Li6PS5Cl", "Li6PS5Br")
        for i, e in enumerate(np.sort(rng.exponential(0.02, n)))
    ]


def test_orderings_of_two_compositions_with_the_ground_states_always_in():
    chosen = select_orderings(entries(), 12, np.random.default_rng(1))
    assert len(set(chosen)) == 12
    assert {"Li6PS5Cl 0", "Li6PS5Br 0"} <= set(chosen)
    assert chosen == select_orderings(entries(), 12, np.random.default_rng(1))
    with pytest.raises(HullError, match="cannot hold the ground states of 2 compositions"):
        select_orderings(entries(), 1, np.random.default_rng(1))
    mixed = [*entries(), HullEntry("Li6PS5Cl", -4.0, "x", "another level")]
    with pytest.raises(HullError, match="level"):
        select_orderings(mixed, 12, np.random.default_rng(1))


def test_orderings_of_one_composition_follow_their_boltzmann_weights():
    # two states kT ln 9 apart above the ground state: the lower is drawn nine times of ten
    kT = 8.617333262e-5 * 800
    per_atom = np.array([-1.0, 0.0, kT * np.log(9)]) / 13
    one = [HullEntry("Li6PS5Cl", e, str(i)) for i, e in enumerate(per_atom)]
    chosen = [select_orderings(one, 2, np.random.default_rng(seed)) for seed in range(2000)]
    assert {first for first, _ in chosen} == {"0"}
    draws = [second for _, second in chosen]
    assert draws.count("1") / 2000 == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 2000))
