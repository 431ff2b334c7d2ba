"""Jobs that give relaxed configurations harmonic free energies, each configuration's stored once."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import JobStore, Response, job, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Structure

from sse_screen.documents.relaxation import ConfigurationBatchOutput, ConfigurationResult, relaxation_level
from sse_screen.documents.vibration_batch import PhononBatchOutput, PhononProtocol
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.dynamics.molecular_dynamics import TimedCalculator
from sse_screen.exceptions import InputError
from sse_screen.workflows.configuration_results import ConfigurationResults, result_key
from sse_screen.workflows.packing import unpack_structures
from sse_screen.workflows.phonons import (
    LARGEST_IMAGINARY_SHARE,
    PhononFreeEnergyMaker,
    density_per_atom,
    imaginary_modes,
    relaxed_energy_eV_per_atom,
)
from sse_screen.workflows.relaxed_batches import RelaxedBatchMaker
from sse_screen.workflows.runtime import calculator_for, once, reporter, worker


@dataclass
class PhononBatchMaker(RelaxedBatchMaker):
    """Displace the atoms of configurations of a relaxed batch, by atomate2's phonon flow, and sum the modes.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    temperatures_K : tuple of float
        Temperatures of the sums.
    protocol : PhononProtocol
        Displacement, supercell and the relaxation before.
    maximum_configurations : int, optional
        Only the first so many by id.
    """

    protocol: PhononProtocol = field(default_factory=PhononProtocol)
    maximum_configurations: int | None = None
    name: str = "phonons"

    @job
    def make(
        self, relaxed: ConfigurationBatchOutput | dict[str, Any], inputs: list[str] | None = None
    ) -> Response[PhononBatchOutput]:
        """Compute the phonons that no batch has computed yet.

        Parameters
        ----------
        relaxed : ConfigurationBatchOutput
            Batch of relaxed configurations.
        inputs : list of str, optional
            uuid of its job.

        Returns
        -------
        Response
            A :class:`PhononBatchOutput`.
        """
        batch = ConfigurationBatchOutput.model_validate(relaxed)
        level = relaxation_level(batch.model_dump(mode="json"))
        key = self.key(
            "phonon_batch", batch, self.protocol, maximum_configurations=self.maximum_configurations
        )

        def compute(folder: Path) -> PhononBatchOutput:
            """Displace, evaluate and upload."""
            chosen = [c for c in batch.configurations if c.converged][: self.maximum_configurations]
            structures = unpack_structures(worker().blobs.get(batch.structures.sha256))
            done = _phonons_of_each(self, batch.parent_id, chosen, structures, folder, level)
            runs = [run for c in chosen for run in done[c.configuration_id]["runs"]]
            return PhononBatchOutput(
                calculation_key=key,
                **self.fields(batch, level, runs, inputs),
                protocol=self.protocol,
                n_reused=len(done.reused),
                potential_time_s=sum(d["potential_time_s"] for d in done.computed()),
                total_time_s=sum(d["total_time_s"] for d in done.computed()),
            )

        return once(key, PhononBatchOutput, compute)


def _phonons_of_each(
    maker: PhononBatchMaker,
    parent_id: str,
    chosen: list[ConfigurationResult],
    structures: dict[str, Structure],
    folder: Path,
    level: str,
) -> ConfigurationResults:
    """Compute what neither the folder's journal nor the database holds."""
    keys = {
        c.configuration_id: result_key(
            "phonons",
            maker.potential,
            configuration=[parent_id, c.configuration_id],
            level=level,
            protocol=maker.protocol.model_dump(mode="json"),
            temperatures_K=[float(t) for t in maker.temperatures_K],
        )
        for c in chosen
    }
    report = reporter(folder, maker.name)
    with ConfigurationResults(folder / "phonons.jsonl", worker().database, keys) as done:
        for name in done.missing():
            started, timer = time.perf_counter(), TimedCalculator(calculator_for(maker.potential))
            runs = _sums(maker, name, structures[name], level)
            total_time_s = time.perf_counter() - started
            for run in runs:
                run["result"]["total_time_s"] = total_time_s / len(runs)
            times = {"potential_time_s": timer.seconds, "total_time_s": total_time_s}
            done.add(name, {"runs": runs, **times})
            report(len(done), len(chosen))
    return done


def _sums(maker: PhononBatchMaker, name: str, structure: Structure, level: str) -> list[dict[str, Any]]:
    """Give result and document at every temperature; imaginary modes are a result without a number."""
    density, share, relaxed_eV = _density(maker, structure)
    species = tuple(site.specie.symbol for site in structure)
    runs = []
    for temperature_K in maker.temperatures_K:
        result: dict[str, Any] = {"configuration_id": name, "temperature_K": float(temperature_K)}
        try:
            if share > LARGEST_IMAGINARY_SHARE:
                raise InputError(imaginary_modes(structure.formula, share, maker.potential))
            document = VibrationalFreeEnergyDoc.from_phonons(
                density.normalised(3.0 * len(species)),
                species,
                configuration_id=name,
                relaxed_energy_eV=relaxed_eV * len(species),
                target_temperature_K=temperature_K,
                level_of_theory=level,
                potential=maker.potential,
                imaginary_share=share,
            )
        except InputError as error:
            none = {"free_energy_eV_per_cell": None, "entropy_eV_per_K_per_cell": None, "usable": False}
            runs.append({"result": result | none | {"flags": [f"failed: {error}"]}, "document": None})
            continue
        result |= document.model_dump(
            include={"free_energy_eV_per_cell", "entropy_eV_per_K_per_cell", "usable", "flags"}
        )
        runs.append({"result": result, "document": document.model_dump(mode="json")})
    return runs


def _density(maker: PhononBatchMaker, structure: Structure) -> tuple[Any, float, float]:
    """Run atomate2's flow here and now, in a folder that is removed after it."""
    flow = PhononFreeEnergyMaker(
        maker.potential, maker.temperatures_K, **maker.protocol.model_dump()
    ).phonon_flow(structure)
    folder = Path(tempfile.mkdtemp(prefix="phonons-"))
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    try:
        responses = run_locally(
            flow, store=store, create_folders=True, root_dir=folder, ensure_success=True, log=False
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    documents = [response.output for by_index in responses.values() for response in by_index.values()]
    (phonons,) = [document for document in documents if type(document).__name__ == "PhononBSDOSDoc"]
    density, share = density_per_atom(phonons)
    return density, share, relaxed_energy_eV_per_atom(phonons)
