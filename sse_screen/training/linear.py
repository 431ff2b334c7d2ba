"""Linear potentials: fixed charges and a many-body part fitted to labels by least squares.

The short-range part is a linear function of bispectrum components, what charges give is subtracted from the
labels first (Deng 2019, npj Comput. Mater. 5, 75, for Li3N). A fit takes seconds and has one answer: no
epochs, no seed. Several fits to drawn subsets make a committee, whose disagreement tells where labels are
missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sse_screen.documents.base import Document
from sse_screen.potentials.classical import (
    BispectrumPart,
    ClassicalPotential,
    PairParameters,
    n_components,
)
from sse_screen.potentials.lammps_library import BISPECTRUM_SCALE, LammpsSystem
from sse_screen.training.errors import TrainingInputError

if TYPE_CHECKING:
    from sse_screen.training.labelled import LabelledStructure

FloatArray = NDArray[np.float64]
_LONG_RANGE = "ewald 1e-7"


class LinearProtocol(Document):
    """How a linear potential is fitted; with the labels it fixes the result."""

    charges: dict[str, float] = Field(description="Fixed charge of every element in units of e; may be 0")
    pairs: tuple[PairParameters, ...] = Field((), description="Fixed short-range pairs, such as a hard core")
    cutoff_A: float = Field(
        3.4, gt=1.0, le=8.0, description="Radius of the surroundings", json_schema_extra={"unit": "angstrom"}
    )
    two_j_max: int = Field(4, ge=2, le=10, description="Twice the largest angular momentum, even")
    energy_weight: float = Field(
        100.0, gt=0, description="Weight of an energy per atom in eV against a force component in eV/Å"
    )
    ridge: float = Field(
        1e-8, ge=0, description="Penalty on the coefficients, relative to the mean square of their columns"
    )


@dataclass(frozen=True)
class DesignRows:
    """One structure's rows of the linear system.

    Attributes
    ----------
    rows : NDArray
        (1 + 3 n_atoms, n_coefficients): energy per atom, then forces, in LAMMPS' orientation.
    targets : NDArray
        (1 + 3 n_atoms,): labels without what the fixed part gives.
    """

    rows: FloatArray
    targets: FloatArray


def design_rows(structures: Sequence[LabelledStructure], protocol: LinearProtocol) -> list[DesignRows]:
    """Evaluate the bispectrum components of labelled structures and their derivatives.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Of elements that have a charge in the protocol.
    protocol : LinearProtocol
        Charges, cutoff, order.

    Returns
    -------
    list of DesignRows
        In the same order.

    Raises
    ------
    TrainingInputError
        For an element without a charge.
    """
    missing = sorted({s for structure in structures for s in structure.species} - set(protocol.charges))
    if missing:
        raise TrainingInputError(f"charges: {', '.join(missing)} is in the labels and has no charge; give it")
    systems: dict[tuple[str, ...], LammpsSystem] = {}
    fixed = _fixed_part(protocol)
    found = []
    for structure in structures:
        if structure.species not in systems:
            elements = sorted(protocol.charges)
            systems[structure.species] = LammpsSystem(fixed, list(structure.species), _LONG_RANGE, elements)
        found.append(_rows_of(structure, protocol, systems[structure.species]))
    for system in systems.values():
        system.close()
    return found


def _fixed_part(protocol: LinearProtocol) -> ClassicalPotential:
    return ClassicalPotential(
        name="fixed-part", description="", charges=protocol.charges, pairs=protocol.pairs
    )


def _rows_of(structure: LabelledStructure, protocol: LinearProtocol, system: LammpsSystem) -> DesignRows:
    n_atoms, elements = len(structure), system.elements
    system.create(structure.to_atoms())
    settings = f"{protocol.cutoff_A!r} {BISPECTRUM_SCALE} {protocol.two_j_max}"
    each = " ".join(["0.5"] * len(elements) + ["1.0"] * len(elements))
    kinds = " ".join(str(i) for i in range(len(elements)))
    system.command(
        f"compute components all snap {settings} {each} chem {len(elements)} {kinds} bnormflag 1",
        "thermo_style custom step pe c_components[1][1]",
        "run 0 post no",
    )
    table = system.global_array("components")[: 1 + 3 * n_atoms]
    table[0] /= n_atoms
    n = n_components(protocol.two_j_max, len(elements))
    columns = []
    for number, element in enumerate(elements):
        constant = np.zeros(1 + 3 * n_atoms)
        constant[0] = structure.species.count(element) / n_atoms
        columns += [constant[:, None], table[:, number * n : (number + 1) * n]]
    labels = np.concatenate(
        [[structure.energy_eV_per_atom], system.turned(structure.forces_eV_per_A).ravel()]
    )
    return DesignRows(np.hstack(columns), labels - table[:, -1])


def fit_linear_potential(
    rows: Sequence[DesignRows], protocol: LinearProtocol, name: str, drawn: Sequence[int] | None = None
) -> ClassicalPotential:
    """Fit the coefficients by least squares with a small penalty.

    Parameters
    ----------
    rows : sequence of DesignRows
        From :func:`design_rows`.
    protocol : LinearProtocol
        Weights and penalty.
    name : str
        Of the potential.
    drawn : sequence of int, optional
        Structures to fit to, with repetitions; all of them once by default.

    Returns
    -------
    ClassicalPotential
        Fixed part and fitted part.

    Raises
    ------
    TrainingInputError
        Without structures.
    """
    chosen = list(range(len(rows))) if drawn is None else list(drawn)
    if not chosen:
        raise TrainingInputError("no labelled structures to fit to")
    n = rows[0].rows.shape[1]
    # triangular factor of all rows and targets seen so far: as exact as the whole matrix, and small
    factor = np.zeros((0, n + 1))
    for index in chosen:
        block = np.column_stack([rows[index].rows, rows[index].targets])
        block[0] *= protocol.energy_weight
        factor = np.asarray(np.linalg.qr(np.vstack([factor, block]), mode="r"))
    # columns are brought to one scale, so that the penalty is the same for all
    scale = np.maximum(np.linalg.norm(factor[:, :n], axis=0), 1e-15)
    penalty = np.sqrt(protocol.ridge) * np.eye(n)
    scaled = np.vstack([factor[:, :n] / scale, penalty])
    right = np.concatenate([factor[:, n], np.zeros(n)])
    coefficients = np.linalg.lstsq(scaled, right, rcond=None)[0] / scale
    elements = sorted(protocol.charges)
    per_element = coefficients.reshape(len(elements), -1)
    fixed = _fixed_part(protocol)
    return fixed.model_copy(
        update={
            "name": name,
            "description": f"Linear potential fitted to {len(set(chosen))} labelled structures",
            "many_body": BispectrumPart(
                cutoff_A=protocol.cutoff_A,
                two_j_max=protocol.two_j_max,
                coefficients_eV={e: tuple(c.tolist()) for e, c in zip(elements, per_element, strict=True)},
            ),
        }
    )


def fit_committee(
    rows: Sequence[DesignRows], protocol: LinearProtocol, name: str, n_members: int, seed: int
) -> list[ClassicalPotential]:
    """Fit several potentials, each to structures drawn with replacement.

    Parameters
    ----------
    rows : sequence of DesignRows
        From :func:`design_rows`.
    protocol : LinearProtocol
        Weights and penalty.
    name : str
        Of the committee; members are numbered.
    n_members : int
        At least 2.
    seed : int
        Of the draws.

    Returns
    -------
    list of ClassicalPotential
        Members.
    """
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(rows), len(rows)).tolist() for _ in range(n_members)]
    return [fit_linear_potential(rows, protocol, f"{name}-{k}", drawn) for k, drawn in enumerate(draws, 1)]
