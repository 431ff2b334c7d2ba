"""Which basin the ions of a relaxed ordering are in: putting them back on sites.

A relaxation may carry an ion over to another site. The ordering it ends in is then another one than it began
with, and counting both would count one basin twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.space import Ordering, OrderingSpace

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class SiteMapping:
    """Where the ions of a relaxed ordering are.

    Attributes
    ----------
    id : str or None
        Content id of the ordering it is now; None if that is outside the space (other numbers of ions on the
        sublattices, or two ions closer than the exclusion radius).
    degeneracy : int or None
        Its degeneracy.
    sites : dict of str to tuple of int
        Species to the sites it takes now.
    moves : tuple of (str, int, int)
        Species, old site and new site of every ion that changed.
    largest_distance_A : float
        Largest distance of an ion from its site, the drift of the framework removed.
    contested : bool
        Whether two ions had the same nearest site, so that one was given another: the assignment is doubtful.
    """

    id: str | None
    degeneracy: int | None
    sites: dict[str, tuple[int, ...]]
    moves: tuple[tuple[str, int, int], ...]
    largest_distance_A: float
    contested: bool


def map_to_sites(space: OrderingSpace, ordering: Ordering, relaxed: Structure) -> SiteMapping:
    """Assign the ions of a relaxed ordering to the sites of the disordered crystal.

    Ions go to the sites of sublattices that can hold their species, so that the sum of the squared distances
    is smallest. Distances are in the relaxed cell, after the mean displacement of the ions without a choice
    of sites has been taken off.

    Parameters
    ----------
    space : OrderingSpace
        The orderings.
    ordering : Ordering
        What was relaxed.
    relaxed : pymatgen.core.Structure
        The relaxed cell, in the order of sites of ``ordering.structure``.

    Returns
    -------
    SiteMapping
        The ordering it is now.

    Raises
    ------
    InputError
        If the relaxed cell has other atoms than the ordering.
    """
    from scipy.optimize import linear_sum_assignment

    start = ordering.structure
    if [s.specie.symbol for s in start] != [s.specie.symbol for s in relaxed]:
        raise InputError(f"ordering {ordering.id}: the relaxed cell has other atoms, or in another order")
    parents = np.array(start.site_properties["parent_site"])
    shifts = relaxed.frac_coords - start.frac_coords
    shifts -= np.round(shifts)
    fixed = np.array([space.structure[index].is_ordered for index in parents])
    drift = shifts[fixed].mean(axis=0) if fixed.any() else shifts.mean(axis=0)
    positions = start.frac_coords + shifts - drift
    place = {int(parent): number for number, parent in enumerate(parents)}
    found: dict[str, tuple[int, ...]] = {}
    moves: list[tuple[str, int, int]] = []
    largest, contested = 0.0, False
    for species, old in ordering.sites.items():
        candidates = np.array([s for pool in space.pools if species in pool.counts for s in pool.sites])
        ions = positions[[place[site] for site in old]]
        distances = relaxed.lattice.get_all_distances(ions, space.structure.frac_coords[candidates])
        rows, columns = linear_sum_assignment(distances**2)
        contested |= bool((distances.argmin(axis=1)[rows] != columns).any())
        largest = max(largest, float(distances[rows, columns].max()))
        new = candidates[columns]
        moves += [(species, a, int(b)) for a, b in zip(old, new, strict=True) if a != b]
        found[species] = tuple(sorted(int(site) for site in new))
    identity, degeneracy = identify(space, found)
    return SiteMapping(identity, degeneracy, found, tuple(moves), largest, contested)


def identify(space: OrderingSpace, sites: Mapping[str, tuple[int, ...]]) -> tuple[str | None, int | None]:
    """Find the content id of an ordering given by its sites.

    Parameters
    ----------
    space : OrderingSpace
        The orderings.
    sites : mapping of str to tuple of int
        Species to the sites it takes.

    Returns
    -------
    id : str or None
        Content id, the same for symmetry-equivalent sites; None if the ordering is not in the space.
    degeneracy : int or None
        Number of labelled orderings that are equivalent.
    """
    row: NDArray[np.bool_] = np.array(
        [
            int(site) in sites.get(str(species), ())
            for site, species in zip(space.vertex_sites, space.vertex_species, strict=True)
        ],
        dtype=bool,
    )
    problem = space.problem
    numbers = np.bincount(problem.classes[row], minlength=len(problem.targets))
    every = [site for indices in sites.values() for site in indices]
    complete = sorted(every) == sorted(set(every)) and len(every) == sum(
        sum(pool.counts.values()) for pool in space.pools
    )
    if not complete or tuple(numbers) != problem.targets or problem.conflicts[np.ix_(row, row)].any():
        return None, None
    representatives, degeneracies = space.canonical(row[None, :])
    (found,) = space.orderings(representatives, degeneracies, [1.0])
    return found.id, found.degeneracy


def merge_relaxed(identities: Iterable[str | None], energies_eV: Iterable[float]) -> dict[str, int]:
    """Pick one relaxed cell for every ordering that was reached.

    Parameters
    ----------
    identities : iterable of str or None
        Content ids of the orderings that the relaxed cells are now (``SiteMapping.id``).
    energies_eV : iterable of float
        Their energies, in the same order.

    Returns
    -------
    dict of str to int
        Content id to the number (place in the input) of the relaxed cell of lowest energy; cells outside the
        space are left out.
    """
    best: dict[str, tuple[float, int]] = {}
    for number, (identity, energy) in enumerate(zip(identities, energies_eV, strict=True)):
        if identity is not None:
            best[identity] = min(best.get(identity, (energy, number)), (energy, number))
    return {reached: number for reached, (_, number) in best.items()}
