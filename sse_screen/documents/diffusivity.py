"""Stored form of a diffusivity: one material, potential, mobile ion, protocol and temperature."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import (
    DerivedDocument,
    Document,
    PotentialIdentity,
    Quantity,
    Verdict,
    content_hash,
)
from sse_screen.documents.molecular_dynamics import Ensemble, MolecularDynamicsOutput
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.anisotropy import DiffusivityTensor, diffusivity_tensor
from sse_screen.transport.conductivity import conductivity
from sse_screen.transport.diffusivity import Curve, Fitted, FitWindow, TracerDiffusivity, fit_ensemble, judge
from sse_screen.transport.ensemble import Ensemble as Pieces
from sse_screen.transport.ensemble import prepare_ensemble
from sse_screen.transport.gates import Gate

_DIFFUSIVITY: JsonDict = {"unit": "cm2/s"}
_CONDUCTIVITY: JsonDict = {"unit": "S/cm"}
_NUMBER: JsonDict = {"unit": "1"}
_PICOSECONDS: JsonDict = {"unit": "ps"}
_KELVIN: JsonDict = {"unit": "K"}


class DynamicsConditions(Document):
    """What runs must share to be pooled: the protocol without duration and seed, and the cell's size."""

    ensemble: Ensemble = Field(description="Ensemble of the production part")
    time_step_fs: float = Field(description="Integration step", json_schema_extra={"unit": "fs"})
    frame_interval_fs: float = Field(description="Time between frames", json_schema_extra={"unit": "fs"})
    thermostat_time_fs: float = Field(
        description="Relaxation time of the thermostat", json_schema_extra={"unit": "fs"}
    )
    barostat_time_fs: float | None = Field(
        description="Relaxation time of the barostat (npt)", json_schema_extra={"unit": "fs"}
    )
    pressure_bar: float | None = Field(description="Pressure (npt)", json_schema_extra={"unit": "bar"})
    n_atoms: int = Field(description="Atoms in the simulated cell", json_schema_extra=_NUMBER)

    @classmethod
    def of(cls, output: MolecularDynamicsOutput) -> Self:
        """Take the conditions of one run.

        Parameters
        ----------
        output : MolecularDynamicsOutput
            The run.

        Returns
        -------
        DynamicsConditions
            Its conditions; barostat and pressure only where there is one.
        """
        return cls(**conditions_of(output.protocol.model_dump(), output.n_atoms))


def conditions_of(protocol: dict[str, Any], n_atoms: int) -> dict[str, Any]:
    """Pick from a stored protocol what runs must share.

    Parameters
    ----------
    protocol : dict
        Content of a ``MolecularDynamicsProtocol``.
    n_atoms : int
        Atoms in the simulated cell.

    Returns
    -------
    dict
        Content of :class:`DynamicsConditions`.
    """
    has_barostat = protocol["ensemble"] == "npt"
    return {
        "ensemble": protocol["ensemble"],
        "time_step_fs": float(protocol["time_step_fs"]),
        "frame_interval_fs": float(protocol["frame_interval_fs"]),
        "thermostat_time_fs": float(protocol["thermostat_time_fs"]),
        "barostat_time_fs": float(protocol["barostat_time_fs"]) if has_barostat else None,
        "pressure_bar": float(protocol["pressure_bar"]) if has_barostat else None,
        "n_atoms": n_atoms,
    }


class SpeciesDisplacement(Document):
    """Mean squared displacement of one species against lag time, for plots."""

    species: str = Field(description="Element")
    mobile: bool = Field(description="True for the mobile ion, false for the framework")
    times_ps: list[float] = Field(description="Lag times, geometric", json_schema_extra=_PICOSECONDS)
    values_A2: list[float] = Field(
        description="Mean squared displacements", json_schema_extra={"unit": "angstrom^2"}
    )


