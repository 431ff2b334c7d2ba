"""Nernst-Einstein, charge diffusivity and Haven ratio, on exact values and walks with a known ratio."""

import numpy as np
import pytest

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.conductivity import charge_of, conductivity, nernst_einstein
from sse_screen.transport.diffusivity import fit_ensemble, judge
from sse_screen.transport.ensemble import prepare_ensemble


def analysed(moved, temperature_K=600.0, framework=True):
    frames, ions = moved.shape[:2]
    species = ("Li",) * ions
    if framework:
        still = 0.1 * np.random.default_rng(1).normal(size=(frames, 10, 3))
        moved, species = np.concatenate([moved, still], axis=1), species + ("S",) * 10
    trajectory = Trajectory(moved, np.eye(3) * 15, species, 0.1 * np.arange(frames), unwrapped=True)
    ensemble = prepare_ensemble([trajectory], "Li")
    fitted = fit_ensemble(ensemble, hop_distance_A=2.0)
    tracer = judge(ensemble, fitted).tracer_diffusivity
    return conductivity(ensemble, fitted, tracer, 1, temperature_K)


def walk(seed, frames=1500, ions=12):
    return np.cumsum(np.random.default_rng(seed).normal(scale=0.25, size=(frames, ions, 3)), axis=0)


def test_published_lgps_conductivity():
    """pymatgen-analysis-diffusion's own test: 20 Li in the LGPS cell, 600 K, 1.161e-6 cm²/s: 74.165 mS/cm."""
    volume = np.linalg.det([[8.729014, 0.018257, 0], [0.018257, 8.729014, 0], [0, 0, 12.735865]])
    assert nernst_einstein(1.161e-6, 20, 1, volume, 600.0) == pytest.approx(74.165e-3, rel=1e-3)


def test_haven_ratio_of_independent_walkers_covers_one():
    found = [analysed(walk(seed)).haven_ratio for seed in range(40)]
    covered = [ratio.lower < 1 < ratio.upper for ratio in found if ratio.lower is not None]
    assert len(covered) >= 38
    assert np.mean(covered) >= 0.88


def test_ions_that_move_as_one_have_a_haven_ratio_of_their_number():
    """All ions take the same steps: D_charge = N D_tracer, so the ratio is 1/N."""
    together = np.repeat(walk(3, ions=1), 12, axis=1) + 0.05 * np.random.default_rng(4).normal(
        size=(1500, 12, 3)
    )
    found = analysed(together).haven_ratio
    assert (found.lower * found.upper) ** 0.5 == pytest.approx(1 / 12, rel=0.05)


def test_a_single_short_run_is_unresolved():
    found = analysed(walk(5, frames=300)).haven_ratio
    assert found.verdict == "unresolved"
    assert "factor 3" in found.reasons[0]
    assert found.value is None
    assert found.lower > 0
    assert found.upper > 3 * found.lower


def test_no_temperature_no_conductivity_and_no_framework_no_charge_diffusivity():
    found = analysed(walk(6), temperature_K=None)
    assert found.nernst_einstein_conductivity.verdict == "refused"
    assert "no temperature" in found.nernst_einstein_conductivity.reasons[0]
    alone = analysed(walk(6), framework=False)
    assert alone.charge_diffusivity.verdict == "refused"
    assert alone.haven_ratio.value is None
    assert alone.nernst_einstein_conductivity.value > 0


def test_charges_are_known_or_asked_for():
    assert charge_of("Li") == 1
    assert charge_of("O") == -2
    assert charge_of("Cu", 2) == 2
    with pytest.raises(InputError, match="Cu has no single charge"):
        charge_of("Cu")
    with pytest.raises(InputError, match="carries no current"):
        charge_of("Li", 0)
