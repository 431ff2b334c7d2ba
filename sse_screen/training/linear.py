"""Linear potentials: fixed charges, and two-body and many-body parts fitted to labels by least squares.

The short-range part is a linear function of radial functions of all distances, of bispectrum components, or
of both; what charges give is subtracted from the labels (Deng 2019, npj Comput. Mater. 5, 75, for Li3N).
A fit takes seconds and has one answer: no epochs, no seed. Several fits to drawn subsets make a committee,
whose disagreement tells where labels are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sse_screen.documents.base import Specification
from sse_screen.potentials.classical import (
    BispectrumPart,
    ClassicalPotential,
    PairParameters,
    n_components,
)
from sse_screen.potentials.lammps_library import BISPECTRUM_SCALE, LammpsSystem
from sse_screen.potentials.radial import RadialPart, n_functions, radial_functions
from sse_screen.training.errors import TrainingInputError

if TYPE_CHECKING:
    from sse_screen.training.labelled import LabelledStructure

FloatArray = NDArray[np.float64]
_LONG_RANGE = "ewald 1e-7"


class RadialProtocol(Specification):
    """Two-body part of a linear potential."""

    cutoff_A: float = Field(
        6.0, gt=1.0, le=12.0, description="Where it ends", json_schema_extra={"unit": "angstrom"}
    )
    spacing_A: float = Field(
        0.2,
        gt=0.02,
        le=1.0,
        description="Distance between the centres of its B-splines",
        json_schema_extra={"unit": "angstrom"},
    )

    @property
    def n_functions(self) -> int:
        """Functions a pair of elements."""
        return n_functions(self.cutoff_A, self.spacing_A)


class LinearProtocol(Specification):
    """How a linear potential is fitted; with the labels it fixes the result."""

    charges: dict[str, float] = Field(description="Fixed charge of every element in units of e; may be 0")
    pairs: tuple[PairParameters, ...] = Field((), description="Fixed short-range pairs, such as a hard core")
    cutoff_A: float = Field(
        3.4, gt=1.0, le=8.0, description="Radius of the surroundings", json_schema_extra={"unit": "angstrom"}
    )
    two_j_max: int = Field(
        4, ge=0, le=10, description="Twice the largest angular momentum, even; 0: no many-body part"
    )
    radial: RadialProtocol | None = Field(None, description="Two-body part; none when left out")
    fixed_cutoff_A: float = Field(
        10.0,
        gt=2.0,
        le=20.0,
        description="Where fixed pairs end, and the sum over charges goes on by waves; less is faster",
        json_schema_extra={"unit": "angstrom"},
    )
    energy_weight: float = Field(
        100.0, gt=0, description="Weight of an energy per atom in eV against a force component in eV/Å"
    )
    ridge: float = Field(
        1e-8, ge=0, description="Penalty on the coefficients, relative to the mean square of their columns"
    )

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        if self.two_j_max == 1 or (self.two_j_max == 0 and self.radial is None):
            raise ValueError("two_j_max: give 2 or more, or 0 and a radial part")
        return self

    @property
    def element_pairs(self) -> list[tuple[str, str]]:
        """Pairs of elements in the order of the columns of the two-body part."""
        return list(combinations_with_replacement(sorted(self.charges), 2))


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
        name="fixed-part",
        description="",
        charges=protocol.charges,
        pairs=protocol.pairs,
        cutoff_A=protocol.fixed_cutoff_A,
    )


def _rows_of(structure: LabelledStructure, protocol: LinearProtocol, system: LammpsSystem) -> DesignRows:
    n_atoms, elements = len(structure), system.elements
    system.create(structure.to_atoms())
    table = _bispectrum_table(protocol, system)[: 1 + 3 * n_atoms]
    table[0] /= n_atoms
    n = _n_components(protocol)
    columns = []
    if protocol.radial is not None:
        columns.append(_radial_rows(structure, protocol, system))
    for number, element in enumerate(elements):
        constant = np.zeros(1 + 3 * n_atoms)
        constant[0] = structure.species.count(element) / n_atoms
        columns += [constant[:, None], table[:, number * n : (number + 1) * n]]
    labels = np.concatenate(
        [[structure.energy_eV_per_atom], system.turned(structure.forces_eV_per_A).ravel()]
    )
    return DesignRows(np.hstack(columns), labels - table[:, -1])


def _n_components(protocol: LinearProtocol) -> int:
    return n_components(protocol.two_j_max, len(protocol.charges)) if protocol.two_j_max else 0


def _bispectrum_table(protocol: LinearProtocol, system: LammpsSystem) -> FloatArray:
    """Give energy and forces of each component and, in the last column, of the fixed part."""
    elements = system.elements
    if not protocol.two_j_max:
        system.command("run 0 post no")
        fixed = np.append(system.thermo("pe"), system.turned(system.gathered("f")).ravel())
        return fixed[:, None]
    settings = f"{protocol.cutoff_A!r} {BISPECTRUM_SCALE} {protocol.two_j_max}"
    each = " ".join(["0.5"] * len(elements) + ["1.0"] * len(elements))
    kinds = " ".join(str(i) for i in range(len(elements)))
    system.command(
        f"compute components all snap {settings} {each} chem {len(elements)} {kinds} bnormflag 1",
        "thermo_style custom step pe c_components[1][1]",
        "run 0 post no",
    )
    return system.global_array("components")


def _radial_rows(structure: LabelledStructure, protocol: LinearProtocol, system: LammpsSystem) -> FloatArray:
    """Give energies per atom and forces, in LAMMPS' orientation, of each radial function of each pair."""
    assert protocol.radial is not None  # the caller looked
    radial, n_atoms = protocol.radial, len(structure)
    first, second, vectors = neighbor_list("ijD", structure.to_atoms(), radial.cutoff_A)
    distances = np.linalg.norm(vectors, axis=1)
    values, slopes = radial_functions(distances, radial.cutoff_A, radial.spacing_A)
    directions = system.turned(vectors / distances[:, None])
    kinds = np.array([system.elements.index(symbol) for symbol in structure.species])
    lower, upper = np.sort([kinds[first], kinds[second]], axis=0)
    found = []
    for pair in protocol.element_pairs:
        a, b = (system.elements.index(element) for element in pair)
        of_pair = np.flatnonzero((lower == a) & (upper == b))
        forces = np.zeros((n_atoms, 3, radial.n_functions))
        np.add.at(forces, first[of_pair], directions[of_pair, :, None] * slopes[of_pair, None, :])
        # every pair is in the list in both directions
        energies = 0.5 * values[of_pair].sum(axis=0) / n_atoms
        found.append(np.vstack([energies, forces.reshape(3 * n_atoms, -1)]))
    return np.hstack(found)


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
    scale, penalty = _scale_and_penalty(np.linalg.norm(factor[:, :n], axis=0), protocol)
    scaled = np.vstack([factor[:, :n] / scale, np.sqrt(protocol.ridge) * penalty])
    right = np.concatenate([factor[:, n], np.zeros(n)])
    coefficients = np.linalg.lstsq(scaled, right, rcond=None)[0] / scale
    return _fixed_part(protocol).model_copy(
        update={
            "name": name,
            "description": f"Linear potential fitted to {len(set(chosen))} labelled structures",
            **_fitted_parts(coefficients, protocol),
        }
    )