class DiffusivityDoc(DerivedDocument):
    """Diffusivity and conductivity of one mobile ion at one temperature, all replicas pooled."""

    collection: ClassVar[str] = "diffusivity"
    meaning_version: ClassVar[str] = "7"
    group_fields: ClassVar[tuple[str, ...]] = (
        "material_id",
        "potential_sha256",
        "mobile_ion",
        "protocol_id",
        "temperature_K",
    )

    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(
        description="Charge of the mobile ion in units of e", json_schema_extra=_NUMBER
    )
    potential: PotentialIdentity = Field(description="Potential of the dynamics")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    protocol: DynamicsConditions = Field(description="What the pooled runs share")
    protocol_id: str = Field(description="Hash of these conditions")
    temperature_K: float = Field(description="Target temperature", gt=0, json_schema_extra=_KELVIN)
    mean_temperature_K: float = Field(description="Measured, over all runs", json_schema_extra=_KELVIN)
    mean_volume_A3: float = Field(
        description="Mean volume of the cell", json_schema_extra={"unit": "angstrom^3"}
    )
    n_ions: int = Field(description="Mobile ions in the cell", json_schema_extra=_NUMBER)
    n_replicas: int = Field(description="Independent runs pooled", json_schema_extra=_NUMBER)
    total_time_ps: float = Field(description="Length of all runs together", json_schema_extra=_PICOSECONDS)
    n_jumps: float = Field(
        description="Effective jumps: squared displacement of all ions over the squared hop",
        json_schema_extra=_NUMBER,
    )
    concerted_ions: float = Field(
        1.0,
        description="Ions that move together, which widens intervals by its root; 1 where that is not seen",
        json_schema_extra=_NUMBER,
    )
    verdict: Verdict = Field(description="What the diffusivity may be taken for")
    flags: list[str] = Field(description="Tests that did not pass, such as framework: warning")
    tracer_diffusivity: Quantity = Field(description="Tracer diffusivity", json_schema_extra=_DIFFUSIVITY)
    conductivity: Quantity = Field(
        description="Nernst-Einstein conductivity (Haven ratio 1)", json_schema_extra=_CONDUCTIVITY
    )
    haven_ratio: Quantity = Field(
        description="Tracer over charge diffusivity; unresolved, and without a value, when its interval "
        "spans more than a factor 3",
        json_schema_extra=_NUMBER,
    )
    charge_diffusivity: Quantity = Field(
        description="Diffusivity of the collective displacement", json_schema_extra=_DIFFUSIVITY
    )
    charge_conductivity: Quantity = Field(
        description="Conductivity from the charge diffusivity", json_schema_extra=_CONDUCTIVITY
    )
    slope: Quantity = Field(
        description="Slope over six, also where it is not the diffusivity (verdict unresolved then)",
        json_schema_extra=_DIFFUSIVITY,
    )
    tensor: DiffusivityTensor | None = Field(
        None, description="Diffusivity tensor, along and between the lattice vectors of the simulated cell"
    )
    hop_distance_A: float = Field(
        description="Distance between sites that was used", json_schema_extra={"unit": "angstrom"}
    )
    local_exponent: float | None = Field(
        description="d ln MSD / d ln t in the fit's window", json_schema_extra=_NUMBER
    )
    he_2018_log_error: float | None = Field(
        description="Second opinion: relative error of D by He, Zhu, Epstein, Mo 2018",
        json_schema_extra=_NUMBER,
    )
    fit_window: FitWindow | None = Field(description="Where and how the slope was taken")
    mean_squared_displacements: list[SpeciesDisplacement] = Field(
        description="One curve a species, the mobile ion first"
    )
    tests: list[Gate] = Field(description="Every test with its outcome")

    @classmethod
    def from_trajectories(
        cls,
        outputs: Sequence[MolecularDynamicsOutput],
        trajectories: Sequence[Trajectory],
        *,
        confidence: float = 0.95,
        hop_distance_A: float | None = None,
        window_ps: tuple[float, float] | None = None,
    ) -> Self:
        """Pool replicas and estimate diffusivity and conductivity.

        Parameters
        ----------
        outputs : sequence of MolecularDynamicsOutput
            The runs, all of one group.
        trajectories : sequence of Trajectory
            Their production parts, in the same order.
        confidence : float
            Probability of the intervals.
        hop_distance_A : float, optional
            Distance between sites (Å); that between neighbouring mobile ions if left out.
        window_ps : tuple of float, optional
            First and last lag of the fit (ps); chosen from the data if left out.

        Returns
        -------
        DiffusivityDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            When the runs do not belong together, or the trajectories cannot be pooled.
        """
        group = common_group(outputs)
        first = outputs[0]
        ensemble = prepare_ensemble(trajectories, first.mobile_ion)
        fitted = fit_ensemble(ensemble, hop_distance_A=hop_distance_A, window_ps=window_ps)
        found = judge(ensemble, fitted, confidence=confidence, run_gates=_run_gates(outputs))
        measured_K = mean_over_runs(outputs, [output.mean_temperature_K for output in outputs])
        # without a thermostat the target is only where the run started
        temperature_K = measured_K if first.protocol.ensemble == "nve" else first.temperature_K
        charges = conductivity(
            ensemble, fitted, found.tracer_diffusivity, first.charge_number, temperature_K, confidence
        )
        return cls(
            id=cls.id_of(group),
            **group,
            **first.model_dump(include={"material_name", "formula", "chemical_system", "elements"}),
            charge_number=first.charge_number,
            potential=first.potential,
            protocol=DynamicsConditions.of(first),
            mean_temperature_K=measured_K,
            mean_volume_A3=ensemble.volume_A3,
            n_replicas=len(outputs),
            conductivity=charges.nernst_einstein_conductivity,
            charge_diffusivity=charges.charge_diffusivity,
            charge_conductivity=charges.charge_conductivity,
            haven_ratio=charges.haven_ratio,
            tensor=_tensor(ensemble, fitted, found, confidence),
            mean_squared_displacements=_curves(first.mobile_ion, found),
            **_numbers(found),
        )


