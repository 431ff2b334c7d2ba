"""Configurational Monte Carlo: exchanges of species between the sites of a supercell at a temperature.

Metropolis sampling (Metropolis et al., J. Chem. Phys. 21, 1087 (1953)) of the canonical ensemble. A move
picks a site of a pool and another of the same pool with other contents; it is as probable as its reverse. A
run can be stopped anywhere: its state holds the contents, the energy and the state of the random numbers, and
going on from it gives the same numbers as never having stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann, elementary_charge

from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.lattice_energy import Contents, LatticeEnergy, PairEnergy

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sse_screen.structures.orderings import OrderingSpace

BOLTZMANN_eV_PER_K = Boltzmann / elementary_charge


@dataclass(frozen=True)
class SwapLattice:
    """Sites whose contents may be exchanged.

    Attributes
    ----------
    species : tuple of str or None
        What the species numbers mean; None is an empty site.
    pools : tuple of ndarray of int
        Sites among which species are exchanged; exchanges never cross pools.
    forbidden : ndarray of bool, shape (n_sites, n_sites), or None
        Pairs of sites that must not both be filled; such moves are rejected.
    """

    species: tuple[str | None, ...]
    pools: tuple[NDArray[np.int64], ...]
    forbidden: NDArray[np.bool_] | None = None

    @classmethod
    def of_space(cls, space: OrderingSpace) -> SwapLattice:
        """Make the lattice of a space of orderings; its exclusion radius becomes the forbidden pairs.

        Parameters
        ----------
        space : OrderingSpace
            The orderings of a (super)cell.

        Returns
        -------
        SwapLattice
            Over all sites of the disordered crystal.
        """
        pools = tuple(np.array(pool.sites) for pool in space.pools)
        if space.exclusion_radius_A <= 0:
            return cls((None, *sorted(space.counts)), pools)
        n_sites = len(space.structure)
        forbidden = np.zeros((n_sites, n_sites), dtype=bool)
        sites = np.array([s for pool in space.pools if pool.n_vacancies for s in pool.sites], dtype=np.int64)
        positions = space.structure.frac_coords[sites]
        distances = space.structure.lattice.get_all_distances(positions, positions)
        close = (distances < space.exclusion_radius_A) & ~np.eye(len(sites), dtype=bool)
        forbidden[np.ix_(sites, sites)] = close
        return cls((None, *sorted(space.counts)), pools, forbidden)

    def contents(self, structure: Structure, sites: dict[str, tuple[int, ...]]) -> Contents:
        """Translate an ordering into species numbers.

        Parameters
        ----------
        structure : pymatgen.core.Structure
            The disordered crystal.
        sites : dict of str to tuple of int
            Species to the disordered sites it takes, as in an ``Ordering``.

        Returns
        -------
        ndarray of int16, shape (n_sites,)
            Species number of every site of the crystal.
        """
        numbers = {name: number for number, name in enumerate(self.species)}
        found = np.array(
            [numbers[str(site.specie)] if site.is_ordered else 0 for site in structure], dtype=np.int16
        )
        for name, indices in sites.items():
            found[list(indices)] = numbers[name]
        return found

    def sites(self, contents: Contents) -> dict[str, tuple[int, ...]]:
        """Translate species numbers into an ordering.

        Parameters
        ----------
        contents : ndarray of int, shape (n_sites,)
            Species number of every site.

        Returns
        -------
        dict of str to tuple of int
            Species to the sites of the pools that it takes.
        """
        mobile = np.sort(np.concatenate(self.pools))
        found: dict[str, tuple[int, ...]] = {}
        for number, name in enumerate(self.species):
            taken = mobile[contents[mobile] == number]
            if name is not None and len(taken):
                found[name] = tuple(taken.tolist())
        return found


@dataclass(frozen=True)
class MonteCarloState:
    """Where a run stands; enough to go on as if it had never stopped.

    Attributes
    ----------
    contents : ndarray of int16, shape (n_sites,)
        Species number of every site.
    energy_eV : float
        Energy of the cell in eV, summed up from the accepted moves.
    n_moves, n_accepted : int
        Moves tried and accepted so far.
    random_state : dict
        State of the random number generator (PCG64).
    """

    contents: Contents
    energy_eV: float
    n_moves: int
    n_accepted: int
    random_state: dict[str, Any]

    @classmethod
    def start(cls, contents: Contents, energy: LatticeEnergy, seed: int) -> MonteCarloState:
        """Begin a run.

        Parameters
        ----------
        contents : ndarray of int, shape (n_sites,)
            Species number of every site.
        energy : LatticeEnergy
            The energy.
        seed : int
            Seed of the random numbers.

        Returns
        -------
        MonteCarloState
            Before the first move.
        """
        state: dict[str, Any] = dict(np.random.PCG64(seed).state)
        own = np.array(contents, dtype=np.int16)
        return cls(own, energy.total(own), 0, 0, state)

    def to_json(self) -> str:
        """Write the state as JSON.

        Returns
        -------
        str
            One object; read back by :meth:`from_json` without any loss.
        """
        return json.dumps({**self.__dict__, "contents": self.contents.tolist()})

    @classmethod
    def from_json(cls, text: str) -> MonteCarloState:
        """Read a state.

        Parameters
        ----------
        text : str
            What :meth:`to_json` wrote.

        Returns
        -------
        MonteCarloState
            The same state.

        Raises
        ------
        InputError
            If the text is no such state.
        """
        try:
            fields = json.loads(text)
            fields["contents"] = np.array(fields["contents"], dtype=np.int16)
            state = cls(**fields)
            np.random.PCG64().state = cast(Any, state.random_state)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"not a state of a Monte Carlo run: {error}") from error
        return state


@dataclass(frozen=True)
class MonteCarloRun:
    """A stretch of moves at one temperature.

    Attributes
    ----------
    temperature_K : float
        The temperature; infinity accepts every move.
    energies_eV : ndarray of float, shape (n_records,)
        Energy of the cell after every ``record_every`` moves.
    final : MonteCarloState
        Where it ended.
    acceptance : float
        Share of the moves of this stretch that were accepted.
    """

    temperature_K: float
    energies_eV: NDArray[np.float64]
    final: MonteCarloState
    acceptance: float


def run_monte_carlo(
    lattice: SwapLattice,
    energy: LatticeEnergy,
    state: MonteCarloState,
    *,
    temperature_K: float,
    n_moves: int,
    record_every: int = 1,
) -> MonteCarloRun:
    """Exchange species at a temperature.

    Parameters
    ----------
    lattice : SwapLattice
        What may be exchanged.
    energy : LatticeEnergy
        Energy of the contents.
    state : MonteCarloState
        Where to go on.
    temperature_K : float
        Temperature in kelvin; ``numpy.inf`` for all contents equally probable.
    n_moves : int
        Number of moves to try; a multiple of ``record_every``.
    record_every : int
        Moves between two recorded energies.

    Returns
    -------
    MonteCarloRun
        The recorded energies and the state at the end.

    Raises
    ------
    InputError
        If the numbers make no sense, or no exchange is possible.
    """
    if not temperature_K > 0:
        raise InputError(f"temperature {temperature_K} K: give one above zero")
    if n_moves < 1 or record_every < 1 or n_moves % record_every:
        raise InputError(f"{n_moves} moves, recorded every {record_every}: give a positive multiple")
    bit_generator = np.random.PCG64()
    bit_generator.state = cast(Any, state.random_state)
    rng = np.random.Generator(bit_generator)
    beta = 1.0 / (BOLTZMANN_eV_PER_K * temperature_K)
    contents = state.contents.copy()
    mixed = [pool for pool in lattice.pools if len(np.unique(contents[pool])) > 1]
    if not mixed:
        raise InputError("no exchange is possible: every pool of sites holds one species only")
    shares = np.cumsum([len(pool) for pool in mixed]) / sum(len(pool) for pool in mixed)
    current, accepted = state.energy_eV, 0
    energies = np.empty(n_moves // record_every)
    for move in range(n_moves):
        i, j = _propose(mixed, shares, contents, rng)
        threshold = rng.random()
        if not _is_forbidden(lattice, contents, i, j):
            change = energy.change(contents, i, j)
            if change <= 0 or threshold < np.exp(-beta * change):
                contents[i], contents[j] = contents[j], contents[i]
                current += change
                accepted += 1
        if (move + 1) % record_every == 0:
            energies[move // record_every] = current
    final = MonteCarloState(
        contents, current, state.n_moves + n_moves, state.n_accepted + accepted, dict(bit_generator.state)
    )
    return MonteCarloRun(temperature_K, energies, final, accepted / n_moves)


def _propose(
    pools: list[NDArray[np.int64]], shares: NDArray[np.float64], contents: Contents, rng: np.random.Generator
) -> tuple[int, int]:
    pool = pools[int(np.searchsorted(shares, rng.random(), side="right"))]
    i = int(pool[rng.integers(len(pool))])
    others = pool[contents[pool] != contents[i]]
    return i, int(others[rng.integers(len(others))])


def _is_forbidden(lattice: SwapLattice, contents: Contents, i: int, j: int) -> bool:
    """Whether the ion that moves to an empty site comes too close to another."""
    if lattice.forbidden is None:
        return False
    numbers = (contents[i], contents[j])
    if 0 not in numbers or lattice.species[0] is not None:
        return False
    source, target = (j, i) if numbers[0] == 0 else (i, j)
    near = lattice.forbidden[target] & (contents != 0)
    near[source] = False
    return bool(near.any())


def ewald_lattice_energy(space: OrderingSpace, lattice: SwapLattice) -> PairEnergy:
    """Make the electrostatic energy of formal charges on the sites of a crystal.

    Parameters
    ----------
    space : OrderingSpace
        The orderings of a (super)cell.
    lattice : SwapLattice
        Their lattice.

    Returns
    -------
    PairEnergy
        Ewald energy in eV.
    """
    from sse_screen.structures.orderings import EwaldEnergy

    ewald = EwaldEnergy.of_space(space)
    charges = [0.0 if name is None else ewald.oxidation_states[name] for name in lattice.species]
    return PairEnergy(ewald.pair_energies, charges)


def scan_temperatures(
    lattice: SwapLattice,
    energy: LatticeEnergy,
    state: MonteCarloState,
    temperatures_K: Sequence[float],
    *,
    n_equilibration: int,
    n_moves: int,
    record_every: int = 1,
) -> list[MonteCarloRun]:
    """Run at one temperature after the other, each from where the last one ended.

    Parameters
    ----------
    lattice, energy, state, n_moves, record_every
        As for :func:`run_monte_carlo`.
    temperatures_K : sequence of float
        Temperatures in the order they are visited; falling ones anneal.
    n_equilibration : int
        Moves at every temperature that are not recorded.

    Returns
    -------
    list of MonteCarloRun
        One a temperature.
    """
    runs = []
    for temperature_K in temperatures_K:
        if n_equilibration:
            warm = run_monte_carlo(
                lattice,
                energy,
                state,
                temperature_K=temperature_K,
                n_moves=n_equilibration,
                record_every=n_equilibration,
            )
            state = warm.final
        run = run_monte_carlo(
            lattice, energy, state, temperature_K=temperature_K, n_moves=n_moves, record_every=record_every
        )
        runs.append(run)
        state = without_drift(run.final, energy)
    return runs


def without_drift(state: MonteCarloState, energy: LatticeEnergy) -> MonteCarloState:
    """Replace the energy summed up from moves by the energy of the contents.

    Parameters
    ----------
    state : MonteCarloState
        After any number of moves.
    energy : LatticeEnergy
        The energy.

    Returns
    -------
    MonteCarloState
        The same with the rounding errors of the sum removed.
    """
    return replace(state, energy_eV=energy.total(state.contents))
