"""Energies of species on the fixed sites of a lattice, for Monte Carlo moves that exchange two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

Contents = NDArray[np.int16]


class LatticeEnergy(Protocol):
    """What a Monte Carlo run asks of an energy; contents are the species number of every site."""

    def total(self, contents: Contents) -> float:
        """Return the energy of the cell in eV."""
        ...

    def change(self, contents: Contents, i: int, j: int) -> float:
        """Return the change of the energy in eV when sites i and j exchange their contents."""
        ...


class PairEnergy:
    """Energy of pairs of values on the sites, E = ½ Σ_ij v_i φ_ij v_j.

    With the Ewald matrix and charges it is the electrostatic energy; with couplings between neighbours and
    values 0 and 1 it is a lattice gas. An exchange costs two rows of the matrix.

    Parameters
    ----------
    pair_energies : ndarray of float, shape (n, n)
        φ in eV, symmetric; the diagonal is the energy of a unit value with its own images.
    values : sequence of float
        Value (charge in e, occupation) of every species number.
    """

    def __init__(self, pair_energies: NDArray[np.float64], values: Sequence[float]) -> None:
        self._pairs = np.asarray(pair_energies, dtype=float)
        self._values = np.asarray(values, dtype=float)

    def total(self, contents: Contents) -> float:
        """Return the energy of the cell.

        Parameters
        ----------
        contents : ndarray of int, shape (n,)
            Species number of every site.

        Returns
        -------
        float
            Energy in eV.
        """
        values = self._values[contents]
        return 0.5 * float(values @ self._pairs @ values)

    def change(self, contents: Contents, i: int, j: int) -> float:
        """Return the change of the energy when two sites exchange their contents.

        Parameters
        ----------
        contents : ndarray of int, shape (n,)
            Species number of every site, before the exchange.
        i, j : int
            The sites.

        Returns
        -------
        float
            Energy after minus energy before, in eV.
        """
        values = self._values[contents]
        step = values[j] - values[i]
        field = float(self._pairs[i] @ values - self._pairs[j] @ values)
        own = self._pairs[i, i] + self._pairs[j, j] - 2 * self._pairs[i, j]
        return float(step * field + 0.5 * step**2 * own)


class FunctionEnergy:
    """Any function of the contents as a lattice energy; every trial move costs one call.

    Parameters
    ----------
    function : callable
        Contents to the energy of the cell in eV; the same contents must always give the same energy.
    """

    def __init__(self, function: Callable[[Contents], float]) -> None:
        self._function = function
        self._known: dict[bytes, float] = {}

    def total(self, contents: Contents) -> float:
        """Return the energy of the cell; the last two asked for are remembered.

        Parameters
        ----------
        contents : ndarray of int, shape (n,)
            Species number of every site.

        Returns
        -------
        float
            Energy in eV.
        """
        key = contents.tobytes()
        if key not in self._known:
            self._known = dict([*self._known.items()][-1:])
            self._known[key] = float(self._function(contents))
        return self._known[key]

    def change(self, contents: Contents, i: int, j: int) -> float:
        """Return the change of the energy when two sites exchange their contents.

        Parameters
        ----------
        contents : ndarray of int, shape (n,)
            Species number of every site, before the exchange.
        i, j : int
            The sites.

        Returns
        -------
        float
            Energy after minus energy before, in eV.
        """
        before = self.total(contents)
        # asked again, so that it is the later of the two remembered and survives the next call
        self._known[contents.tobytes()] = self._known.pop(contents.tobytes())
        trial = contents.copy()
        trial[i], trial[j] = contents[j], contents[i]
        return self.total(trial) - before


def calculator_energy(
    structure: Structure, species: Sequence[str | None], calculator: Calculator
) -> FunctionEnergy:
    """Use an ASE calculator (an interatomic potential, say) on the unrelaxed sites of a crystal.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal whose sites are filled; its own species do not count.
    species : sequence of str or None
        Symbol of every species number; None is an empty site.
    calculator : ase.calculators.calculator.Calculator
        Gives the energy.

    Returns
    -------
    FunctionEnergy
        Energy of the cell in eV.
    """
    from ase import Atoms
    from pymatgen.core import get_el_sp

    symbols = np.array(["" if name is None else _symbol(get_el_sp(name)) for name in species])
    positions, cell = structure.cart_coords, structure.lattice.matrix

    def energy(contents: Contents) -> float:
        """Give the energy of the lattice with these contents (eV)."""
        names = symbols[contents]
        filled = names != ""
        atoms = Atoms(names[filled].tolist(), positions=positions[filled], cell=cell, pbc=True)
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    return FunctionEnergy(energy)


def _symbol(species: object) -> str:
    return str(getattr(species, "symbol", species))
