"""Jobs that run relaxed configurations at constant energy for their vibrational free energies."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from jobflow import Maker, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import ConfigurationBatchOutput, ConfigurationResult, relaxation_level
from sse_screen.documents.vibration_batch import VibrationBatchOutput, VibrationResult
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.dynamics.molecular_dynamics import DynamicsError, run_molecular_dynamics, write_durably
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.exceptions import InputError
from sse_screen.workflows.relaxation import unpack_structures
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker


def constant_energy_protocol() -> MolecularDynamicsProtocol:
    """Give the protocol of Yang 2025: 6 ps at 1 fs after equilibration, velocities every 4 fs.

    Returns
    -------
    MolecularDynamicsProtocol
        Constant energy; a thermostat would contaminate the spectrum.
    """
    return MolecularDynamicsProtocol(
        ensemble="nve",
        time_step_fs=1.0,
        equilibration_ps=1.0,
        production_ps=6.0,
        frame_interval_fs=4.0,
        store_velocities=True,
    )


@dataclass
class VibrationBatchMaker(Maker):
    """Run configurations of a relaxed batch at constant energy, restartable in the middle.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    temperatures_K : tuple of float
        Targets of the equilibration (K).
    protocol : MolecularDynamicsProtocol
        Constant energy with velocities stored.
    seed : int
        Every run's seed is derived from it, the configuration and the temperature.
    maximum_configurations : int, optional
        Only the first so many by id, which is as good as random since ids are hashes.
    """

    potential: PotentialIdentity
    temperatures_K: tuple[float, ...]
    protocol: MolecularDynamicsProtocol = field(default_factory=constant_energy_protocol)
    seed: int = 1
    maximum_configurations: int | None = None
    name: str = "vibrations"

    @job
    def make(
        self, relaxed: ConfigurationBatchOutput | dict[str, Any], inputs: list[str] | None = None
    ) -> Response[VibrationBatchOutput]:
        """Run all configurations at all temperatures.

        Parameters
        ----------
        relaxed : ConfigurationBatchOutput
            Batch of relaxed configurations.
        inputs : list of str, optional
            uuid of its job.

        Returns
        -------
        Response
            A :class:`VibrationBatchOutput`.
        """
        batch = ConfigurationBatchOutput.model_validate(relaxed)
        level = relaxation_level(batch.model_dump(mode="json"))
        key = content_hash(
            {
                "kind": "vibration_batch",
                "structures": batch.structures.sha256,
                "potential": [self.potential.code, self.potential.weights_sha256],
                "protocol": self.protocol.model_dump(mode="json"),
                "temperatures_K": [float(t) for t in self.temperatures_K],
                "seed": self.seed,
                "maximum_configurations": self.maximum_configurations,
            }
        )

        def compute(folder: Path) -> VibrationBatchOutput:
            chosen = [c for c in batch.configurations if c.converged][: self.maximum_configurations]
            structures = unpack_structures(worker().blobs.get(batch.structures.sha256))
            runs = _run_all(self, chosen, structures, folder, level)
            documents = json.dumps([run["document"] for run in runs if run["document"]])
            packed = zstandard.compress(documents.encode(), 3)
            shared = batch.model_dump(
                include={
                    *("parent_id", "parent_name", "occupancy_class", "formula"),
                    *("chemical_system", "elements", "n_atoms"),
                }
            )
            return VibrationBatchOutput(
                calculation_key=key,
                **shared,
                potential=self.potential,
                protocol=self.protocol,
                relaxation_level=level,
                seed=self.seed,
                results=[VibrationResult.model_validate(r["result"]) for r in runs],
                documents=worker().blobs.put(packed, "application/zstd+json"),
                inputs=inputs or [],
                potential_time_s=sum(r["potential_time_s"] for r in runs),
                total_time_s=sum(r["total_time_s"] for r in runs),
                versions=versions(),
            )

        return once(key, VibrationBatchOutput, compute)


def _run_all(
    maker: VibrationBatchMaker,
    chosen: list[ConfigurationResult],
    structures: dict[str, Structure],
    folder: Path,
    level: str,
) -> list[dict[str, Any]]:
    """Run what has no result file in the folder yet; a finished run leaves its result and no trajectory."""
    report = reporter(folder, maker.name)
    runs = []
    pairs = [(configuration, t) for configuration in chosen for t in maker.temperatures_K]
    for number, (configuration, temperature_K) in enumerate(pairs, 1):
        run_folder = folder / f"{configuration.configuration_id}_{temperature_K:g}K"
        finished = run_folder.with_suffix(".json")
        if not finished.exists():
            structure = structures[configuration.configuration_id]
            run = _run_one(maker, configuration, structure, temperature_K, run_folder, level)
            write_durably(finished, json.dumps(run).encode())
            shutil.rmtree(run_folder, ignore_errors=True)
        runs.append(json.loads(finished.read_text()))
        report(number, len(pairs))
    return runs


def _run_one(
    maker: VibrationBatchMaker,
    configuration: ConfigurationResult,
    structure: Structure,
    temperature_K: float,
    folder: Path,
    level: str,
) -> dict[str, Any]:
    named = f"{maker.seed} {configuration.configuration_id} {temperature_K:g}"
    seed = int(hashlib.sha256(named.encode()).hexdigest()[:8], 16)
    result: dict[str, Any] = {
        "configuration_id": configuration.configuration_id,
        "temperature_K": float(temperature_K),
        "free_energy_eV_per_cell": None,
        "entropy_eV_per_K_per_cell": None,
        "usable": False,
        "flags": [],
    }
    times = {"potential_time_s": 0.0, "total_time_s": 0.0}
    try:
        run = run_molecular_dynamics(
            AseAtomsAdaptor.get_atoms(structure, msonable=False),
            calculator_for(maker.potential),
            maker.protocol,
            temperature_K,
            seed,
            folder,
        )
        times = {"potential_time_s": run.potential_time_s, "total_time_s": run.total_time_s}
        document = VibrationalFreeEnergyDoc.from_trajectory(
            read_trajectory_file(run.trajectory_file, maker.protocol.n_equilibration_frames),
            configuration_id=configuration.configuration_id,
            relaxed_energy_eV=configuration.energy_eV_per_cell,
            target_temperature_K=temperature_K,
            level_of_theory=level,
            potential=maker.potential,
        )
    except (DynamicsError, InputError) as error:  # one configuration's failure is its result
        return {"result": result | {"flags": [f"failed: {error}"]}, "document": None, **times}
    result |= {
        "free_energy_eV_per_cell": document.free_energy_eV_per_cell,
        "entropy_eV_per_K_per_cell": document.entropy_eV_per_K_per_cell,
        "usable": document.usable,
        "flags": document.flags,
    }
    return {"result": result, "document": document.model_dump(mode="json"), **times}
