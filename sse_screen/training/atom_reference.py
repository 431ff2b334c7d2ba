"""Energies of the elements: what of an error a composition alone explains, and its removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.training.errors import TrainingInputError
from sse_screen.training.labelled import LabelledStructure

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceShift:
    """The part of errors in energy that is linear in the composition.

    Attributes
    ----------
    shift_eV : dict of str to float
        What each element's energy lacks, the smallest shifts that do it where the compositions do not tell.
    explained_eV_per_atom : float
        Root mean square of the errors that these shifts remove.
    determined : bool
        Whether the compositions tell every element's shift.
    """

    shift_eV: dict[str, float]
    explained_eV_per_atom: float
    determined: bool

    def of(self, structure: LabelledStructure) -> float:
        """Give the shift of a structure.

        Parameters
        ----------
        structure : LabelledStructure
            Elements without a shift count as 0.

        Returns
        -------
        float
            eV per atom.
        """
        return sum(self.shift_eV.get(symbol, 0.0) for symbol in structure.species) / len(structure)


def fit_reference_shift(
    structures: Sequence[LabelledStructure], predicted_eV_per_atom: FloatArray
) -> ReferenceShift:
    """Fit shifts of the elements' energies to errors of predictions by least squares.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Labelled structures.
    predicted_eV_per_atom : NDArray
        (n_structures,) predicted energies.

    Returns
    -------
    ReferenceShift
        The solution of least norm.
    """
    elements = sorted({symbol for structure in structures for symbol in structure.species})
    fractions = np.array([[s.species.count(e) / len(s) for e in elements] for s in structures])
    errors = np.array([s.energy_eV_per_atom for s in structures]) - predicted_eV_per_atom
    # compositions that differ by rounding only do not tell elements apart
    shifts, _, rank, _ = np.linalg.lstsq(fractions, errors, rcond=1e-6)
    explained = float(np.sqrt(np.mean((fractions @ shifts) ** 2)))
    named = {element: float(shift) for element, shift in zip(elements, shifts, strict=True)}
    return ReferenceShift(named, explained, bool(rank == len(elements)))


def check_reference(
    structures: Sequence[LabelledStructure], predicted_eV_per_atom: FloatArray, largest_eV_per_atom: float
) -> None:
    """Refuse element energies that are not those of the labels.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Labelled structures.
    predicted_eV_per_atom : NDArray
        (n_structures,) energies predicted with the element energies in question.
    largest_eV_per_atom : float
        Largest error allowed that compositions explain.

    Raises
    ------
    TrainingInputError
        Naming the elements and how far their energies are off.
    """
    found = fit_reference_shift(structures, predicted_eV_per_atom)
    if found.explained_eV_per_atom <= largest_eV_per_atom:
        return
    shifts = ", ".join(f"{element} {shift:+.3f} eV" for element, shift in found.shift_eV.items())
    raise TrainingInputError(
        f"atom_reference: the elements' energies (E0s) are off by {found.explained_eV_per_atom:.3f} eV/atom "
        f"against the labels ({shifts}), more than {largest_eV_per_atom:g}; refit them "
        "(atom_reference: refit), or give those of the labels' own code and pseudopotentials"
    )
