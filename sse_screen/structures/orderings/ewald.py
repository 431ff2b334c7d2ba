"""Electrostatic energies of orderings, for a ranking before anything is relaxed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.structures.electrostatics import ewald_matrix
from sse_screen.structures.orderings.space import Ordering, OrderingSpace

if TYPE_CHECKING:
    from pymatgen.core import Structure


class EwaldEnergy:
    """Electrostatic energy of point charges on the sites of one crystal, any choice of which.

    The matrix of pair energies is made once; an ordering costs one product with it.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The disordered crystal.
    oxidation_states : dict of str to float
        Charge of every species, as pymatgen writes it.
    """

    def __init__(self, structure: Structure, oxidation_states: dict[str, float]) -> None:
        self.oxidation_states = oxidation_states
        self.pair_energies = ewald_matrix(structure.lattice.matrix, structure.frac_coords)
        self._fixed = np.array(
            [oxidation_states[str(site.specie)] if site.is_ordered else 0.0 for site in structure]
        )

    @classmethod
    def of_space(cls, space: OrderingSpace) -> EwaldEnergy:
        """Use the crystal and the oxidation states of a space of orderings.

        Parameters
        ----------
        space : OrderingSpace
            The orderings.

        Returns
        -------
        EwaldEnergy
            Their energy.

        Raises
        ------
        InputError
            If the space was made without oxidation states.
        """
        if space.oxidation_states is None:
            raise InputError("an Ewald energy needs a neutral cell: do not allow a charge (--allow-charged)")
        return cls(space.structure, space.oxidation_states)

    def charges(self, sites: dict[str, tuple[int, ...]]) -> NDArray[np.float64]:
        """Return the charge on every site of the crystal, zero where it is empty.

        Parameters
        ----------
        sites : dict of str to tuple of int
            Species to the disordered sites it takes.

        Returns
        -------
        ndarray of float, shape (n_sites,)
            Charges in units of e.
        """
        values = self._fixed.copy()
        for species, indices in sites.items():
            values[list(indices)] = self.oxidation_states[species]
        return values

    def __call__(self, sites: dict[str, tuple[int, ...]]) -> float:
        """Return the energy of one ordering.

        Parameters
        ----------
        sites : dict of str to tuple of int
            Species to the disordered sites it takes.

        Returns
        -------
        float
            Energy of the cell in eV.
        """
        values = self.charges(sites)
        return 0.5 * float(values @ self.pair_energies @ values)


def with_ewald_energies(orderings: Iterable[Ordering], energy: EwaldEnergy) -> Iterable[Ordering]:
    """Add the electrostatic energy to orderings, streaming.

    Parameters
    ----------
    orderings : iterable of Ordering
        Orderings of one crystal.
    energy : EwaldEnergy
        Its energy.

    Yields
    ------
    Ordering
        The same with ``ewald_energy_eV``.
    """
    for ordering in orderings:
        yield replace(ordering, ewald_energy_eV=energy(ordering.sites))


def lowest_ewald(orderings: Iterable[Ordering], energy: EwaldEnergy, n_lowest: int) -> list[Ordering]:
    """Keep the orderings of lowest electrostatic energy.

    Parameters
    ----------
    orderings : iterable of Ordering
        Any number of orderings of one crystal; only ``n_lowest`` are held.
    energy : EwaldEnergy
        Its energy.
    n_lowest : int
        How many to keep.

    Returns
    -------
    list of Ordering
        In ascending order of energy (rounded to 1e-6 eV, then id), with ``ewald_energy_eV``.

    Raises
    ------
    InputError
        If fewer than one is asked for.
    """
    if n_lowest < 1:
        raise InputError(f"lowest {n_lowest} orderings: ask for at least one")
    return heapq.nsmallest(
        n_lowest,
        with_ewald_energies(orderings, energy),
        key=lambda ordering: (round(ordering.ewald_energy_eV or 0.0, 6), ordering.id),
    )
