"""Output of a batch of constant-energy runs of configurations, for vibrational free energies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import zstandard
from pydantic import Field

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol


class VibrationResult(Document):
    """One configuration at one temperature."""

    configuration_id: str = Field(description="Content id of the ordering before relaxation")
    temperature_K: float = Field(description="Target temperature", json_schema_extra={"unit": "K"})
    free_energy_eV_per_cell: float | None = Field(
        description="Relaxed energy and vibrations; null when the run failed",
        json_schema_extra={"unit": "eV/cell"},
    )
    entropy_eV_per_K_per_cell: float | None = Field(
        description="Vibrational entropy; null when the run failed", json_schema_extra={"unit": "eV/K/cell"}
    )
    usable: bool = Field(description="False when a flag forbids to use it in a sum over configurations")
    flags: list[str] = Field(description="Site changes, drift, temperature, failure of the run")
    total_time_s: float | None = Field(
        None, description="What its run took, its share of a batch", json_schema_extra={"unit": "s"}
    )


class _Batch(Document):
    """What batches of vibrations share, of whichever route."""

    calculation_key: str = Field(description="Hash of structures, potential, protocol, temperatures, seed")
    parent_id: str = Field(description="Hash of the disordered parent")
    parent_name: str = Field(description="Name given in the campaign")
    occupancy_class: str = Field(description="Occupied sites per sublattice")
    formula: str = Field(description="Reduced formula of the configurations")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the cell", gt=0)
    potential: PotentialIdentity
    relaxation_level: str = Field(description="Level of theory of the relaxed energies")
    results: list[VibrationResult]
    n_reused: int = Field(0, description="Of them, those that another batch had run")
    documents: BlobReference = Field(
        description="One document of vibrational_free_energy a line, in the order of results with a number"
    )
    inputs: list[str] = Field(default_factory=list, description="uuids of the jobs it came from")
    potential_time_s: float = Field(description="In the potential", json_schema_extra={"unit": "s"})
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


class VibrationBatchOutput(_Batch):
    """What one batch of constant-energy runs leaves in ``outputs``; the spectra are in the blob store."""

    kind: Literal["vibration_batch"] = "vibration_batch"
    protocol: MolecularDynamicsProtocol
    seed: int = Field(description="Seed of the batch; each run's is derived from it and its configuration")


class PhononProtocol(Document):
    """How atoms are displaced."""

    displacement_A: float = Field(
        0.01, gt=0, description="Finite displacement", json_schema_extra={"unit": "angstrom"}
    )
    minimum_length_A: float = Field(
        12.0, gt=0, description="Shortest vector of the supercell", json_schema_extra={"unit": "angstrom"}
    )
    maximum_force_eV_per_A: float = Field(
        1e-4,
        gt=0,
        description="Of the relaxation before, which imaginary modes depend on",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    relax_cell: bool = Field(False, description="Relax the cell as well as the positions")


class PhononBatchOutput(_Batch):
    """What one batch of phonons leaves in ``outputs``; the spectra are in the blob store."""

    kind: Literal["phonon_batch"] = "phonon_batch"
    protocol: PhononProtocol


def pack_documents(documents: Iterable[str]) -> bytes:
    """Pack documents of a batch for the blob store.

    Parameters
    ----------
    documents : iterable of str
        JSON of one document each.

    Returns
    -------
    bytes
        zstd-compressed lines.
    """
    return zstandard.compress("\n".join(documents).encode(), 3)


def unpack_documents(packed: bytes) -> list[bytes]:
    """Undo :func:`pack_documents`.

    Parameters
    ----------
    packed : bytes
        Compressed lines.

    Returns
    -------
    list of bytes
        JSON of one document each.
    """
    return zstandard.decompress(packed).splitlines()
