"""Melts and decompositions are seen; vibration, drift, diffusion, rotation and exchange are not."""

import numpy as np
import pytest

from sse_screen.dynamics.framework_state import framework_failure
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.structures.prototypes import build_prototype


def part(structure, moved=0.0, start_ps=0.0, seed=0, n_frames=50):
    rng = np.random.default_rng(seed)
    sites = structure.cart_coords + moved
    return Trajectory(
        positions=sites + rng.normal(0, 0.2, (n_frames, *sites.shape)),
        cells=structure.lattice.matrix,
        species=tuple(site.specie.symbol for site in structure),
        times_ps=start_ps + 0.02 * np.arange(n_frames),
        unwrapped=True,
    )


@pytest.fixture(scope="module")
def lgps():
    return build_prototype("lgps")


def species(structure):
    return np.array([site.specie.symbol for site in structure])


@pytest.mark.parametrize("name", ["lgps", "li6ps5cl", "licl", "li3n"])
def test_a_crystal_that_vibrates_drifts_and_conducts_stands(name):
    crystal = build_prototype(name)
    rng = np.random.default_rng(1)
    moved = np.tile([0.7, -1.2, 0.4], (len(crystal), 1))
    mobile = species(crystal) == "Li"
    moved[mobile] += rng.normal(0, 8, (mobile.sum(), 3))
    assert framework_failure(part(crystal), part(crystal, moved, 9, seed=2), "Li") is None


def test_a_melt_is_told_with_its_time(lgps):
    moved = np.random.default_rng(3).normal(0, 2.5, (len(lgps), 3))
    reason = framework_failure(part(lgps), part(lgps, moved, 9.02, seed=4), "Li")
    assert reason.startswith("melted")
    assert reason.endswith("by 10 ps")


def test_rotating_ligands_are_no_decomposition(lgps):
    """A third of a turn of every PS4 and GeS4 about an axis through its centre."""
    centres = np.flatnonzero(np.isin(species(lgps), ["P", "Ge"]))
    moved = np.zeros((len(lgps), 3))
    axis = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    turn = np.cross(np.eye(3), axis) * -np.sin(2.1) + np.outer(axis, axis) * (1 - np.cos(2.1))
    turn += np.eye(3) * np.cos(2.1)
    for centre in centres:
        near = lgps.get_neighbors(lgps[int(centre)], 2.6)
        for ligand in (n for n in near if n.specie.symbol == "S"):
            arm = ligand.coords - lgps[int(centre)].coords
            moved[ligand.index] = turn @ arm - arm
    assert np.linalg.norm(moved, axis=1).max() > 2
    assert framework_failure(part(lgps), part(lgps, moved, seed=5), "Li") is None


def test_broken_bonds_are_a_decomposition(lgps):
    moved = np.zeros((len(lgps), 3))
    sulphur = np.flatnonzero(species(lgps) == "S")[:8]
    moved[sulphur] = np.random.default_rng(6).normal(0, 3.5, (8, 3))
    reason = framework_failure(part(lgps), part(lgps, moved, seed=7), "Li")
    assert reason.startswith("decomposed")
    assert "P-S" in reason


def test_a_single_framework_atom_cannot_be_judged():
    lone = part(build_prototype("licl").get_primitive_structure())
    assert framework_failure(lone, lone, "Li") is None
