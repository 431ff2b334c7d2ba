"""Jobs that relax a crystal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Maker, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.relaxation import RelaxationOutput, RelaxationProtocol, relaxation_key
from sse_screen.dynamics.relaxation import relax_structure
from sse_screen.structures.identity import structure_hash
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions


@dataclass
class RelaxationMaker(Maker):
    """Relax a crystal.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    protocol : RelaxationProtocol
        Force limit, steps, whether the cell relaxes.
    """

    potential: PotentialIdentity
    protocol: RelaxationProtocol = field(default_factory=RelaxationProtocol)
    name: str = "relaxation"

    @job
    def make(
        self, structure: Structure, material_name: str, composition_spaces: list[str] | None = None
    ) -> Response[RelaxationOutput]:
        """Relax.

        Parameters
        ----------
        structure : Structure
            Ordered crystal.
        material_name : str
            Name in the campaign.
        composition_spaces : list of str, optional
            Spaces whose hull it is made for, such as Cl-Li-O.

        Returns
        -------
        Response
            A :class:`RelaxationOutput`.
        """
        material_id = structure_hash(structure)
        spaces = composition_spaces or []
        key = relaxation_key(material_id, self.potential, self.protocol)
        labels = {"material_name": material_name, "composition_spaces": spaces}

        def compute(folder: Path) -> RelaxationOutput:
            """Relax."""
            atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            report = reporter(folder, f"{material_name} relaxation")
            result = relax_structure(atoms, calculator_for(self.potential), self.protocol, report)
            relaxed = AseAtomsAdaptor.get_structure(result.atoms)
            return RelaxationOutput(
                calculation_key=key,
                material_id=material_id,
                **labels,
                **composition_fields(structure),
                structure=relaxed.as_dict(),
                potential=self.potential,
                protocol=self.protocol,
                energy_eV_per_atom=result.energy_eV / len(structure),
                maximum_force_eV_per_A=result.maximum_force_eV_per_A,
                converged=result.converged,
                n_steps=result.n_steps,
                warnings=self.potential.warnings,
                potential_time_s=result.potential_time_s,
                total_time_s=result.total_time_s,
                versions=versions(),
            )

        return once(key, RelaxationOutput, compute, labels)


def composition_fields(structure: Structure) -> dict[str, Any]:
    """Give the fields that every output has of a composition.

    Parameters
    ----------
    structure : Structure
        Ordered crystal.

    Returns
    -------
    dict
        formula, chemical_system, elements, n_atoms.
    """
    composition = structure.composition
    return {
        "formula": composition.reduced_formula,
        "chemical_system": composition.chemical_system,
        "elements": sorted(element.symbol for element in composition.elements),
        "n_atoms": len(structure),
    }
