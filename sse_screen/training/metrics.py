"""Errors of a potential on labelled structures, evaluated as it is used: by its ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sse_screen.documents.training import ErrorStatistics, ParityPoints, SetMetrics
from sse_screen.training.atom_reference import ReferenceShift
from sse_screen.training.chgnet_examples import EV_PER_A3_IN_GPA
from sse_screen.training.datasets import composition_of
from sse_screen.training.labelled import LabelledStructure

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

FloatArray = NDArray[np.float64]
_LARGEST_PARITY = 2000


@dataclass(frozen=True)
class Predictions:
    """What a potential gives for structures.

    Attributes
    ----------
    energies_eV_per_atom : NDArray
        (n_structures,).
    forces_eV_per_A : tuple of NDArray
        (n_atoms, 3) each.
    stresses_GPa : NDArray
        (n_structures, 3, 3), ASE's sign.
    """

    energies_eV_per_atom: FloatArray
    forces_eV_per_A: tuple[FloatArray, ...]
    stresses_GPa: FloatArray

    def shifted(self, structures: Sequence[LabelledStructure], shift: ReferenceShift) -> Predictions:
        """Add shifts of the elements' energies.

        Parameters
        ----------
        structures : sequence of LabelledStructure
            Those predicted.
        shift : ReferenceShift
            What to add.

        Returns
        -------
        Predictions
            With other energies.
        """
        added = np.array([shift.of(structure) for structure in structures])
        return Predictions(self.energies_eV_per_atom + added, self.forces_eV_per_A, self.stresses_GPa)


def predict_with(calculator: Calculator, structures: Sequence[LabelledStructure]) -> Predictions:
    """Evaluate structures with a calculator.

    Parameters
    ----------
    calculator : ase calculator
        Gives energy, forces and stress.
    structures : sequence of LabelledStructure
        Their labels are not looked at.

    Returns
    -------
    Predictions
        In the same order.
    """
    energies, forces, stresses = [], [], []
    for structure in structures:
        atoms = structure.to_atoms()
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
        forces.append(np.array(atoms.get_forces()))
        stresses.append(atoms.get_stress(voigt=False) * EV_PER_A3_IN_GPA)
    return Predictions(np.array(energies), tuple(forces), np.array(stresses).reshape(-1, 3, 3))


def error_statistics(labels: FloatArray, predicted: FloatArray, unit: str) -> ErrorStatistics:
    """Compare numbers.

    Parameters
    ----------
    labels, predicted : NDArray
        Of the same shape.
    unit : str
        Their unit.

    Returns
    -------
    ErrorStatistics
        MAE, RMSE and R² = 1 − Σ(error²)/Σ((label − mean label)²).
    """
    labels, predicted = np.ravel(labels).astype(float), np.ravel(predicted).astype(float)
    errors = predicted - labels
    spread = float(np.sum((labels - labels.mean()) ** 2))
    # labels that agree to the last digits have no variance to explain
    varies = spread > 1e-18 * max(1.0, float(np.sum(labels**2)))
    return ErrorStatistics(
        mean_absolute_error=float(np.mean(np.abs(errors))),
        root_mean_square_error=float(np.sqrt(np.mean(errors**2))),
        r_squared=1 - float(np.sum(errors**2)) / spread if varies else None,
        n_values=len(labels),
        unit=unit,
    )


def set_metrics(structures: Sequence[LabelledStructure], predicted: Predictions) -> SetMetrics:
    """Give the errors on a set.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        At least one.
    predicted : Predictions
        Of the same structures.

    Returns
    -------
    SetMetrics
        Errors of energies per atom, forces and, where there are labels, stresses.
    """
    labels, found = _stresses(structures, predicted)
    forces = np.concatenate([s.forces_eV_per_A for s in structures])
    return SetMetrics(
        n_structures=len(structures),
        formulas=formulas_of(structures),
        energy=error_statistics(_energies(structures), predicted.energies_eV_per_atom, "eV/atom"),
        forces=error_statistics(forces, np.concatenate(predicted.forces_eV_per_A), "eV/angstrom"),
        stress=error_statistics(labels, found, "GPa") if labels.size else None,
    )


def parity_points(structures: Sequence[LabelledStructure], predicted: Predictions) -> ParityPoints:
    """Pair labels with predictions, evenly thinned out where they are many.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        At least one.
    predicted : Predictions
        Of the same structures.

    Returns
    -------
    ParityPoints
        At most 2000 pairs of each quantity.
    """
    labels, found = _stresses(structures, predicted)
    forces = np.concatenate([s.forces_eV_per_A for s in structures])
    return ParityPoints(
        energy_label_eV_per_atom=_thinned(_energies(structures)),
        energy_predicted_eV_per_atom=_thinned(predicted.energies_eV_per_atom),
        force_label_eV_per_A=_thinned(forces),
        force_predicted_eV_per_A=_thinned(np.concatenate(predicted.forces_eV_per_A)),
        stress_label_GPa=_thinned(labels),
        stress_predicted_GPa=_thinned(found),
    )


def formulas_of(structures: Sequence[LabelledStructure]) -> list[str]:
    """Give the reduced formulas of structures.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Any number.

    Returns
    -------
    list of str
        Sorted, without repetition.
    """
    return sorted({composition_of(structure) for structure in structures})


def _energies(structures: Sequence[LabelledStructure]) -> FloatArray:
    return np.array([structure.energy_eV_per_atom for structure in structures])


def _stresses(
    structures: Sequence[LabelledStructure], predicted: Predictions
) -> tuple[FloatArray, FloatArray]:
    """Stress labels and predictions (GPa) of those that have a label."""
    known = [i for i, s in enumerate(structures) if s.stress_eV_per_A3 is not None]
    labels = np.array([structures[i].stress_eV_per_A3 for i in known]).reshape(-1, 3, 3) * EV_PER_A3_IN_GPA
    return labels, predicted.stresses_GPa[known]


def _thinned(values: FloatArray) -> list[float]:
    flat = np.ravel(values)
    if len(flat) > _LARGEST_PARITY:
        flat = flat[np.linspace(0, len(flat) - 1, _LARGEST_PARITY).round().astype(int)]
    return [float(f"{value:.8g}") for value in flat]
