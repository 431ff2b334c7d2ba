"""Bootstrap, noise and convergence, checked on spectra whose answer is known."""

import numpy as np
import pytest

from sse_screen.thermodynamics.partition_function import (
    BOLTZMANN_eV_per_K,
    FreeEnergyError,
    configurational_free_energy,
)
from sse_screen.thermodynamics.sampling_error import (
    bootstrap_free_energy,
    convergence_with_sample_size,
    noise_correction,
    noise_from_repeats,
)

TEMPERATURE = 600.0
THERMAL = BOLTZMANN_eV_per_K * TEMPERATURE


def test_bootstrap_covers_the_truth_where_many_orderings_count():
    rng = np.random.default_rng(0)
    spread, total = 0.5 * THERMAL, 1e6
    truth = -THERMAL * (np.log(total) + spread**2 / (2 * THERMAL**2))
    hits = 0
    for _ in range(60):
        interval = bootstrap_free_energy(
            rng.normal(0.0, spread, 400),
            TEMPERATURE,
            atoms_per_cell=1,
            rng=rng,
            total_weight=total,
            n_resamples=200,
        )
        assert interval.warnings == ()
        hits += interval.lower_eV_per_cell <= truth <= interval.upper_eV_per_cell
    assert hits >= 51


def test_bootstrap_warns_when_few_orderings_count():
    rng = np.random.default_rng(1)
    interval = bootstrap_free_energy(
        rng.normal(0.0, 5 * THERMAL, 400), TEMPERATURE, atoms_per_cell=1, rng=rng
    )
    assert "understates" in interval.warnings[0]


def test_bootstrap_is_repeatable():
    energies = np.linspace(0, 0.1, 30)
    first, second = (
        bootstrap_free_energy(energies, 300.0, atoms_per_cell=1, rng=np.random.default_rng(4))
        for _ in range(2)
    )
    assert first == second


def test_noise_lowers_the_free_energy_by_the_correction():
    rng = np.random.default_rng(2)
    energies = rng.normal(0.0, 0.5 * THERMAL, 200_000)
    noise = 0.8 * THERMAL
    clean, noisy = (
        configurational_free_energy(values, TEMPERATURE, atoms_per_cell=1)
        for values in (energies, energies + rng.normal(0.0, noise, energies.size))
    )
    correction = noise_correction(noise, TEMPERATURE, noisy.effective_sample_size)
    shift = noisy.free_energy_eV_per_cell - clean.free_energy_eV_per_cell
    assert correction.shift_eV_per_cell == pytest.approx(shift, rel=0.03)
    assert correction.ranking_allowed
    assert correction.reasons == ()


def test_one_meV_per_atom_in_192_atoms_is_seven_kT_and_forbids_a_ranking():
    correction = noise_correction(0.192, 300.0, 1e4)
    assert correction.noise_in_kT == pytest.approx(7.43, abs=0.01)
    assert not correction.ranking_allowed
    assert "cannot be ranked" in correction.reasons[0]


def test_correction_says_when_too_few_orderings_carry_it():
    assert "too large" in noise_correction(0.01, 300.0, 3.0).reasons[0]
    assert noise_correction(0.0, 300.0, 3.0).reasons == ()
    with pytest.raises(FreeEnergyError, match="negative"):
        noise_correction(-0.1, 300.0, 10.0)


@pytest.mark.parametrize("convention", ["physical", "per_atom"])
def test_convergence_ends_at_the_full_sum_and_is_flat_when_rescaled(convention):
    rng = np.random.default_rng(5)
    energies, weights = rng.normal(0.0, 0.02, 600), rng.integers(1, 4, 600)
    found = convergence_with_sample_size(
        energies, TEMPERATURE, atoms_per_cell=10, rng=rng, degeneracies=weights, convention=convention
    )
    full = configurational_free_energy(
        energies, TEMPERATURE, atoms_per_cell=10, degeneracies=weights, convention=convention
    )
    assert found.sample_sizes[-1] == 600
    assert found.free_energies_eV_per_atom[-1] == pytest.approx(full.free_energy_eV_per_atom)
    assert found.free_energy_spreads_eV_per_atom[-1] == pytest.approx(0.0, abs=1e-12)
    assert found.free_energy_spreads_eV_per_atom[0] > found.free_energy_spreads_eV_per_atom[-2]
    middle = len(found.sample_sizes) // 2
    scaled_gap = abs(found.entropy_terms_eV_per_atom[middle] - found.entropy_terms_eV_per_atom[-1])
    plain_gap = abs(
        found.unscaled_entropy_terms_eV_per_atom[middle] - found.unscaled_entropy_terms_eV_per_atom[-1]
    )
    assert scaled_gap < 0.1 * plain_gap


def test_noise_from_repeats_ignores_a_common_shift():
    rng = np.random.default_rng(2)
    truth = rng.normal(-10.0, 0.5, 4000)
    first, second = (truth + rng.normal(0, 0.03, 4000) for _ in range(2))
    assert noise_from_repeats(first, second - 0.2) == pytest.approx(0.03, rel=0.03)
    assert noise_from_repeats(first[:4], second[:4]) is None
