"""Labels as jobs leave them: one document for all codes, and the output of a batch of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import zstandard
from pydantic import Field, field_validator

from sse_screen.documents.base import BlobReference, Document, content_hash
from sse_screen.exceptions import InputError
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

Vector = tuple[float, float, float]
Tensor = tuple[Vector, Vector, Vector]
MEANING_VERSION = "1"


class Label(Document):
    """Energy, forces and stress of one structure, with all that says how far to trust them."""

    geometry_sha256: str = Field(description="Hash of the structure without its label")
    label_sha256: str = Field(description="Hash of structure, label and level of theory")
    parent_configuration: str = Field(description="Id of the ordering or crystal it was sampled from")
    source: str = Field(description="Where the structure is from")
    species: list[str] = Field(description="Element of each atom")
    positions_A: list[Vector] = Field(
        description="Cartesian positions", json_schema_extra={"unit": "angstrom"}
    )
    cell_A: Tensor = Field(description="Lattice vectors as rows", json_schema_extra={"unit": "angstrom"})
    energy_eV: float = Field(
        description="Energy of the cell that the forces are the derivative of (free energy where smeared)",
        json_schema_extra={"unit": "eV/cell"},
    )
    energy_at_zero_smearing_eV: float | None = Field(
        None, description="Energy extrapolated to no smearing", json_schema_extra={"unit": "eV/cell"}
    )
    forces_eV_per_A: list[Vector] = Field(description="Forces", json_schema_extra={"unit": "eV/angstrom"})
    stress_eV_per_A3: Tensor | None = Field(
        None,
        description="Stress tensor, positive when the cell wants to shrink; null where the code gives none",
        json_schema_extra={"unit": "eV/angstrom^3"},
    )
    level_of_theory: LevelOfTheory = Field(description="What energies must share to be compared")
    k_points: tuple[int, int, int] | None = Field(
        None, description="Mesh of k-points, Γ included; null for codes without"
    )
    code: str = Field(description="Code that ran")
    code_version: str = Field(description="Its version")
    converged: Literal[True] = Field(
        True, description="Always true: an unconverged calculation is never a label"
    )
    n_electronic_steps: int | None = Field(
        None, description="Electronic steps to convergence; null for codes without"
    )
    cpu_time_s: float = Field(description="Cost", ge=0, json_schema_extra={"unit": "s"})

    @field_validator("k_points", mode="before")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        if value is not None and any(number < 1 for number in value):
            raise ValueError(f"k_points {value}: every number must be 1 or more")
        return value

    @classmethod
    def of(cls, labelled: LabelledStructure, **how: Any) -> Label:
        """Make the document of a labelled structure.

        Parameters
        ----------
        labelled : LabelledStructure
            Structure and label.
        **how : Any
            The other fields: code_version, cpu_time_s, k_points and so on.

        Returns
        -------
        Label
            The document.
        """
        stress = labelled.stress_eV_per_A3
        return cls(
            geometry_sha256=labelled.geometry_hash,
            label_sha256=labelled.content_hash,
            parent_configuration=labelled.parent_configuration,
            source=labelled.source,
            species=list(labelled.species),
            positions_A=labelled.positions.tolist(),
            cell_A=labelled.cell.tolist(),
            energy_eV=labelled.energy_eV,
            forces_eV_per_A=labelled.forces_eV_per_A.tolist(),
            stress_eV_per_A3=None if stress is None else stress.tolist(),
            level_of_theory=labelled.level_of_theory,
            code=labelled.level_of_theory.code,
            **how,
        )

    def to_labelled(self) -> LabelledStructure:
        """Give the labelled structure as arrays.

        Returns
        -------
        LabelledStructure
            With the same content hash.
        """
        import numpy as np

        return LabelledStructure(
            species=tuple(self.species),
            positions=np.array(self.positions_A),
            cell=np.array(self.cell_A),
            energy_eV=self.energy_eV,
            forces_eV_per_A=np.array(self.forces_eV_per_A),
            stress_eV_per_A3=None if self.stress_eV_per_A3 is None else np.array(self.stress_eV_per_A3),
            level_of_theory=self.level_of_theory,
            parent_configuration=self.parent_configuration,
            source=self.source,
        )


class LabelSummary(Document):
    """What the output of a batch says of one label; the label itself is in the blob."""

    geometry_sha256: str = Field(description="Hash of the structure without its label")
    label_sha256: str = Field(description="Hash of structure, label and level of theory")
    parent_configuration: str = Field(description="Id of the ordering or crystal it was sampled from")
    source: str = Field(description="Where the structure is from")


class LabelFailure(Document):
    """A structure that has no label, and why."""

    geometry_sha256: str = Field(description="Hash of the structure")
    parent_configuration: str = Field(description="Id of the ordering or crystal it was sampled from")
    source: str = Field(description="Where the structure is from")
    reason: str = Field(description="Why: not converged, or the calculation failed")


class LabelBatchOutput(Document):
    """What one batch of labelled structures leaves in ``outputs``; the labels are in the blob store."""

    kind: Literal["label_batch"] = "label_batch"
    calculation_key: str = Field(description="Hash of structures, level of theory and limits")
    level_of_theory: LevelOfTheory = Field(description="What was asked for")
    level_identifier: str = Field(description="Short hash of the level of theory")
    labels: list[LabelSummary] = Field(description="Structures that have a label")
    failures: list[LabelFailure] = Field(description="Structures that have none")
    n_reused: int = Field(0, ge=0, description="Labels that an earlier batch had made")
    packed: BlobReference = Field(description="All labels, packed")
    inputs: list[str] = Field(default_factory=list, description="uuids of the jobs it came from")
    cpu_time_s: float = Field(description="Cost of the labels computed here", json_schema_extra={"unit": "s"})
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


class UnlabelledStructure(Document):
    """A structure to be labelled, with where it is from."""

    structure: dict[str, Any] = Field(description="Ordered crystal, pymatgen as_dict")
    parent_configuration: str = Field(description="Id of the ordering or crystal it was sampled from")
    source: str = Field(description="Where it is from, such as outputs/<uuid> frame 120")


def pack_labels(labels: Iterable[Label]) -> bytes:
    """Pack labels, the form of a batch in the blob store.

    Parameters
    ----------
    labels : iterable of Label
        The labels.

    Returns
    -------
    bytes
        zstd-compressed JSON; the same for the same labels in any order.
    """
    content = sorted((label.model_dump(mode="json") for label in labels), key=lambda c: c["label_sha256"])
    return zstandard.compress(json.dumps(content, sort_keys=True).encode(), 3)


def unpack_labels(data: bytes) -> list[Label]:
    """Undo :func:`pack_labels`, checking every label against its hash.

    Parameters
    ----------
    data : bytes
        Packed labels.

    Returns
    -------
    list of Label
        In order of their hashes.

    Raises
    ------
    InputError
        If the bytes are no packed labels, or a label is not what its hash says.
    """
    try:
        labels = [Label.model_validate(content) for content in json.loads(zstandard.decompress(data))]
    except (zstandard.ZstdError, ValueError) as error:
        raise InputError(f"packed labels: cannot be read ({error})") from error
    for label in labels:
        if label.to_labelled().content_hash != label.label_sha256:
            raise InputError(f"label {label.label_sha256[:12]}: its content was changed; label it again")
    return labels


def pack_unlabelled(structures: Iterable[UnlabelledStructure]) -> bytes:
    """Pack structures to be labelled, the form of a batch in the blob store.

    Parameters
    ----------
    structures : iterable of UnlabelledStructure
        In the order in which they are to be labelled.

    Returns
    -------
    bytes
        zstd-compressed JSON.
    """
    content = [structure.model_dump(mode="json") for structure in structures]
    return zstandard.compress(json.dumps(content, sort_keys=True).encode(), 3)


def unpack_unlabelled(data: bytes) -> list[UnlabelledStructure]:
    """Undo :func:`pack_unlabelled`.

    Parameters
    ----------
    data : bytes
        Packed structures.

    Returns
    -------
    list of UnlabelledStructure
        In the same order.
    """
    return [UnlabelledStructure.model_validate(content) for content in json.loads(zstandard.decompress(data))]


def label_batch_key(structures_sha256: str, level: LevelOfTheory, limits: dict[str, Any]) -> str:
    """Give the idempotency key of a batch of labels.

    Parameters
    ----------
    structures_sha256 : str
        Hash of the packed structures, with their parents and sources.
    level : LevelOfTheory
        What the labels are made with.
    limits : dict
        Settings that decide what is given up, such as the most electronic steps.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    return content_hash(
        {
            "kind": "label_batch",
            "meaning": MEANING_VERSION,
            "structures": structures_sha256,
            "level": level.model_dump(mode="json"),
            "limits": limits,
        }
    )
