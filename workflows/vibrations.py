"""Jobs that run relaxed configurations at constant energy for their vibrational free energies."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms
from jobflow import Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.relaxation import ConfigurationBatchOutput, ConfigurationResult, relaxation_level
from sse_screen.documents.vibration_batch import VibrationBatchOutput
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.dynamics.batched import ATOMS_TOGETHER_ON_CPU, BatchedRun, run_dynamics_together
from sse_screen.dynamics.molecular_dynamics import DynamicsError, run_molecular_dynamics
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.potentials.calculator import FastCHGNetCalculator
from sse_screen.workflows.configuration_results import ConfigurationResults, result_key
from sse_screen.workflows.packing import unpack_structures
from sse_screen.workflows.relaxed_batches import RelaxedBatchMaker
from sse_screen.workflows.runtime import calculator_for, once, reporter, worker


def constant_energy_protocol(
    time_step_fs: float = 1.0, equilibration_ps: float = 1.0, production_ps: float = 6.0
) -> MolecularDynamicsProtocol:
    """Give the protocol of Yang 2025: 6 ps at 1 fs after equilibration, velocities every 4 fs.

    Parameters
    ----------
    time_step_fs : float
        Integration step.
    equilibration_ps : float
        Under a thermostat, discarded.
    production_ps : float
        At constant energy.

    Returns
    -------
    MolecularDynamicsProtocol
        Constant energy; a thermostat would contaminate the spectrum.
    """
    return MolecularDynamicsProtocol(
        ensemble="nve",
        time_step_fs=time_step_fs,
        equilibration_ps=equilibration_ps,
        production_ps=production_ps,
        frame_interval_fs=4.0,
        store_velocities=True,
    )


@dataclass
class VibrationBatchMaker(RelaxedBatchMaker):
    """Run configurations of a relaxed batch at constant energy, restartable in the middle.

    Configurations that relaxed to one basin (ions on the same sites, energies within 1 meV/atom) share one
    run, within a batch and across batches; those of a sample that left their basin are not run, since the sum
    leaves them out.

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
        Only the first so many basins by id, which is as good as random since ids are hashes.
    two_phase_species : str, optional
        Mobile species to treat as gas and solid as well, beside the harmonic result.
    """

    protocol: MolecularDynamicsProtocol = field(default_factory=constant_energy_protocol)
    seed: int = 1
    maximum_configurations: int | None = None
    two_phase_species: str | None = None
    name: str = "vibrations"

    @job
    def make(
        self, relaxed: ConfigurationBatchOutput | dict[str, Any], inputs: list[str] | None = None
    ) -> Response[VibrationBatchOutput]:
        """Run all configurations at all temperatures, but those that some batch has run already.

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
        key = self.key(
            "vibration_batch",
            batch,
            self.protocol,
            seed=self.seed,
            maximum_configurations=self.maximum_configurations,
            **_two_phase(self),
        )

        def compute(folder: Path) -> VibrationBatchOutput:
            """Run what is not known yet and upload the spectra."""
            runs = _wanted(self, batch, level)
            structures = unpack_structures(worker().blobs.get(batch.structures.sha256))
            done = _run_each(self, runs, structures, folder, level)
            own = [_of_configuration(done[name], runs[name].configuration) for name in runs]
            return VibrationBatchOutput(
                calculation_key=key,
                **self.fields(batch, level, own, inputs),
                protocol=self.protocol,
                seed=self.seed,
                n_reused=len(done.reused),
                potential_time_s=sum(run["potential_time_s"] for run in done.computed()),
                total_time_s=sum(run["result"]["total_time_s"] for run in done.computed()),
            )

        return once(key, VibrationBatchOutput, compute)


@dataclass(frozen=True)
class _Wanted:
    """One run: a configuration at a temperature, its seed and its content id."""

    configuration: ConfigurationResult
    temperature_K: float
    seed: int
    key: str


def _two_phase(maker: VibrationBatchMaker) -> dict[str, str]:
    """What the two-phase treatment adds to the content of an id; nothing where there is none."""
    return {} if maker.two_phase_species is None else {"two_phase_species": maker.two_phase_species}


def _wanted(maker: VibrationBatchMaker, batch: ConfigurationBatchOutput, level: str) -> dict[str, _Wanted]:
    """Name the runs of a batch; configurations of one basin share key and seed."""
    protocol = maker.protocol.model_dump(mode="json")
    runs, basins = {}, set()
    for configuration in batch.configurations:
        name = configuration.configuration_id
        basin = configuration.reached_id or name
        if not configuration.converged or (batch.sampled and basin != name):
            continue
        milli_eV = round(1000 * configuration.energy_eV_per_cell / batch.n_atoms)
        basins.add((basin, milli_eV))
        if maker.maximum_configurations is not None and len(basins) > maker.maximum_configurations:
            break
        for temperature_K in maker.temperatures_K:
            named = f"{maker.seed} {basin} {temperature_K:g}"
            seed = int(hashlib.sha256(named.encode()).hexdigest()[:8], 16)
            key = result_key(
                "constant_energy_run",
                maker.potential,
                basin=[batch.parent_id, basin, milli_eV],
                level=level,
                protocol=protocol,
                temperature_K=float(temperature_K),
                seed=seed,
                **_two_phase(maker),
            )
            runs[f"{name}_{temperature_K:g}K"] = _Wanted(configuration, float(temperature_K), seed, key)
    return runs


