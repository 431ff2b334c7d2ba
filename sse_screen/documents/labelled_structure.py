"""One labelled structure, from whichever code."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sse_screen.documents.base import DerivedDocument
from sse_screen.documents.label import Label, Tensor, Vector
from sse_screen.training.cleaning import minimum_distance_A
from sse_screen.training.datasets import composition_of
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

_FROM_LABEL = (
    "label_sha256",
    "geometry_sha256",
    "level_of_theory",
    "code_version",
    "k_points",
    "n_electronic_steps",
    "cpu_time_s",
    "species",
    "positions_A",
    "cell_A",
    "forces_eV_per_A",
    "stress_eV_per_A3",
)


class LabelledStructureDoc(DerivedDocument):
    """A structure with energy, forces and stress at one level of theory; named by what it holds."""

    collection: ClassVar[str] = "labelled_structure"
    meaning_version: ClassVar[str] = "1"
    group_fields: ClassVar[tuple[str, ...]] = ("label_sha256",)

    label_sha256: str = Field(description="Hash of structure, label and level of theory")
    geometry_sha256: str = Field(description="Hash of the structure without its label")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the cell", json_schema_extra={"unit": "1"})
    parent_configurations: list[str] = Field(
        description="Orderings or crystals it was sampled from; several if it came of each"
    )
    sources: list[str] = Field(description="Where it is from, in the order of the parents")
    code: str = Field(description="Code or kind of potential that made the label")
    code_version: str = Field(description="Version of that code")
    functional: str = Field(description="Exchange-correlation functional, or name of the potential")
    level_identifier: str = Field(description="Short hash of the level of theory; never mix two")
    level_of_theory: LevelOfTheory = Field(description="All that energies must share to be compared")
    k_points: tuple[int, int, int] | None = Field(
        None, description="Mesh of k-points; null for codes without"
    )
    n_electronic_steps: int | None = Field(
        None,
        description="Electronic steps to convergence; null for codes without",
        json_schema_extra={"unit": "1"},
    )
    energy_eV_per_cell: float = Field(
        description="Energy that the forces are the derivative of", json_schema_extra={"unit": "eV/cell"}
    )
    energy_eV_per_atom: float = Field(description="The same per atom", json_schema_extra={"unit": "eV/atom"})
    maximum_force_eV_per_A: float = Field(
        description="Length of the largest force", json_schema_extra={"unit": "eV/angstrom"}
    )
    pressure_GPa: float | None = Field(
        None, description="A third of the trace of the stress, negated", json_schema_extra={"unit": "GPa"}
    )
    minimum_distance_A: float = Field(
        description="Shortest distance of two atoms", json_schema_extra={"unit": "angstrom"}
    )
    cpu_time_s: float = Field(description="Cost of the label", json_schema_extra={"unit": "s"})
    species: list[str] = Field(description="Element of each atom")
    positions_A: list[Vector] = Field(
        description="Cartesian positions", json_schema_extra={"unit": "angstrom"}
    )
    cell_A: Tensor = Field(description="Lattice vectors as rows", json_schema_extra={"unit": "angstrom"})
    forces_eV_per_A: list[Vector] = Field(description="Forces", json_schema_extra={"unit": "eV/angstrom"})
    stress_eV_per_A3: Tensor | None = Field(
        None,
        description="Stress tensor, positive when the cell wants to shrink",
        json_schema_extra={"unit": "eV/angstrom^3"},
    )

    @classmethod
    def from_labels(cls, labels: list[Label]) -> LabelledStructureDoc:
        """Make the document of one label.

        Parameters
        ----------
        labels : list of Label
            The same label, once for each parent and source that it was made for.

        Returns
        -------
        LabelledStructureDoc
            Without build metadata.
        """
        from ase.units import GPa

        label, labelled = labels[0], labels[0].to_labelled()
        places = sorted({(one.parent_configuration, one.source) for one in labels})
        stress = labelled.stress_eV_per_A3
        elements = sorted(set(label.species))
        copied = {name: getattr(label, name) for name in _FROM_LABEL}
        return cls(
            id=cls.id_of(copied),
            **copied,
            formula=composition_of(labelled),
            chemical_system="-".join(elements),
            elements=elements,
            n_atoms=len(labelled),
            parent_configurations=[parent for parent, _ in places],
            sources=[source for _, source in places],
            code=label.code,
            functional=label.level_of_theory.functional,
            level_identifier=label.level_of_theory.identifier,
            energy_eV_per_cell=label.energy_eV,
            energy_eV_per_atom=labelled.energy_eV_per_atom,
            maximum_force_eV_per_A=float(np.linalg.norm(labelled.forces_eV_per_A, axis=1).max()),
            pressure_GPa=None if stress is None else float(-np.trace(stress) / 3 / GPa),
            minimum_distance_A=minimum_distance_A(labelled.cell, labelled.positions),
        )

    def to_labelled(self) -> LabelledStructure:
        """Give the labelled structure as arrays.

        Returns
        -------
        LabelledStructure
            With the hash ``label_sha256``; of the first parent.
        """
        return LabelledStructure(
            species=tuple(self.species),
            positions=np.array(self.positions_A),
            cell=np.array(self.cell_A),
            energy_eV=self.energy_eV_per_cell,
            forces_eV_per_A=np.array(self.forces_eV_per_A),
            stress_eV_per_A3=None if self.stress_eV_per_A3 is None else np.array(self.stress_eV_per_A3),
            level_of_theory=self.level_of_theory,
            parent_configuration=self.parent_configurations[0],
            source=self.sources[0],
        )
