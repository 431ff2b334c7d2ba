"""Compositions as fractions of elements or of end members, and entries placed on a hull over them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sse_screen.thermodynamics.hull import HullError, LowerHull, energies_above_hull, lower_hull

FloatArray = NDArray[np.float64]
EnergyBasis = Literal["atom", "formula_unit", "cell"]

_RESIDUAL_TOLERANCE = 1e-6
_PURE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class HullEntry:
    """One computed crystal.

    Attributes
    ----------
    formula : str
        Formula of its cell, such as Li12P4S16 (any multiple; it says what "per cell" means).
    energy_eV_per_atom : float
        Total energy, eV per atom.
    entry_id : str
        Name to find it again; the formula where nothing better is given.
    level_of_theory : str or None
        Potential or DFT setting that made the energy; one hull holds one level.
    """

    formula: str
    energy_eV_per_atom: float
    entry_id: str = ""
    level_of_theory: str | None = None


@dataclass(frozen=True)
class CompositionSpace:
    """Compositions in terms of components.

    Attributes
    ----------
    components : tuple of str
        Elements, or formulas of end members.
    amounts : numpy.ndarray
        Amount of each component (n_entries, n_components) in one cell of each entry.
    atoms_per_cell : numpy.ndarray
        Atoms (n_entries,) in the formula of each entry.
    formula_units_per_cell : numpy.ndarray
        Formula units (n_entries,) in the formula of each entry.
    """

    components: tuple[str, ...]
    amounts: FloatArray
    atoms_per_cell: FloatArray
    formula_units_per_cell: FloatArray

    @cached_property
    def fractions(self) -> FloatArray:
        """Mole fractions of the components (n_entries, n_components).

        Returns
        -------
        numpy.ndarray
            Rows that sum to one.
        """
        return self.amounts / self.amounts.sum(axis=1, keepdims=True)

    @cached_property
    def units_per_atom(self) -> FloatArray:
        """Component units an atom (n_entries,): one when the components are elements.

        Returns
        -------
        numpy.ndarray
            Factors from energies per component unit to energies per atom.
        """
        return self.amounts.sum(axis=1) / self.atoms_per_cell

    def per(self, basis: EnergyBasis) -> FloatArray:
        """Give the factors that turn an energy per atom into one per ``basis``.

        Parameters
        ----------
        basis : {"atom", "formula_unit", "cell"}
            What the energy is to be counted per.

        Returns
        -------
        numpy.ndarray
            Factors (n_entries,).

        Raises
        ------
        HullError
            If the basis is none of the three.
        """
        if basis == "atom":
            return np.ones(len(self.atoms_per_cell))
        if basis == "formula_unit":
            return self.atoms_per_cell / self.formula_units_per_cell
        if basis == "cell":
            return self.atoms_per_cell
        raise HullError(f"energy basis {basis!r} is unknown: choose atom, formula_unit or cell")


@lru_cache(maxsize=200_000)
def element_amounts(formula: str) -> tuple[tuple[str, float], ...]:
    """Read a formula.

    Parameters
    ----------
    formula : str
        Chemical formula; brackets and fractional amounts are allowed.

    Returns
    -------
    tuple of (str, float)
        Element and amount, sorted by element.

    Raises
    ------
    HullError
        If the formula cannot be read or is empty.
    """
    from pymatgen.core import Composition, Element

    try:
        amounts = Composition(formula).get_el_amt_dict()
        unknown = [symbol for symbol in amounts if not Element.is_valid_symbol(symbol)]
    except (ValueError, KeyError, TypeError) as error:
        raise HullError(f"formula {formula!r} cannot be read: {error}") from error
    if unknown or not amounts or min(amounts.values()) <= 0:
        raise HullError(f"formula {formula!r} cannot be read as amounts of chemical elements")
    return tuple(sorted((symbol, float(amount)) for symbol, amount in amounts.items()))


def formula_units(amounts: Sequence[float]) -> float:
    """Count the formula units in integer amounts of elements.

    Parameters
    ----------
    amounts : sequence of float
        Amounts of the elements in a cell.

    Returns
    -------
    float
        Greatest common divisor; 1 when an amount is not an integer (the formula as written is the unit).
    """
    if any(abs(amount - round(amount)) > 1e-8 for amount in amounts):
        return 1.0
    return float(math.gcd(*(round(amount) for amount in amounts)))


def elemental_space(formulas: Sequence[str]) -> CompositionSpace:
    """Express formulas in their elements.

    Parameters
    ----------
    formulas : sequence of str
        Formulas of the entries' cells.

    Returns
    -------
    CompositionSpace
        The components are all elements that occur, sorted by symbol.

    Raises
    ------
    HullError
        If there is no formula or one cannot be read.
    """
    if not formulas:
        raise HullError("a convex hull needs entries; there are none")
    read = [element_amounts(formula) for formula in formulas]
    elements = tuple(sorted({symbol for amounts in read for symbol, _ in amounts}))
    column = {symbol: i for i, symbol in enumerate(elements)}
    matrix = np.zeros((len(read), len(elements)))
    units = np.empty(len(read))
    for row, amounts in enumerate(read):
        units[row] = formula_units([amount for _, amount in amounts])
        for symbol, amount in amounts:
            matrix[row, column[symbol]] = amount
    return CompositionSpace(elements, matrix, matrix.sum(axis=1), units)


def end_member_space(formulas: Sequence[str], end_members: Sequence[str]) -> CompositionSpace:
    """Express formulas in end members (pseudo-binary, pseudo-ternary, ... spaces) by least squares.

    Parameters
    ----------
    formulas : sequence of str
        Formulas of the entries' cells.
    end_members : sequence of str
        Formulas of the end members, linearly independent.

    Returns
    -------
    CompositionSpace
        The components are the end members, as written.

    Raises
    ------
    HullError
        If the end members depend on one another, or an entry is not a mixture of them (a residual, or a
        negative amount).
    """
    if len(end_members) < 2:
        raise HullError("a pseudo-binary or higher space needs at least two end members")
    space = elemental_space([*end_members, *formulas])
    members, amounts = space.amounts[: len(end_members)], space.amounts[len(end_members) :]
    if np.linalg.matrix_rank(members, tol=1e-8) < len(end_members):
        raise HullError(
            f"the end members {', '.join(end_members)} depend on one another: leave out one that is a "
            "mixture of the others"
        )
    solution = np.linalg.lstsq(members.T, amounts.T, rcond=None)[0].T
    size = amounts.sum(axis=1)
    residual = np.abs(solution @ members - amounts).sum(axis=1) / size
    outside = (residual > _RESIDUAL_TOLERANCE) | (solution.min(axis=1) < -_RESIDUAL_TOLERANCE * size)
    if outside.any():
        worst = [formula for formula, bad in zip(formulas, outside, strict=True) if bad]
        shown = ", ".join(worst[:5]) + (", ..." if len(worst) > 5 else "")
        raise HullError(
            f"{len(worst)} of {len(formulas)} compositions are no mixture of {', '.join(end_members)}: "
            f"{shown}; leave them out or use the elements as components"
        )
    clean = np.where(np.abs(solution) < 1e-9 * size[:, None], 0.0, np.clip(solution, 0.0, None))
    start = len(end_members)
    return CompositionSpace(
        tuple(end_members), clean, space.atoms_per_cell[start:], space.formula_units_per_cell[start:]
    )


def missing_references(space: CompositionSpace) -> list[str]:
    """Name the components that no entry is made of alone.

    Parameters
    ----------
    space : CompositionSpace
        The entries' compositions.

    Returns
    -------
    list of str
        Without them there are no formation energies there, and a phase that would decompose into them seems
        stable.
    """
    present = np.any(space.fractions > 1.0 - _PURE_TOLERANCE, axis=0).tolist()
    return [name for name, found in zip(space.components, present, strict=True) if not found]


def single_level_of_theory(levels: Sequence[str | None]) -> str | None:
    """Check that all entries were computed at one level of theory.

    Parameters
    ----------
    levels : sequence of str or None
        Level of each entry.

    Returns
    -------
    str or None
        The one level; None when no entry names any.

    Raises
    ------
    HullError
        If there is more than one, or only some entries name theirs.
    """
    counts = Counter(levels)
    if len(counts) > 1:
        listing = ", ".join(f"{level or 'not given'}: {count} entries" for level, count in counts.items())
        raise HullError(
            f"one hull holds one level of theory (one potential or one DFT setting), found {listing}; "
            "split the table and make a hull of each"
        )
    return next(iter(counts), None)


@dataclass(frozen=True)
class PlacedEntries:
    """Entries with their energies on a hull.

    Attributes
    ----------
    space : CompositionSpace
        The entries' compositions.
    hull : LowerHull
        The hull; its indices are those of the entries.
    formation_energies_eV_per_atom : numpy.ndarray
        Energy (n_entries,) against the lowest entries at the pure components; NaN where one is missing.
    energies_above_hull_eV_per_atom : numpy.ndarray
        Distance (n_entries,) to the hull; negative for an entry that was left out of the hull.
    """

    space: CompositionSpace
    hull: LowerHull
    formation_energies_eV_per_atom: FloatArray
    energies_above_hull_eV_per_atom: FloatArray

    def energies_above_hull(self, basis: EnergyBasis) -> FloatArray:
        """Give the distances to the hull per atom, formula unit or cell.

        Parameters
        ----------
        basis : {"atom", "formula_unit", "cell"}
            What the energy is counted per.

        Returns
        -------
        numpy.ndarray
            Distances (n_entries,), eV.
        """
        return self.energies_above_hull_eV_per_atom * self.space.per(basis)


def place_on_hull(
    space: CompositionSpace, energies_eV_per_atom: FloatArray, left_out: NDArray[np.bool_] | None = None
) -> PlacedEntries:
    """Build the hull of entries and give every entry's distance to it.

    Parameters
    ----------
    space : CompositionSpace
        Compositions of the entries.
    energies_eV_per_atom : numpy.ndarray
        Energies (n_entries,).
    left_out : numpy.ndarray, optional
        True (n_entries,) for entries that must not shape the hull (suspicious ones); they are still placed.

    Returns
    -------
    PlacedEntries
        The hull and the distances.

    Raises
    ------
    HullError
        As of :func:`sse_screen.thermodynamics.hull.lower_hull`.
    """
    energies = np.asarray(energies_eV_per_atom, dtype=float) / space.units_per_atom
    members = np.arange(len(energies)) if left_out is None else np.flatnonzero(~left_out)
    built = lower_hull(space.fractions[members], energies[members])
    hull = LowerHull(
        built.origin,
        built.axes,
        built.planes,
        members[built.simplices],
        members[built.vertices],
        built.baseline,
    )
    above = energies_above_hull(space.fractions, energies, hull)
    references = _pure_energies(space.fractions[members], energies[members])
    formation = energies - space.fractions @ np.nan_to_num(references)
    formation[(space.fractions[:, np.isnan(references)] > 0.0).any(axis=1)] = np.nan
    return PlacedEntries(space, hull, formation * space.units_per_atom, above * space.units_per_atom)


def _pure_energies(fractions: FloatArray, energies: FloatArray) -> FloatArray:
    """Give the lowest energy at each pure component, NaN where there is no entry."""
    references = np.full(fractions.shape[1], np.nan)
    for component in range(fractions.shape[1]):
        pure = fractions[:, component] > 1.0 - 1e-9
        if pure.any():
            references[component] = energies[pure].min()
    return references
