"""Outputs of relaxations: one crystal, or a batch of configurations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity, Specification, content_hash


class RelaxationProtocol(Specification):
    """How a structure is relaxed."""

    maximum_force_eV_per_A: float = Field(
        0.05, gt=0, description="Stop when all forces are below", json_schema_extra={"unit": "eV/angstrom"}
    )
    maximum_steps: int = Field(500, gt=0, description="Give up after so many steps")
    relax_cell: bool = Field(True, description="Relax the cell as well as the positions")


class RelaxationOutput(Document):
    """What one relaxation leaves in ``outputs``."""

    kind: Literal["relaxation"] = "relaxation"
    calculation_key: str = Field(description="Hash of structure, potential and protocol")
    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the cell", gt=0)
    structure: dict[str, Any] = Field(description="Relaxed structure, pymatgen as_dict")
    potential: PotentialIdentity
    protocol: RelaxationProtocol
    energy_eV_per_atom: float = Field(description="Relaxed energy", json_schema_extra={"unit": "eV/atom"})
    maximum_force_eV_per_A: float = Field(
        description="Largest force left", json_schema_extra={"unit": "eV/angstrom"}
    )
    converged: bool = Field(description="Whether the forces fell below the limit")
    n_steps: int = Field(description="Optimiser steps")
    composition_spaces: list[str] = Field(
        default_factory=list, description="Composition spaces whose hull it was made for"
    )
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")
    potential_time_s: float = Field(description="In the potential", json_schema_extra={"unit": "s"})
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    reused_from: str | None = Field(
        None, description="uuid of the job that relaxed it, under whatever name; none when this one did"
    )
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


class ConfigurationResult(Document):
    """One ordering of a disordered parent after relaxation."""

    configuration_id: str = Field(description="Content id of the ordering before relaxation")
    degeneracy: int = Field(description="Symmetry-equivalent orderings it stands for", ge=1)
    weight: float = Field(description="What it stands for in a sum over labelled orderings", gt=0)
    energy_eV_per_cell: float = Field(description="Relaxed energy", json_schema_extra={"unit": "eV/cell"})
    maximum_force_eV_per_A: float = Field(
        description="Largest force left", json_schema_extra={"unit": "eV/angstrom"}
    )
    converged: bool = Field(description="Whether the forces fell below the limit")
    total_time_s: float | None = Field(
        None, description="What its relaxation took, its share of a batch", json_schema_extra={"unit": "s"}
    )
    n_moved_ions: int | None = Field(
        None,
        description="Ions that the relaxation carried to another site; none if not looked for",
        json_schema_extra={"unit": "1"},
    )
    reached_id: str | None = Field(
        None, description="Content id of the ordering that the relaxed ions map to; none if outside the space"
    )
    reached_degeneracy: int | None = Field(
        None, description="Symmetry-equivalent orderings of reached_id", json_schema_extra={"unit": "1"}
    )


class ConfigurationBatchOutput(Document):
    """What one batch of relaxed configurations leaves in ``outputs``."""

    kind: Literal["configuration_batch"] = "configuration_batch"
    calculation_key: str = Field(description="Hash of configurations, potential and protocol")
    parent_id: str = Field(description="Hash of the disordered parent")
    parent_name: str = Field(description="Name given in the campaign")
    occupancy_class: str = Field(description="Occupied sites per sublattice, such as 24d:96h = 12:44")
    formula: str = Field(description="Reduced formula of the configurations")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the cell", gt=0)
    n_labelled_total: int = Field(description="Labelled configurations in the whole space")
    n_unique_total: int = Field(description="Symmetry-unique configurations in the whole space")
    sampled: bool = Field(description="Whether configurations are a sample rather than all")
    temperatures_K: list[float] = Field(description="Temperatures asked for", json_schema_extra={"unit": "K"})
    potential: PotentialIdentity
    protocol: RelaxationProtocol
    configurations: list[ConfigurationResult]
    structures: BlobReference
    n_reused: int = Field(0, description="Of them, those that another batch had relaxed")
    potential_time_s: float = Field(description="In the potential", json_schema_extra={"unit": "s"})
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


def relaxation_key(structure_hash: str, potential: PotentialIdentity, protocol: RelaxationProtocol) -> str:
    """Give the idempotency key of a relaxation.

    Parameters
    ----------
    structure_hash : str
        Content hash of the starting structure (or of all structures of a batch).
    potential : PotentialIdentity
        Only the code and the hash of the weights count.
    protocol : RelaxationProtocol
        How it is relaxed.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    return content_hash(
        {
            "kind": "relaxation",
            "structure": structure_hash,
            "potential": [potential.code, potential.weights_sha256],
            "protocol": protocol.model_dump(mode="json"),
        }
    )


def cell_formula(formula: str, n_atoms: int) -> str:
    """Give the formula of a whole cell.

    Parameters
    ----------
    formula : str
        Reduced formula, or any multiple that divides the cell.
    n_atoms : int
        Atoms in the cell.

    Returns
    -------
    str
        Such as Li12P4S16 for Li3PS4 and 32 atoms.
    """
    from pymatgen.core import Composition

    composition = Composition(formula)
    return (composition * (n_atoms / composition.num_atoms)).formula.replace(" ", "")


def relaxation_level(output: dict[str, Any]) -> str:
    """Name potential and protocol of a relaxation by their contents.

    Parameters
    ----------
    output : dict
        Stored output with ``potential`` and ``protocol``.

    Returns
    -------
    str
        The same for the same code, weights and protocol, whatever the potential was called.
    """
    potential = output["potential"]
    weights, protocol = potential["weights_sha256"][:12], content_hash(output["protocol"])[:8]
    return f"{potential['code']} {weights}, relaxation {protocol}"