def _run_each(
    maker: VibrationBatchMaker,
    runs: dict[str, _Wanted],
    structures: dict[str, Structure],
    folder: Path,
    level: str,
) -> ConfigurationResults:
    """Run what neither the folder's journal nor the database holds."""
    report = reporter(folder, maker.name)
    keys = {name: run.key for name, run in runs.items()}
    with ConfigurationResults(folder / "runs.jsonl", worker().database, keys) as done:

        def finished(name: str, run: BatchedRun | SseScreenError) -> None:
            """Write a run into the journal."""
            done.add(name, _result(maker, runs[name], run, level))
            report(len(done), len(runs))

        calculator = calculator_for(maker.potential)
        for names in _together(maker, done.missing(), runs, structures):
            atoms = [
                AseAtomsAdaptor.get_atoms(
                    structures[runs[name].configuration.configuration_id], msonable=False
                )
                for name in names
            ]
            first = runs[names[0]]
            if len(names) > 1 and isinstance(calculator, FastCHGNetCalculator):
                run_dynamics_together(
                    atoms,
                    calculator.engine,
                    maker.protocol,
                    first.temperature_K,
                    [runs[name].seed for name in names],
                    on_finished=_named(names, finished),
                )
            else:
                for name, one in zip(names, atoms, strict=True):
                    finished(name, _run_alone(maker, one, runs[name], folder / name))
    return done


def _together(
    maker: VibrationBatchMaker, names: list[str], runs: dict[str, _Wanted], structures: dict[str, Structure]
) -> Iterator[list[str]]:
    """Group the runs of one temperature that the potential takes at once; large cells go alone."""
    n_atoms = max((len(structure) for structure in structures.values()), default=1)
    size = max(ATOMS_TOGETHER_ON_CPU // n_atoms, 1)
    for temperature_K in maker.temperatures_K:
        same = [name for name in names if runs[name].temperature_K == temperature_K]
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _named(
    names: list[str], finished: Callable[[str, BatchedRun | SseScreenError], None]
) -> Callable[[int, BatchedRun | SseScreenError], None]:
    return lambda number, run: finished(names[number], run)


def _run_alone(
    maker: VibrationBatchMaker, atoms: Atoms, run: _Wanted, folder: Path
) -> BatchedRun | SseScreenError:
    """Run one configuration with checkpoints; a finished run leaves no files."""
    try:
        found = run_molecular_dynamics(
            atoms, calculator_for(maker.potential), maker.protocol, run.temperature_K, run.seed, folder
        )
    except DynamicsError as error:
        return error
    trajectory = read_trajectory_file(found.trajectory_file)
    shutil.rmtree(folder, ignore_errors=True)
    return BatchedRun(trajectory, found.potential_time_s, found.total_time_s)


def _result(
    maker: VibrationBatchMaker, wanted: _Wanted, run: BatchedRun | SseScreenError, level: str
) -> dict[str, Any]:
    """Analyse a run; one configuration's failure is its result."""
    result: dict[str, Any] = {
        "configuration_id": wanted.configuration.configuration_id,
        "temperature_K": wanted.temperature_K,
        "free_energy_eV_per_cell": None,
        "entropy_eV_per_K_per_cell": None,
        "usable": False,
        "flags": [],
        "total_time_s": 0.0,
    }
    if not isinstance(run, BatchedRun):
        failed = result | {"flags": [f"failed: {run}"]}
        return {"result": failed, "document": None, "potential_time_s": 0.0}
    result["total_time_s"] = run.total_time_s
    try:
        document = VibrationalFreeEnergyDoc.from_trajectory(
            run.trajectory[maker.protocol.n_equilibration_frames :],
            configuration_id=wanted.configuration.configuration_id,
            relaxed_energy_eV=wanted.configuration.energy_eV_per_cell,
            target_temperature_K=wanted.temperature_K,
            level_of_theory=level,
            potential=maker.potential,
            two_phase_species=maker.two_phase_species,
        )
    except InputError as error:
        result["flags"] = [f"failed: {error}"]
        return {"result": result, "document": None, "potential_time_s": run.potential_time_s}
    return {
        "result": result | _shared(document),
        "document": document.model_dump(mode="json"),
        "potential_time_s": run.potential_time_s,
    }


def _shared(document: VibrationalFreeEnergyDoc) -> dict[str, Any]:
    return document.model_dump(
        include={"free_energy_eV_per_cell", "entropy_eV_per_K_per_cell", "usable", "flags"}
    )


def _of_configuration(run: dict[str, Any], configuration: ConfigurationResult) -> dict[str, Any]:
    """Give a stored run as that of a configuration, which may be another one of its basin."""
    name = configuration.configuration_id
    if run["document"] is None:
        return run | {"result": run["result"] | {"configuration_id": name}}
    document = VibrationalFreeEnergyDoc.model_validate(run["document"])
    own = document.of_configuration(name, configuration.energy_eV_per_cell)
    result = run["result"] | {"configuration_id": name} | _shared(own)
    return run | {"result": result, "document": own.model_dump(mode="json")}