def _scale_and_penalty(norms: FloatArray, protocol: LinearProtocol) -> tuple[FloatArray, FloatArray]:
    """Bring columns to one scale, so that the penalty is the same for all; say what is penalised.

    Of the two-body part it is curvature, the second differences of a pair's coefficients (Eilers 1996,
    Statist. Sci. 11, 89), so that it goes on smoothly where no labelled structure has a distance.
    """
    scale, penalty = np.maximum(norms, 1e-15), np.eye(len(norms))
    if protocol.radial is not None:
        n = protocol.radial.n_functions
        # the functions beyond the cutoff are zero
        curvature = np.eye(n) - 2 * np.eye(n, k=-1) + np.eye(n, k=-2)
        for number in range(len(protocol.element_pairs)):
            block = slice(number * n, (number + 1) * n)
            scale[block] = scale[block].max()
            penalty[block, block] = curvature
    return scale, penalty


def _fitted_parts(coefficients: FloatArray, protocol: LinearProtocol) -> dict[str, Any]:
    """Divide the coefficients among the parts that they are of."""
    parts: dict[str, Any] = {}
    elements, radial = sorted(protocol.charges), protocol.radial
    if radial is not None:
        n_radial = len(protocol.element_pairs) * radial.n_functions
        of_pairs = coefficients[:n_radial].reshape(-1, radial.n_functions)
        coefficients = coefficients[n_radial:]
        names = ("-".join(pair) for pair in protocol.element_pairs)
        parts["radial"] = RadialPart(
            cutoff_A=radial.cutoff_A,
            spacing_A=radial.spacing_A,
            coefficients_eV={p: tuple(c.tolist()) for p, c in zip(names, of_pairs, strict=True)},
        )
    per_element = dict(zip(elements, coefficients.reshape(len(elements), -1).tolist(), strict=True))
    if not protocol.two_j_max:
        return parts | {"element_energies_eV": {e: numbers[0] for e, numbers in per_element.items()}}
    parts["many_body"] = BispectrumPart(
        cutoff_A=protocol.cutoff_A,
        two_j_max=protocol.two_j_max,
        coefficients_eV={e: tuple(numbers) for e, numbers in per_element.items()},
    )
    return parts


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
