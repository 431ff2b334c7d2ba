"""Exchange moves: the right distribution, the same numbers after a restart, and what is refused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings import OrderingSpace, enumerate_orderings
from sse_screen.structures.orderings.sublattices import find_sublattices
from sse_screen.structures.prototypes import build_prototype
from sse_screen.thermodynamics.lattice_energy import FunctionEnergy, PairEnergy, calculator_energy
from sse_screen.thermodynamics.monte_carlo import (
    BOLTZMANN_eV_PER_K,
    MonteCarloState,
    SwapLattice,
    ewald_lattice_energy,
    run_monte_carlo,
    scan_temperatures,
    without_drift,
)
from sse_screen.thermodynamics.thermodynamic_integration import integrate_scan, standard_error_of_mean

COUPLING_eV = 0.05


def square_lattice(width: int, height: int) -> NDArray[np.float64]:
    """Couplings of a periodic square lattice gas, nearest neighbours attract."""
    n = width * height
    couplings = np.zeros((n, n))
    for x in range(width):
        for y in range(height):
            for dx, dy in ((1, 0), (0, 1)):
                i, j = x * height + y, (x + dx) % width * height + (y + dy) % height
                couplings[i, j] -= COUPLING_eV
                couplings[j, i] -= COUPLING_eV
    return couplings


def exact_levels(energy: PairEnergy, n_sites: int, n_ions: int) -> NDArray[np.float64]:
    """Energies of all configurations."""
    levels = []
    for chosen in combinations(range(n_sites), n_ions):
        contents = np.zeros(n_sites, dtype=np.int16)
        contents[list(chosen)] = 1
        levels.append(energy.total(contents))
    return np.array(levels)


@pytest.fixture(scope="module")
def gas() -> tuple[SwapLattice, PairEnergy, MonteCarloState]:
    lattice = SwapLattice((None, "Li"), (np.arange(16),))
    energy = PairEnergy(square_lattice(4, 4), [0.0, 1.0])
    contents = np.zeros(16, dtype=np.int16)
    contents[:8] = 1
    return lattice, energy, MonteCarloState.start(contents, energy, seed=1)


def test_the_change_of_an_exchange_is_the_difference_of_totals() -> None:
    rng = np.random.default_rng(3)
    pairs = rng.normal(size=(10, 10))
    energy = PairEnergy(pairs + pairs.T, [0.0, 1.0, -2.0])
    slow = FunctionEnergy(energy.total)
    contents = rng.integers(0, 3, size=10).astype(np.int16)
    for i, j in combinations(range(10), 2):
        swapped = contents.copy()
        swapped[i], swapped[j] = contents[j], contents[i]
        expected = energy.total(swapped) - energy.total(contents)
        assert energy.change(contents, i, j) == pytest.approx(expected, abs=1e-12)
        assert slow.change(contents, i, j) == pytest.approx(expected, abs=1e-12)


def test_a_function_is_called_once_per_trial() -> None:
    calls = []

    def function(contents: NDArray[np.int16]) -> float:
        calls.append(1)
        return float(contents[0])

    lattice = SwapLattice((None, "Li"), (np.arange(6),))
    energy = FunctionEnergy(function)
    state = MonteCarloState.start(np.array([1, 1, 0, 0, 0, 0]), energy, seed=0)
    run_monte_carlo(lattice, energy, state, temperature_K=1e4, n_moves=200)
    assert len(calls) <= 201


def test_configurations_are_visited_with_boltzmann_probabilities() -> None:
    """Six sites in a ring, three ions: every one of the 20 configurations as often as it should be."""
    ring = -COUPLING_eV * (np.eye(6, k=1) + np.eye(6, k=5))
    energy = PairEnergy(ring + ring.T, [0.0, 1.0])
    lattice = SwapLattice((None, "Li"), (np.arange(6),))
    visits: dict[bytes, int] = {}
    state = MonteCarloState.start(np.array([1, 0, 1, 0, 1, 0]), energy, seed=5)
    for _ in range(8000):
        state = run_monte_carlo(lattice, energy, state, temperature_K=600, n_moves=6, record_every=6).final
        key = state.contents.tobytes()
        visits[key] = visits.get(key, 0) + 1
    levels = {key: energy.total(np.frombuffer(key, dtype=np.int16)) for key in visits}
    assert len(levels) == 20
    weights = np.exp(-np.array(list(levels.values())) / (BOLTZMANN_eV_PER_K * 600))
    expected = weights / weights.sum() * 8000
    # neighbouring records are weakly correlated, hence the generous bound
    assert chisquare(list(visits.values()), expected).pvalue > 1e-6


def test_entropy_by_thermodynamic_integration_is_the_exact_one(
    gas: tuple[SwapLattice, PairEnergy, MonteCarloState],
) -> None:
    """Half-filled 4 x 4 lattice gas: 12,870 configurations enumerated against Monte Carlo."""
    lattice, energy, state = gas
    levels = exact_levels(energy, 16, 8)
    assert len(levels) == 12_870
    temperatures = [np.inf, 4000, 2000, 1200, 800, 600, 450]
    runs = scan_temperatures(
        lattice, energy, state, temperatures, n_equilibration=1000, n_moves=12_000, record_every=4
    )
    integral = integrate_scan(runs, len(levels))
    for number, temperature in enumerate(temperatures):
        beta = 1 / (BOLTZMANN_eV_PER_K * temperature)
        weights = np.exp(-beta * (levels - levels.min()))
        mean = float((weights * levels).sum() / weights.sum())
        ln_z = float(np.log(weights.sum()) - beta * levels.min())
        error = standard_error_of_mean(runs[number].energies_eV)
        assert abs(integral.energies_eV[number] - mean) < 4 * error
        assert abs(integral.entropies_k[number] - (ln_z + beta * mean)) < max(
            4 * integral.entropy_errors_k[number], 1e-9
        )
    assert integral.entropy_errors_k.max() < 0.1
    assert integral.entropies_k[0] == pytest.approx(np.log(12_870), rel=1e-12)


def test_the_quadrature_is_of_fourth_order(gas: tuple[SwapLattice, PairEnergy, MonteCarloState]) -> None:
    """With exact energies in the place of sampled ones only the quadrature is left."""
    lattice, energy, state = gas
    levels = exact_levels(energy, 16, 8)
    errors = []
    for n_steps in (8, 16):
        runs = []
        for beta in np.linspace(0, 12, n_steps + 1):
            temperature = np.inf if beta == 0 else 1 / (BOLTZMANN_eV_PER_K * beta)
            weights = np.exp(-beta * (levels - levels.min()))
            mean = (weights * levels).sum() / weights.sum()
            spread = np.sqrt((weights * (levels - mean) ** 2).sum() / weights.sum())
            run = run_monte_carlo(lattice, energy, state, temperature_K=1000, n_moves=1)
            two_points = np.array([mean - spread, mean + spread])
            runs.append(type(run)(temperature, two_points, run.final, 1.0))
        exact = np.log(weights.sum()) - 12 * levels.min()
        errors.append(abs(integrate_scan(runs, 12_870).ln_z[-1] - exact))
    assert errors[1] < errors[0] / 12
    assert errors[1] < 1e-3


def test_a_run_goes_on_as_if_it_had_never_stopped(
    gas: tuple[SwapLattice, PairEnergy, MonteCarloState],
) -> None:
    lattice, energy, state = gas
    whole = run_monte_carlo(lattice, energy, state, temperature_K=700, n_moves=400)
    first = run_monte_carlo(lattice, energy, state, temperature_K=700, n_moves=150)
    stored = MonteCarloState.from_json(first.final.to_json())
    second = run_monte_carlo(lattice, energy, stored, temperature_K=700, n_moves=250)
    joined = np.concatenate([first.energies_eV, second.energies_eV])
    assert (joined == whole.energies_eV).all()
    assert (second.final.contents == whole.final.contents).all()
    assert second.final.to_json() == whole.final.to_json()
    assert without_drift(whole.final, energy).energy_eV == pytest.approx(whole.final.energy_eV, abs=1e-9)


def test_ewald_annealing_finds_the_lowest_ordering_of_argyrodite() -> None:
    """Against the enumeration of all orderings of the same cell."""
    crystal = build_prototype("li6ps5cl-disordered")
    occupancy = {"4a+4d": {"S": 4, "Cl": 4}}
    space = OrderingSpace(crystal, occupancy)
    orderings = list(enumerate_orderings(crystal, occupancy))
    lattice = SwapLattice.of_space(space)
    energy = ewald_lattice_energy(space, lattice)
    state = MonteCarloState.start(lattice.contents(crystal, orderings[0].sites), energy, seed=2)
    exact = [energy.total(lattice.contents(crystal, ordering.sites)) for ordering in orderings]
    runs = scan_temperatures(lattice, energy, state, [1e5, 2e4, 5e3, 500], n_equilibration=0, n_moves=200)
    assert runs[-1].energies_eV.min() == pytest.approx(min(exact), abs=1e-6)
    final = lattice.sites(runs[-1].final.contents)
    assert {name: len(sites) for name, sites in final.items()} == {"S": 4, "Cl": 4}


def test_exclusion_holds_all_the_time() -> None:
    from pymatgen.core import Lattice, Structure

    chain = Structure(
        Lattice.orthorhombic(8.0, 5.0, 5.0),
        [{"Li": 0.25}] * 8 + ["Cl"] * 2,
        [[i / 8, 0, 0] for i in range(8)] + [[0.0, 0.5, 0.5], [0.5, 0.5, 0.5]],
    )
    every = "+".join(sublattice.label for sublattice in find_sublattices(chain))
    space = OrderingSpace(chain, {every: 2}, 1.5)
    assert space.count().labelled == 20
    lattice = SwapLattice.of_space(space)
    energy = ewald_lattice_energy(space, lattice)
    state = MonteCarloState.start(lattice.contents(chain, next(space.enumerate()).sites), energy, seed=4)
    seen = set()
    for _ in range(300):
        state = run_monte_carlo(lattice, energy, state, temperature_K=1e9, n_moves=3).final
        seen.add(lattice.sites(state.contents)["Li"])
    assert len(seen) == 20
    assert all(min((b - a) % 8, (a - b) % 8) >= 2 for a, b in seen)


def test_a_calculator_as_energy() -> None:
    """A pair potential through ASE gives what the same pairs give through the matrix."""
    from ase.calculators.lj import LennardJones
    from pymatgen.core import Lattice, Structure

    cell = Structure(Lattice.cubic(8.0), ["Ar"] * 4, [[0, 0, 0], [0.45, 0, 0], [0, 0.45, 0], [0.45, 0.45, 0]])
    energy = calculator_energy(cell, [None, "Ar"], LennardJones(sigma=3.0, epsilon=0.01, rc=3.9))
    side, apart = np.array([1, 1, 0, 0], dtype=np.int16), np.array([1, 0, 0, 1], dtype=np.int16)
    assert energy.total(side) < energy.total(apart)
    assert energy.change(side, 1, 3) == pytest.approx(energy.total(apart) - energy.total(side))
    lattice = SwapLattice((None, "Ar"), (np.arange(4),))
    state = MonteCarloState.start(apart, energy, seed=0)
    run = run_monte_carlo(lattice, energy, state, temperature_K=1.0, n_moves=60)
    assert run.energies_eV[-1] == pytest.approx(energy.total(side), abs=1e-9)


def test_error_of_the_mean_of_correlated_values() -> None:
    """An autoregressive series has a known correlation time: (1 + rho) / (1 - rho)."""
    rng = np.random.default_rng(8)
    rho, n = 0.8, 2**15
    noise = rng.normal(size=n)
    series = np.empty(n)
    series[0] = noise[0]
    for step in range(1, n):
        series[step] = rho * series[step - 1] + noise[step]
    exact = 1 / (1 - rho) / np.sqrt(n)
    assert standard_error_of_mean(series) == pytest.approx(exact, rel=0.35)
    assert standard_error_of_mean(series[:1]) == np.inf


def test_nonsense_is_refused(gas: tuple[SwapLattice, PairEnergy, MonteCarloState]) -> None:
    lattice, energy, state = gas
    with pytest.raises(InputError, match="above zero"):
        run_monte_carlo(lattice, energy, state, temperature_K=0, n_moves=1)
    with pytest.raises(InputError, match="positive multiple"):
        run_monte_carlo(lattice, energy, state, temperature_K=300, n_moves=5, record_every=2)
    empty = MonteCarloState.start(np.zeros(16, dtype=np.int16), energy, seed=0)
    with pytest.raises(InputError, match="one species only"):
        run_monte_carlo(lattice, energy, empty, temperature_K=300, n_moves=1)
    with pytest.raises(InputError, match="not a state"):
        MonteCarloState.from_json('{"contents": [1]}')
    run = run_monte_carlo(lattice, energy, state, temperature_K=300, n_moves=4)
    with pytest.raises(InputError, match="the first infinite"):
        integrate_scan([run, run], 10)
