"""What a potential has to pass before it is used in production."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from sse_screen.documents.base import Document, PotentialIdentity, Specification, content_hash

MEANING_VERSION = "2"


class GateProtocol(Specification):
    """How the gates are run and what they allow."""

    shortest_distance_A: float = Field(
        0.6, gt=0, description="No two atoms may come closer", json_schema_extra={"unit": "angstrom"}
    )
    dimer_step_A: float = Field(
        0.02, gt=0, le=0.05, description="Step of the dimer curves", json_schema_extra={"unit": "angstrom"}
    )
    smooth_from: float = Field(
        0.7,
        gt=0,
        description="Dimer curves are smooth from this share of the sum of covalent radii on",
        json_schema_extra={"unit": "1"},
    )
    largest_dimer_jump_eV: float = Field(
        0.1,
        gt=0,
        description="Largest difference between a step in energy and the force integrated over it",
        json_schema_extra={"unit": "eV"},
    )
    minimum_length_A: float = Field(
        8.0,
        gt=0,
        description="Smallest width of the cells of both runs",
        json_schema_extra={"unit": "angstrom"},
    )
    maximum_crystals: int = Field(
        3, ge=1, description="Crystals of the runs, one a composition", json_schema_extra={"unit": "1"}
    )
    hot_temperature_K: float = Field(
        1200.0, gt=0, description="Of the hot run", json_schema_extra={"unit": "K"}
    )
    hot_time_ps: float = Field(1.0, gt=0, description="Its length", json_schema_extra={"unit": "ps"})
    drift_temperature_K: float = Field(
        600.0, gt=0, description="Of the run at constant energy", json_schema_extra={"unit": "K"}
    )
    drift_time_ps: float = Field(1.0, gt=0, description="Its length", json_schema_extra={"unit": "ps"})
    time_step_fs: float = Field(1.0, gt=0, le=2, description="Of both runs", json_schema_extra={"unit": "fs"})
    largest_drift_eV_per_atom_ps: float = Field(
        1e-3, gt=0, description="At constant energy", json_schema_extra={"unit": "eV/atom/ps"}
    )
    largest_forgetting: float = Field(
        0.3,
        gt=0,
        description="RMSE of forces against the parent's on the reference set, over their root mean square",
        json_schema_extra={"unit": "1"},
    )
    largest_shift_eV_per_atom: float = Field(
        0.01,
        gt=0,
        description="Errors in energy that a composition explains, on labelled structures not learnt from",
        json_schema_extra={"unit": "eV/atom"},
    )
    seed: int = Field(1, ge=0, description="Seed of velocities and displacements")


class GateResult(Document):
    """One gate."""

    gate: Literal["dimers", "hot_dynamics", "energy_drift", "forgetting", "composition_shift"]
    passed: bool = Field(description="Whether the potential passed")
    value: float | None = Field(description="What was measured; null where nothing could be")
    limit: float = Field(description="What it must not exceed (hot_dynamics: not fall below)")
    unit: str = Field(description="Unit of value and limit")
    detail: str = Field(description="On what it was measured, and why it failed")


class PotentialGatesOutput(Document):
    """What one run of the gates leaves in ``outputs``."""

    kind: Literal["potential_gates"] = "potential_gates"
    calculation_key: str = Field(description="Hash of potential, structures, labels and protocol")
    weights_sha256: str = Field(description="The potential's weights")
    potential: PotentialIdentity
    protocol: GateProtocol
    results: list[GateResult]
    passed: bool = Field(description="Whether all gates were passed")
    checked_at: datetime = Field(description="When (UTC)")
    inputs: list[str] = Field(default_factory=list, description="uuids of jobs it came from")
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")


def gates_key(
    potential: PotentialIdentity,
    parent: PotentialIdentity | None,
    tested_on: list[str],
    protocol: GateProtocol,
) -> str:
    """Give the idempotency key of a run of the gates.

    Parameters
    ----------
    potential, parent : PotentialIdentity
        Only codes and hashes of the weights count.
    tested_on : list of str
        Hashes of structures and labels.
    protocol : GateProtocol
        How the gates are run.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    content = {
        "kind": "potential_gates",
        "meaning": MEANING_VERSION,
        "potential": [potential.code, potential.weights_sha256],
        "parent": None if parent is None else [parent.code, parent.weights_sha256],
        "tested_on": sorted(tested_on),
        "protocol": protocol.model_dump(mode="json"),
    }
    return content_hash(content)