def _tensor(
    ensemble: Pieces, fitted: Fitted, found: TracerDiffusivity, confidence: float
) -> DiffusivityTensor | None:
    """Give the tensor with verdicts no better than the tracer's; none where that is refused."""
    if found.tracer_diffusivity.verdict == "refused":
        return None
    tensor = diffusivity_tensor(ensemble, fitted, confidence)
    return None if tensor is None else tensor.no_better_than(found.tracer_diffusivity)


def common_group(outputs: Sequence[MolecularDynamicsOutput]) -> dict[str, Any]:
    """Give the values of the group fields that runs share.

    Parameters
    ----------
    outputs : sequence of MolecularDynamicsOutput
        The runs.

    Returns
    -------
    dict
        Value by group field.

    Raises
    ------
    InputError
        When there is no run, or two differ in one of them.
    """
    groups = [group_of(output.model_dump(exclude={"structure"})) for output in outputs]
    if not groups:
        raise InputError("a diffusivity needs at least one run; there are none")
    for group in groups[1:]:
        for name, value in group.items():
            if value != groups[0][name]:
                raise InputError(f"runs to be pooled differ in {name}: {groups[0][name]} and {value}")
    return groups[0]


def group_of(output: dict[str, Any]) -> dict[str, Any]:
    """Give the values of the group fields of one stored run.

    Parameters
    ----------
    output : dict
        Content of a ``MolecularDynamicsOutput``; the structure is not needed.

    Returns
    -------
    dict
        Value by group field.
    """
    return {
        "material_id": output["material_id"],
        "potential_sha256": output["potential"]["weights_sha256"],
        "mobile_ion": output["mobile_ion"],
        "protocol_id": _protocol_id(tuple(conditions_of(output["protocol"], output["n_atoms"]).items())),
        "temperature_K": float(output["temperature_K"]),
    }


@lru_cache(maxsize=1024)
def _protocol_id(conditions: tuple[tuple[str, Any], ...]) -> str:
    """Hash conditions; cached, because thousands of runs share a few of them."""
    return content_hash(dict(conditions))[:12]


def mean_over_runs(outputs: Sequence[MolecularDynamicsOutput], values: Sequence[float]) -> float:
    """Average over runs by their length.

    Parameters
    ----------
    outputs : sequence of MolecularDynamicsOutput
        The runs.
    values : sequence of float
        One a run, in any unit.

    Returns
    -------
    float
        In the same unit.
    """
    return float(np.average(values, weights=[output.production_ps for output in outputs]))


def _run_gates(outputs: Sequence[MolecularDynamicsOutput]) -> list[Gate]:
    """Say what the runs themselves told: one that ended because its framework failed leaves no number."""
    stopped = sorted({output.stopped for output in outputs if output.stopped is not None})
    warnings = sorted({text for output in outputs if output.stopped is None for text in output.warnings})
    return [
        *(Gate(name="framework", outcome="refused", message=reason) for reason in stopped),
        *(Gate(name="run", outcome="warning", message=text) for text in warnings),
    ]


def _numbers(found: TracerDiffusivity) -> dict[str, Any]:
    """Take over what the estimator says."""
    return {
        "n_ions": found.n_ions,
        "total_time_ps": found.total_time_ps,
        "n_jumps": found.effective_jumps,
        "concerted_ions": found.concerted_ions,
        "verdict": found.tracer_diffusivity.verdict,
        "flags": [f"{gate.name}: {gate.outcome}" for gate in found.gates if gate.outcome != "passed"],
        "tracer_diffusivity": found.tracer_diffusivity,
        "slope": found.estimate,
        "hop_distance_A": found.hop_distance_A,
        "local_exponent": found.local_exponent,
        "he_2018_log_error": found.he_2018_log_error,
        "fit_window": found.window,
        "tests": found.gates,
    }


def _curves(mobile_ion: str, found: TracerDiffusivity) -> list[SpeciesDisplacement]:
    """Gather the curves of all species."""
    curves: list[tuple[str, Curve]] = [(mobile_ion, found.mean_squared_displacement)]
    curves += sorted(found.framework_mean_squared_displacement.items())
    return [
        SpeciesDisplacement(
            species=species, mobile=i == 0, times_ps=curve.times_ps, values_A2=curve.values_A2
        )
        for i, (species, curve) in enumerate(curves)
    ]
