"""Turning partial occupancies into an ordered cell of exactly the same stoichiometry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_neutral
from sse_screen.structures.electrostatics import ewald_matrix

if TYPE_CHECKING:
    from pymatgen.core import Structure

OrderingRule = Literal["ewald", "random"]

VACANCY = ""
_PENALTY_eV = 1e4
_LARGEST_EXHAUSTIVE_SEARCH = 5000
_STARTS = 8
_ANNEALING_SWEEPS = 300
_LARGEST_SUPERCELL = 16
# Published occupancies have three decimals.
_OCCUPANCY_PRECISION = 5e-4


@dataclass(frozen=True)
class _Group:
    """Sites that share one mixture, and what is to be put on them."""

    indices: NDArray[np.int64]
    contents: tuple[str, ...]


def order_structure(
    structure: Structure,
    rule: OrderingRule,
    *,
    seed: int = 0,
    given_oxidation_states: Mapping[str, int] | None = None,
    exclusion_distance_A: float = 2.0,
    name: str = "structure",
) -> Structure:
    """Return an ordered cell of a disordered crystal, of exactly the same stoichiometry.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal; sites with the same mixture of elements share their atoms. An ordered one is copied.
    rule : str
        In both no two partly occupied sites closer than `exclusion_distance_A` are filled together.
        ``ewald``: lowest electrostatic energy of the formal charges; the global minimum when there are at
        most 5000 arrangements, else the best of 8 seeded descents by exchanges of two sites.
        ``random``: a seeded random arrangement, its conflicts annealed away by exchanges.
    seed : int, optional
        Seed of the random starts.
    given_oxidation_states : mapping, optional
        States by symbol; found by neutrality otherwise.
    exclusion_distance_A : float, optional
        Closer sites are alternatives of one another, in ångström.
    name : str, optional
        How messages call the crystal.

    Returns
    -------
    pymatgen.core.Structure
        Ordered crystal, sites in the order of the input without the vacant ones, site properties kept.

    Raises
    ------
    InputError
        If the rule is not known, the cell is charged, no arrangement obeys the exclusion, or an occupancy
        gives no whole number of atoms; the message then names the smallest supercell that does.
    """
    if rule not in get_args(OrderingRule):
        raise InputError(
            f"{name}: ordering rule {rule!r} is not known; known: {', '.join(get_args(OrderingRule))}"
        )
    groups = _groups(structure, name)
    if not groups:
        return structure.copy()
    conflicts = _conflicts(structure, groups, exclusion_distance_A)
    if rule == "ewald":
        charge_of: dict[str, float] = {VACANCY: 0.0, **check_neutral(structure, given_oxidation_states, name)}
        charges = np.array([_mean_charge(site.species.get_el_amt_dict(), charge_of) for site in structure])
        matrix = ewald_matrix(structure.lattice.matrix, structure.frac_coords) + _PENALTY_eV * conflicts
        contents = _lowest(matrix, charges, groups, charge_of, conflicts, seed)
    else:
        contents = _without_conflicts(conflicts, groups, np.random.default_rng(seed))
    if _n_conflicts(conflicts, groups, contents) > 0:
        raise InputError(
            f"{name}: no arrangement found without two filled sites closer than {exclusion_distance_A} Å; "
            "reduce the exclusion distance, or correct the occupancies of the split sites"
        )
    return _filled(structure, _by_site(groups, contents))


def smallest_integral_multiple(structure: Structure, largest: int = _LARGEST_SUPERCELL) -> int | None:
    """Return the smallest number of cells in which all occupancies give whole numbers of atoms.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        A disordered crystal.
    largest : int, optional
        Largest number of cells that is tried.

    Returns
    -------
    int or None
        Number of cells; None when there is none up to `largest`.
    """
    mixtures = _mixtures(structure)
    for multiple in range(1, largest + 1):
        if all(
            _whole(occupancy, multiple * len(indices)) is not None
            for mixture, indices in mixtures.items()
            for _, occupancy in mixture
        ):
            return multiple
    return None


def _mixtures(structure: Structure) -> dict[tuple[tuple[str, float], ...], list[int]]:
    """Return the sites of every mixture (elements with occupancies), only of disordered sites."""
    mixtures: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, site in enumerate(structure):
        if not site.is_ordered:
            amounts = sorted(site.species.get_el_amt_dict().items())
            mixtures.setdefault(tuple((el, round(n, 6)) for el, n in amounts), []).append(index)
    return mixtures


def _whole(occupancy: float, n_sites: int) -> int | None:
    count = occupancy * n_sites
    return round(count) if abs(count - round(count)) <= _OCCUPANCY_PRECISION * n_sites + 1e-9 else None


def _groups(structure: Structure, name: str) -> list[_Group]:
    groups = []
    for mixture, indices in _mixtures(structure).items():
        contents: list[str] = []
        for element, occupancy in mixture:
            count = _whole(occupancy, len(indices))
            if count is None:
                raise InputError(_not_integral(structure, element, occupancy, len(indices), name))
            contents += [element] * count
        if len(contents) > len(indices):
            raise InputError(f"{name}: {len(contents)} atoms for {len(indices)} sites of {dict(mixture)}")
        contents += [VACANCY] * (len(indices) - len(contents))
        groups.append(_Group(np.array(indices), tuple(contents)))
    return groups


def _not_integral(structure: Structure, element: str, occupancy: float, n_sites: int, name: str) -> str:
    count = occupancy * n_sites
    low, high = math.floor(count), math.ceil(count)
    multiple = smallest_integral_multiple(structure)
    cells = f"a supercell of {multiple} cells makes all whole, or " if multiple is not None else ""
    choice = f"{low / n_sites:.4f} ({low} atoms) or {high / n_sites:.4f} ({high})"
    return (
        f"{name}: {element} with occupancy {occupancy:g} on {n_sites} sites gives {count:.3f} atoms, not a "
        f"whole number; {cells}set the occupancy to {choice}"
    )


def _mean_charge(amounts: Mapping[str, float], charge_of: Mapping[str, float]) -> float:
    return sum(charge_of[el] * n for el, n in amounts.items())


def _conflicts(structure: Structure, groups: list[_Group], exclusion_A: float) -> NDArray[np.float64]:
    """Return 1 for pairs of disordered sites that are closer than the exclusion distance, 0 elsewhere."""
    disordered = np.zeros(len(structure), dtype=bool)
    disordered[np.concatenate([group.indices for group in groups])] = True
    close = (structure.distance_matrix < exclusion_A) & disordered[:, None] & disordered[None, :]
    np.fill_diagonal(close, False)
    return close.astype(float)


def _lowest(
    matrix: NDArray[np.float64],
    charges: NDArray[np.float64],
    groups: list[_Group],
    charge_of: Mapping[str, float],
    conflicts: NDArray[np.float64],
    seed: int,
) -> list[NDArray[np.str_]]:
    """Return the contents of the groups with the lowest energy that is found."""
    rng = np.random.default_rng(seed)
    if math.prod(_n_arrangements(group.contents) for group in groups) <= _LARGEST_EXHAUSTIVE_SEARCH:
        candidates = _all_arrangements(groups)
    else:
        candidates = [
            _descend(matrix, charges, groups, _without_conflicts(conflicts, groups, rng), charge_of)
            for _ in range(_STARTS)
        ]
    return min(candidates, key=lambda c: _energy(matrix, charges, groups, c, charge_of))


def _n_conflicts(
    conflicts: NDArray[np.float64], groups: list[_Group], contents: list[NDArray[np.str_]]
) -> int:
    filled = np.zeros(len(conflicts))
    for group, array in zip(groups, contents, strict=True):
        filled[group.indices] = array != VACANCY
    return round(0.5 * float(filled @ conflicts @ filled))


def _without_conflicts(
    conflicts: NDArray[np.float64], groups: list[_Group], rng: np.random.Generator
) -> list[NDArray[np.str_]]:
    """Return a random arrangement whose conflicts are annealed away; the last one tried if none is free."""
    for _ in range(_STARTS):
        contents, left = _annealed(conflicts, groups, rng)
        if left == 0:
            break
    return contents


def _annealed(
    conflicts: NDArray[np.float64], groups: list[_Group], rng: np.random.Generator
) -> tuple[list[NDArray[np.str_]], int]:
    """Anneal the conflicts of a random arrangement by Metropolis exchanges; return also what is left."""
    contents = [rng.permutation(np.array(group.contents)) for group in groups]
    left = _n_conflicts(conflicts, groups, contents)
    filled = np.zeros(len(conflicts))
    for group, array in zip(groups, contents, strict=True):
        filled[group.indices] = array != VACANCY
    pressure = conflicts @ filled
    sizes = np.array([len(group.indices) for group in groups])
    steps = _ANNEALING_SWEEPS * int(sizes.sum())
    for temperature in np.geomspace(1.0, 0.1, steps):
        if left == 0:
            break
        number = int(rng.choice(len(groups), p=sizes / sizes.sum()))
        array, indices = contents[number], groups[number].indices
        a, b = rng.integers(len(array), size=2)
        i, j = indices[a], indices[b]
        delta = filled[j] - filled[i]
        if delta == 0:
            continue
        change = delta * (pressure[i] - pressure[j]) - conflicts[i, j]
        if change <= 0 or rng.random() < math.exp(-change / temperature):
            array[[a, b]] = array[[b, a]]
            filled[[i, j]] = filled[[j, i]]
            pressure += delta * (conflicts[i] - conflicts[j])
            left += round(change)
    return contents, left


def _n_arrangements(contents: tuple[str, ...]) -> int:
    repeats = math.prod(math.factorial(contents.count(item)) for item in set(contents))
    return math.factorial(len(contents)) // repeats


def _all_arrangements(groups: list[_Group]) -> list[list[NDArray[np.str_]]]:
    per_group = [
        [np.array(arrangement) for arrangement in _distinct_permutations(group.contents)] for group in groups
    ]
    return [list(choice) for choice in itertools.product(*per_group)]


def _distinct_permutations(contents: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not contents:
        return [()]
    result = []
    for item in sorted(set(contents), reverse=True):
        rest = list(contents)
        rest.remove(item)
        result += [(item, *tail) for tail in _distinct_permutations(tuple(rest))]
    return result


def _assigned(
    charges: NDArray[np.float64],
    groups: list[_Group],
    contents: list[NDArray[np.str_]],
    charge_of: Mapping[str, float],
) -> NDArray[np.float64]:
    result = charges.copy()
    for group, array in zip(groups, contents, strict=True):
        result[group.indices] = [charge_of[str(item)] for item in array]
    return result


def _energy(
    matrix: NDArray[np.float64],
    charges: NDArray[np.float64],
    groups: list[_Group],
    contents: list[NDArray[np.str_]],
    charge_of: Mapping[str, float],
) -> float:
    values = _assigned(charges, groups, contents, charge_of)
    # Rounded, so that equivalent arrangements are equal and the first of them is taken on every machine.
    return round(0.5 * float(values @ matrix @ values), 6)


def _descend(
    matrix: NDArray[np.float64],
    charges: NDArray[np.float64],
    groups: list[_Group],
    start: list[NDArray[np.str_]],
    charge_of: Mapping[str, float],
) -> list[NDArray[np.str_]]:
    """Exchange the two sites of a group that lower the energy most, until none does."""
    contents = [array.copy() for array in start]
    values = _assigned(charges, groups, contents, charge_of)
    while True:
        best, chosen = -1e-6, None
        potential = matrix @ values
        for number, group in enumerate(groups):
            change = _exchange_energies(matrix, potential, values, group.indices)
            position = np.unravel_index(int(np.argmin(change)), change.shape)
            if change[position] < best:
                best, chosen = float(change[position]), (number, int(position[0]), int(position[1]))
        if chosen is None:
            return contents
        number, i, j = chosen
        array, indices = contents[number], groups[number].indices
        array[[i, j]] = array[[j, i]]
        values[indices[[i, j]]] = values[indices[[j, i]]]


def _exchange_energies(
    matrix: NDArray[np.float64],
    potential: NDArray[np.float64],
    values: NDArray[np.float64],
    indices: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the energy change of exchanging the contents of any two sites, shape (n, n)."""
    block = matrix[np.ix_(indices, indices)]
    diagonal = np.diag(block)
    delta = values[indices][None, :] - values[indices][:, None]
    field = potential[indices][:, None] - potential[indices][None, :]
    return delta * field + 0.5 * delta**2 * (diagonal[:, None] + diagonal[None, :] - 2 * block)


def _by_site(groups: list[_Group], contents: list[NDArray[np.str_]]) -> dict[int, str]:
    return {
        int(index): str(item)
        for group, array in zip(groups, contents, strict=True)
        for index, item in zip(group.indices, array, strict=True)
    }


def _filled(structure: Structure, contents: dict[int, str]) -> Structure:
    from pymatgen.core import PeriodicSite, Structure

    sites = []
    for index, site in enumerate(structure):
        element = contents.get(index, site.species.elements[0].symbol if index not in contents else VACANCY)
        if element != VACANCY:
            sites.append(
                PeriodicSite(element, site.frac_coords, structure.lattice, properties=site.properties)
            )
    return Structure.from_sites(sites)
