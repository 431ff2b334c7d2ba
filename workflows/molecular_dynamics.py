"""Jobs and flows of molecular dynamics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, Maker, OutputReference, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.molecular_dynamics import (
    MolecularDynamicsOutput,
    MolecularDynamicsProtocol,
    Purpose,
    history_key,
    molecular_dynamics_key,
)
from sse_screen.dynamics.framework_state import framework_failure
from sse_screen.dynamics.molecular_dynamics import (
    MolecularDynamicsResult,
    Monitor,
    continue_from,
    has_begun,
    run_molecular_dynamics,
)
from sse_screen.dynamics.trajectory_file import stored_size
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.workflows.relaxation import RelaxationMaker, composition_fields
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker
from sse_screen.workflows.stopping import STOPPING

if TYPE_CHECKING:
    from sse_screen.workflows.extension import ExtensionMaker


@dataclass
class MolecularDynamicsMaker(Maker):
    """Run molecular dynamics at one temperature.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    protocol : MolecularDynamicsProtocol
        Ensemble, steps, intervals.
    minimum_length_A : float
        The cell is repeated until no perpendicular width is below (Å).
    stop_early : bool
        End the run when the framework melts or decomposes.
    purpose : {"transport", "sampling"}
        Runs for sampling are not analysed.
    """

    potential: PotentialIdentity
    protocol: MolecularDynamicsProtocol = field(default_factory=MolecularDynamicsProtocol)
    minimum_length_A: float = 8.0
    stop_early: bool = True
    purpose: Purpose = "transport"
    name: str = "molecular dynamics"

    @job
    def make(
        self,
        structure: Structure | dict[str, Any],
        material: dict[str, Any],
        temperature_K: float,
        seed: int,
        inputs: list[str] | None = None,
    ) -> Response[MolecularDynamicsOutput]:
        """Run, or continue where a killed worker stopped.

        Parameters
        ----------
        structure : Structure
            Relaxed unit cell.
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        temperature_K : float
            Target temperature (K).
        seed : int
            Seed of velocities and thermostat.
        inputs : list of str, optional
            uuids of the jobs that the structure is from.

        Returns
        -------
        Response
            A :class:`MolecularDynamicsOutput`.
        """
        cell = structure if isinstance(structure, Structure) else Structure.from_dict(structure)
        supercell = supercell_with_minimum_length(cell, self.minimum_length_A)
        labels = {**material, "purpose": self.purpose, "inputs": inputs or []}
        start = (structure_hash(supercell), self.potential, self.protocol)
        watched_ion = material["mobile_ion"] if self.stop_early else None
        key = molecular_dynamics_key(*start, temperature_K, seed, watched_ion=watched_ion)
        same_history = history_key(*start, temperature_K, seed)

        def judged_key(shorter: MolecularDynamicsProtocol) -> str | None:
            """Give the key that a shorter run must have because this one ends when its framework fails."""
            if watched_ion is None:
                return None
            return molecular_dynamics_key(*start[:2], shorter, temperature_K, seed, watched_ion=watched_ion)

        def compute(folder: Path) -> MolecularDynamicsOutput:
            """Run in the folder and upload the trajectory."""
            if not has_begun(folder):
                _continue_shorter_run(same_history, self.protocol, folder, judged_key)
            result = self._run(supercell, material, temperature_K, seed, folder)
            return MolecularDynamicsOutput(
                calculation_key=key,
                history_key=same_history,
                continued_from=result.continued_from,
                n_continued_steps=result.n_continued_steps,
                **labels,
                **composition_fields(supercell),
                structure=supercell.as_dict(),
                potential=self.potential,
                protocol=self.protocol,
                temperature_K=temperature_K,
                seed=seed,
                **_stored_fields(result, self.protocol),
                warnings=[*self.potential.warnings, *_warnings(result, inputs or [])],
                versions=versions(),
            )

        return once(key, MolecularDynamicsOutput, compute, labels)

    def _run(
        self, supercell: Structure, material: dict[str, Any], temperature_K: float, seed: int, folder: Path
    ) -> MolecularDynamicsResult:
        return run_molecular_dynamics(
            AseAtomsAdaptor.get_atoms(supercell, msonable=False),
            calculator_for(self.potential),
            self.protocol,
            temperature_K,
            seed,
            folder,
            reporter(folder, f"{material['material_name']} {temperature_K:g} K"),
            monitor=_framework_monitor(material["mobile_ion"]) if self.stop_early else None,
            pause=STOPPING.must_stop,
        )


def _framework_monitor(mobile_ion: str) -> Monitor:
    return lambda first, latest: framework_failure(first, latest, mobile_ion)


def _continue_shorter_run(
    same_history: str,
    protocol: MolecularDynamicsProtocol,
    folder: Path,
    judged_key: Callable[[MolecularDynamicsProtocol], str | None],
) -> None:
    """Put the end of the longest finished run that begins alike, if there is one, into the folder."""
    query = {
        "output.history_key": same_history,
        "output.stopped": None,
        "output.checkpoint": {"$ne": None},
        "output.protocol.production_ps": {"$lt": protocol.production_ps},
    }
    for shorter in worker().database[OUTPUTS].find(query, sort=[("output.protocol.production_ps", -1)]):
        output, blobs = shorter["output"], worker().blobs
        # a run that nobody judged may have gone on where this one would have ended
        needed = judged_key(MolecularDynamicsProtocol.model_validate(output["protocol"]))
        if needed in (None, output["calculation_key"]):
            trajectory_file = blobs.get_file(output["trajectory"]["sha256"], folder / "shorter.h5")
            continue_from(folder, blobs.get(output["checkpoint"]["sha256"]), trajectory_file, shorter["uuid"])
            return


def _stored_fields(result: MolecularDynamicsResult, protocol: MolecularDynamicsProtocol) -> dict[str, Any]:
    """Upload trajectory and checkpoint; give the fields that say what was stored and how it went."""
    started = time.perf_counter()
    blobs, size = worker().blobs, stored_size(result.trajectory_file)
    # of a run that never becomes stationary everything is kept, with a warning
    left_out = result.equilibration.start if result.equilibration.stationary else 0
    return {
        "trajectory": blobs.put_file(result.trajectory_file, "application/x-hdf5"),
        "checkpoint": blobs.put_file(result.checkpoint_file),
        "n_frames": result.n_frames,
        "stored_bytes_per_atom_and_frame": size.bytes_per_atom_and_frame,
        "stored_tolerance_A": size.tolerance_A,
        "equilibrated_after_ps": left_out * protocol.frame_interval_fs / 1000,
        "stopped": result.stopped,
        "mean_temperature_K": result.mean_temperature_K,
        "mean_volume_A3": result.mean_volume_A3,
        "n_steps": result.n_steps,
        "potential_time_s": result.potential_time_s,
        "total_time_s": result.total_time_s + time.perf_counter() - started,
    }


def _warnings(result: MolecularDynamicsResult, inputs: list[str]) -> list[str]:
    """Say what a reader of the run has to know."""
    warnings = []
    if result.stopped is not None:
        warnings.append(f"ended before its time: {result.stopped}")
    if not result.equilibration.stationary:
        warnings.append("energy or volume had not become stationary in the first half of the production")
    not_converged = {"uuid": {"$in": inputs}, "output.kind": "relaxation", "output.converged": False}
    for relaxation in worker().database[OUTPUTS].find(not_converged, {"output.maximum_force_eV_per_A": 1}):
        force = relaxation["output"]["maximum_force_eV_per_A"]
        warnings.append(f"it started from a cell whose relaxation did not converge ({force:.3g} eV/Å left)")
    return warnings


@dataclass
class DiffusionFlowMaker(Maker):
    """Relax a crystal, then run it at several temperatures, each with its replicas.

    Parameters
    ----------
    relaxation : RelaxationMaker
        First step.
    dynamics : MolecularDynamicsMaker
        Every run.
    temperatures_K : tuple of float
        Temperatures (K).
    replicas : int
        Runs a temperature, each with its own seed.
    seed : int
        Seed of the campaign; each run's is derived from it, the crystal, the temperature and the replica, so
        that a campaign that grows keeps the runs it has.
    extension : ExtensionMaker, optional
        Decides whether the runs go on; they are as long as the protocol says if left out.
    """

    relaxation: RelaxationMaker
    dynamics: MolecularDynamicsMaker
    temperatures_K: tuple[float, ...]
    replicas: int = 1
    seed: int = 1
    extension: ExtensionMaker | None = None
    name: str = "diffusion"

    def make(
        self,
        structure: Structure,
        material_name: str,
        mobile_ion: str,
        charge_number: int,
        composition_spaces: list[str] | None = None,
    ) -> Flow:
        """Compose the flow.

        Parameters
        ----------
        structure : Structure
            Ordered unit cell.
        material_name : str
            Name in the campaign.
        mobile_ion : str
            Mobile element.
        charge_number : int
            Its charge in units of e.
        composition_spaces : list of str, optional
            Spaces whose hull the relaxed crystal belongs to.

        Returns
        -------
        Flow
            Relaxation and runs.
        """
        relaxation = self.relaxation.make(structure, material_name, composition_spaces)
        relaxation.name = f"{material_name} relaxation"
        material: dict[str, Any] = {
            "material_id": structure_hash(structure),
            "material_name": material_name,
            "mobile_ion": mobile_ion,
            "charge_number": charge_number,
        }
        relaxed: OutputReference = relaxation.output.structure
        jobs: list[Job | Flow] = [relaxation]
        inputs = [relaxation.uuid]
        for temperature_K in sorted(map(float, self.temperatures_K), reverse=True):
            seeds = [
                derived_seed(self.seed, material["material_id"], temperature_K, replica)
                for replica in range(self.replicas)
            ]
            runs = [self.dynamics.make(relaxed, material, temperature_K, seed, inputs) for seed in seeds]
            for number, run in enumerate(runs, 1):
                run.name = f"{material_name} {temperature_K:g} K run {number}"
            jobs += runs
            if self.extension is not None:
                jobs.append(self.extension.decide(runs, relaxed, material, temperature_K, seeds, inputs))
        return Flow(jobs, name=f"{material_name} {self.name}")


def derived_seed(seed: int, material_id: str, temperature_K: float, replica: int) -> int:
    """Derive the seed of a run from what it is, so that it does not depend on what else is run.

    Parameters
    ----------
    seed : int
        Seed of the campaign.
    material_id : str
        Hash of the crystal.
    temperature_K : float
        Target temperature (K).
    replica : int
        Number of the replica, from 0.

    Returns
    -------
    int
        Below 2**32.
    """
    return int(content_hash([seed, material_id, float(temperature_K), replica])[:8], 16)
