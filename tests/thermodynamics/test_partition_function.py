"""The sums over orderings: exact values, thermodynamic identities, both conventions."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from sse_screen.thermodynamics.partition_function import (
    BOLTZMANN_eV_per_K,
    FreeEnergyError,
    compare_phases,
    configurational_free_energy,
    entropies_from_free_energies,
)


def test_two_levels():
    result = configurational_free_energy([-7.0, -6.98], 300.0, atoms_per_cell=1)
    assert 1e3 * (result.free_energy_eV_per_cell + 7.0) == pytest.approx(-9.806936116, abs=5e-10)
    assert 1e3 * (result.internal_energy_eV_per_cell + 7.0) == pytest.approx(6.313868138, abs=5e-10)
    assert 1e3 * result.configurational_entropy_eV_per_K_per_cell == pytest.approx(0.0537360142, abs=5e-11)


def lattice_gas():
    """All 12:44 orderings of cubic LLZO with 10 meV for every occupied 2.46 angstrom pair."""
    return configurational_free_energy(
        np.array([0.40, 0.41, 0.42, 0.44]),
        300.0,
        atoms_per_cell=192,
        degeneracies=[316368, 97344, 12000, 312],
    )


def test_lattice_gas_on_the_exact_list():
    result = lattice_gas()
    assert result.total_weight == 426024
    # The reference figures hold to eight digits; the ninth is settled by the test with mpmath below.
    assert result.ln_partition_function_absolute == pytest.approx(-2.6037035936, abs=5e-8)
    assert result.internal_energy_eV_per_cell == pytest.approx(0.4019958140, abs=5e-10)
    assert result.free_energy_eV_per_cell == pytest.approx(0.0673109447, abs=1e-9)
    entropy = result.configurational_entropy_eV_per_K_per_cell / BOLTZMANN_eV_per_K
    assert entropy == pytest.approx(12.9461887689, abs=5e-8)


def test_lattice_gas_in_forty_digits():
    with mpmath.workdps(40):
        thermal = mpmath.mpf("1.380649e-23") / mpmath.mpf("1.602176634e-19") * 300
        levels = {40: 316368, 41: 97344, 42: 12000, 44: 312}
        z = mpmath.fsum(g * mpmath.exp(-mpmath.mpf(n) / 100 / thermal) for n, g in levels.items())
        free_energy, ln_z = float(-thermal * mpmath.log(z)), float(mpmath.log(z))
    result = lattice_gas()
    assert result.ln_partition_function_absolute == pytest.approx(ln_z, rel=1e-12)
    assert result.free_energy_eV_per_cell == pytest.approx(free_energy, rel=1e-12)


@pytest.mark.parametrize(
    ("spread_meV", "n", "at_300", "at_1500"), [(0.590, 4162, 0.7112, 0.7167), (0.512, 65958, 0.9494, 0.9549)]
)
def test_published_convention_reproduces_published_entropies(spread_meV, n, at_300, at_1500):
    # The published sets are not to be had; a Gaussian spectrum stands for them. At 300 K the entropy hangs on
    # the distance of the lowest ordering from the mean, which differs between random spectra by 0.27 spreads,
    # 0.0005 meV/K: hence the tolerance.
    per_atom = norm.ppf((np.arange(n) + 0.5) / n) * spread_meV * 1e-3
    energies = 192 * (per_atom - 7.839)
    for temperature, published in ((300.0, at_300), (1500.0, at_1500)):
        result = configurational_free_energy(
            energies, temperature, atoms_per_cell=192, convention="per_atom", degeneracies=np.full(n, 96.0)
        )
        entropy = 1e3 * result.configurational_entropy_eV_per_K_per_cell / 192
        assert entropy == pytest.approx(published, abs=6e-4)
        assert entropy < 1e3 * result.maximum_entropy_eV_per_K_per_cell / 192
        expected = result.mean_energy_eV_per_cell / 192 - temperature * entropy * 1e-3
        assert result.free_energy_eV_per_atom == pytest.approx(expected, abs=1e-12)
        physical = configurational_free_energy(
            energies, temperature, atoms_per_cell=192, degeneracies=np.full(n, 96.0)
        )
        # The same spectrum, summed physically: two hundred times less entropy an atom.
        assert 1e3 * physical.configurational_entropy_eV_per_K_per_cell / 192 < published / 50


def test_published_figure_without_vibrations_at_300_K():
    # 12:44, -T S = -0.2135 eV/atom and G = -8.053 from <H> = -7.839.
    per_atom = norm.ppf((np.arange(4162) + 0.5) / 4162) * 0.590e-3
    energies = 192 * (per_atom - per_atom.mean() - 7.839)
    result = configurational_free_energy(energies, 300.0, atoms_per_cell=192, convention="per_atom")
    assert -300 * result.configurational_entropy_eV_per_K_per_cell / 192 == pytest.approx(-0.2135, abs=3e-4)
    assert result.free_energy_eV_per_atom == pytest.approx(-8.053, abs=1e-3)


spectra = st.lists(st.tuples(st.floats(-1.0, 1.0), st.integers(1, 96)), min_size=1, max_size=30).map(
    lambda rows: (np.array([e for e, _ in rows]), np.array([g for _, g in rows], dtype=float))
)


@settings(max_examples=60, deadline=None)
@given(spectra, st.floats(50.0, 3000.0), st.floats(-100.0, 100.0))
def test_identities_of_the_physical_sum(spectrum, temperature, shift):
    energies, degeneracies = spectrum
    result = configurational_free_energy(energies, temperature, atoms_per_cell=8, degeneracies=degeneracies)
    entropy = result.configurational_entropy_eV_per_K_per_cell
    assert result.probabilities.sum() == pytest.approx(1.0)
    assert result.free_energy_eV_per_cell == pytest.approx(
        result.internal_energy_eV_per_cell - temperature * entropy, abs=1e-10
    )
    assert -1e-12 <= entropy <= result.maximum_entropy_eV_per_K_per_cell + 1e-12
    assert 1.0 - 1e-9 <= result.effective_sample_size <= len(energies) + 1e-9
    moved = configurational_free_energy(
        energies + shift, temperature, atoms_per_cell=8, degeneracies=degeneracies
    )
    assert moved.free_energy_eV_per_cell - shift == pytest.approx(result.free_energy_eV_per_cell, abs=1e-9)
    # g equivalent orderings written out one by one are the same ensemble.
    listed = configurational_free_energy(
        np.repeat(energies, degeneracies.astype(int)), temperature, atoms_per_cell=8
    )
    assert listed.free_energy_eV_per_cell == pytest.approx(result.free_energy_eV_per_cell, abs=1e-10)
    assert listed.configurational_entropy_eV_per_K_per_cell == pytest.approx(entropy, abs=1e-12)


def test_energies_far_from_zero_do_not_underflow():
    result = configurational_free_energy([-1500.0, -1499.9], 10.0, atoms_per_cell=192)
    assert result.free_energy_eV_per_cell == pytest.approx(-1500.0)
    assert result.configurational_entropy_eV_per_K_per_cell == pytest.approx(0.0, abs=1e-12)


def test_entropy_splits_into_configurational_and_vibrational():
    temperature = 800.0
    energies, own = np.array([-1.0, -0.95, -0.9]), np.array([4e-3, 4.2e-3, 4.1e-3])
    free = energies - temperature * own
    result = configurational_free_energy(
        free, temperature, atoms_per_cell=8, degeneracies=[1, 2, 4], entropies_eV_per_K_per_cell=own
    )
    total = (result.internal_energy_eV_per_cell - result.free_energy_eV_per_cell) / temperature
    assert result.entropy_eV_per_K_per_cell == pytest.approx(total, rel=1e-12)
    assert result.internal_energy_eV_per_cell == pytest.approx(result.probabilities @ energies, rel=1e-12)


def test_entropy_is_the_derivative_of_the_free_energy():
    temperatures = np.linspace(200.0, 1600.0, 57)
    energies, degeneracies = np.array([0.0, 0.05, 0.2]), [1, 6, 12]
    results = [
        configurational_free_energy(energies, t, atoms_per_cell=1, degeneracies=degeneracies)
        for t in temperatures
    ]
    free = np.array([[r.free_energy_eV_per_cell for r in results]])
    derived = entropies_from_free_energies(temperatures, free)[0]
    np.testing.assert_allclose(
        derived[3:-3], [r.configurational_entropy_eV_per_K_per_cell for r in results[3:-3]], rtol=2e-4
    )
    with pytest.raises(FreeEnergyError, match="at least four"):
        entropies_from_free_energies([300, 1500], np.zeros((3, 2)))


def test_free_energies_without_entropies_leave_U_open():
    result = configurational_free_energy([-1.0, -0.9], 300.0, atoms_per_cell=2, energies_are_free=True)
    assert np.isnan(result.internal_energy_eV_per_cell)
    assert np.isfinite(result.free_energy_eV_per_cell)


def test_sample_is_rescaled_to_the_whole():
    rng = np.random.default_rng(11)
    energies = rng.normal(0.0, 0.02, 4000)
    whole = configurational_free_energy(energies, 600.0, atoms_per_cell=10)
    parts = [
        configurational_free_energy(rng.choice(energies, 400), 600.0, atoms_per_cell=10, total_weight=4000)
        for _ in range(50)
    ]
    mean = np.mean([part.free_energy_eV_per_cell for part in parts])
    assert mean == pytest.approx(whole.free_energy_eV_per_cell, abs=5e-4)
    unscaled = configurational_free_energy(energies[:400], 600.0, atoms_per_cell=10)
    rescaled = configurational_free_energy(energies[:400], 600.0, atoms_per_cell=10, total_weight=4000)
    shift = BOLTZMANN_eV_per_K * 600.0 * np.log(10)
    assert unscaled.free_energy_eV_per_cell - rescaled.free_energy_eV_per_cell == pytest.approx(shift)


def test_published_undersampling_is_the_logarithm_of_the_fraction():
    # 19,333 of 65,958: the published -0.2528 against -0.2848 eV is kT ln(65958/19333), 11.2 %.
    shift = BOLTZMANN_eV_per_K * 300.0 * np.log(65958 / 19333)
    assert 0.2528 + shift == pytest.approx(0.2848, abs=5e-4)


def test_phases_are_compared_per_atom():
    temperatures = [300.0, 1500.0]
    tetragonal = [configurational_free_energy([-8.0], t, atoms_per_cell=4) for t in temperatures]
    cubic = [
        configurational_free_energy([-15.92, -15.9], t, atoms_per_cell=8, degeneracies=[2, 30])
        for t in temperatures
    ]
    difference = compare_phases(tetragonal, cubic)
    assert difference[0] > 0 > difference[1]
    with pytest.raises(FreeEnergyError, match="same temperatures"):
        compare_phases(tetragonal, cubic[:1])
    published = configurational_free_energy([-8.0], 300.0, atoms_per_cell=4, convention="per_atom")
    with pytest.raises(FreeEnergyError, match="one convention"):
        compare_phases([published], cubic[:1])


@pytest.mark.parametrize(
    ("energies", "keywords", "message"),
    [
        ([], {}, "at least one"),
        ([0.0, np.nan], {}, "configuration 1 is not"),
        ([0.0], {"degeneracies": [0.0]}, "positive"),
        ([0.0], {"degeneracies": [1.0, 2.0]}, "belong together"),
        ([0.0], {"temperature_K": 0.0}, "above zero"),
        ([0.0], {"convention": "per_mole"}, "choose physical or per_atom"),
        ([0.0], {"atoms_per_cell": 0}, "at least 1"),
        ([0.0], {"total_weight": 0.5}, "less than"),
        ([0.0], {"entropies_eV_per_K_per_cell": [1.0, 2.0]}, "belong together"),
    ],
)
def test_bad_input_is_refused(energies, keywords, message):
    arguments = {"temperature_K": 300.0, "atoms_per_cell": 1, **keywords}
    with pytest.raises(FreeEnergyError, match=message):
        configurational_free_energy(energies, **arguments)
