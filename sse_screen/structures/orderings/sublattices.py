"""Symmetry of a disordered crystal: its sublattices and the permutations of its sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from spglib import SpglibDataset

VACANCY = "vacancy"


@dataclass(frozen=True)
class Sublattice:
    """Sites of a crystal that symmetry makes equal and whose occupancy is partial or mixed.

    Attributes
    ----------
    label : str
        Multiplicity in the conventional cell and Wyckoff letter (``24d``); with ``.1``, ``.2`` appended where
        several orbits have the same letter.
    aliases : tuple of str
        Other names under which the sublattice is found: labels of its sites that no other has.
    sites : tuple of int
        Indices of its sites in the structure.
    occupancies : dict of str to float
        Species (as pymatgen writes them) to mean occupancy, vacancies excluded.
    """

    label: str
    aliases: tuple[str, ...]
    sites: tuple[int, ...]
    occupancies: dict[str, float]

    @property
    def has_vacancies(self) -> bool:
        """Whether the mean occupancies leave a part of the sites empty."""
        return sum(self.occupancies.values()) < 1 - 1e-6


def _symmetry_dataset(structure: Structure, symprec_A: float) -> SpglibDataset:
    import spglib

    kinds: dict[str, int] = {}
    types = [kinds.setdefault(str(site.species), len(kinds)) for site in structure]
    cell: Any = (structure.lattice.matrix, structure.frac_coords, types)
    dataset = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    if dataset is None:
        raise InputError(
            f"spglib finds no symmetry of {structure.composition.reduced_formula} at symprec {symprec_A} Å: "
            "are two sites on top of each other? Use another --symprec"
        )
    return dataset


def find_sublattices(structure: Structure, symprec_A: float = 0.01) -> tuple[Sublattice, ...]:
    """Find the sublattices with partial or mixed occupancy.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Crystal with partial occupancies.
    symprec_A : float
        Tolerance of the symmetry search in ångström.

    Returns
    -------
    tuple of Sublattice
        In the order of their first sites; empty for an ordered crystal.

    Raises
    ------
    InputError
        If spglib finds no symmetry.
    """
    dataset = _symmetry_dataset(structure, symprec_A)
    orbits: dict[tuple[int, str], list[int]] = {}
    for index, site in enumerate(structure):
        if not site.is_ordered:
            key = (int(dataset.crystallographic_orbits[index]), str(site.species))
            orbits.setdefault(key, []).append(index)
    ratio = len(dataset.std_types) / len(structure)
    names = [f"{round(len(sites) * ratio)}{dataset.wyckoffs[sites[0]]}" for sites in orbits.values()]
    owners: dict[str, set[int]] = {}
    for number, sites in enumerate(orbits.values()):
        for index in sites:
            site = structure[index]
            for alias in {str(site.label), str(site.properties.get("orbit", site.label))} - {
                site.species_string
            }:
                owners.setdefault(alias, set()).add(number)
    result = []
    for number, (name, sites) in enumerate(zip(names, orbits.values(), strict=True)):
        copies = [other for other, own in enumerate(names) if own == name]
        label = name if len(copies) == 1 else f"{name}.{copies.index(number) + 1}"
        aliases = tuple(sorted(alias for alias, own in owners.items() if own == {number} and alias != label))
        occupancies = {str(species): float(x) for species, x in structure[sites[0]].species.items()}
        result.append(Sublattice(label, aliases, tuple(sites), occupancies))
    return tuple(result)


def site_permutations(structure: Structure, sites: np.ndarray, symprec_A: float = 0.01) -> np.ndarray:
    """Permutations of sites by the space group of a disordered crystal.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Crystal with partial occupancies; its own cell is used, so that the translations of a centred or
        repeated cell are part of the group.
    sites : ndarray of int, shape (n,)
        Indices of the sites to permute; a union of sublattices.
    symprec_A : float
        Tolerance of the symmetry search in ångström.

    Returns
    -------
    ndarray of int, shape (order, n)
        Distinct permutations, the identity first: operation g takes the site at place i of ``sites`` to the
        place ``result[g, i]``.

    Raises
    ------
    InputError
        If an operation does not map the sites onto one another within the tolerance.
    """
    from scipy.spatial import cKDTree

    dataset = _symmetry_dataset(structure, symprec_A)
    if len(sites) == 0:
        return np.zeros((1, 0), dtype=np.int64)
    positions = structure.frac_coords[sites]
    wrapped = (positions % 1.0) % 1.0
    images = np.einsum("gij,nj->gni", dataset.rotations, positions) + dataset.translations[:, None, :]
    _, nearest = cKDTree(wrapped, boxsize=1.0).query(((images % 1.0) % 1.0).reshape(-1, 3))
    permutations = nearest.reshape(len(images), len(sites))
    shifts = images - positions[permutations]
    distances = np.linalg.norm((shifts - np.round(shifts)) @ structure.lattice.matrix, axis=-1)
    bijective = (np.sort(permutations, axis=1) == np.arange(len(sites))).all(axis=1)
    if distances.max() > 5 * symprec_A or not bijective.all():
        raise InputError(
            f"a symmetry operation moves a site {distances.max():.3f} Å away from its image: "
            "lower --symprec or symmetrise the structure first"
        )
    unique = np.unique(permutations, axis=0)
    return unique.astype(np.int64)
