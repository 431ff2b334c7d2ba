"""Jobs and flows of molecular dynamics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker, OutputReference, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.molecular_dynamics import (
    MolecularDynamicsOutput,
    MolecularDynamicsProtocol,
    molecular_dynamics_key,
)
from sse_screen.dynamics.molecular_dynamics import run_molecular_dynamics
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.workflows.relaxation import RelaxationMaker, composition_fields
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker


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
    """

    potential: PotentialIdentity
    protocol: MolecularDynamicsProtocol = field(default_factory=MolecularDynamicsProtocol)
    minimum_length_A: float = 8.0
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
        identity = structure_hash(supercell) + content_hash(material)
        key = molecular_dynamics_key(identity, self.potential, self.protocol, temperature_K, seed)

        def compute(folder: Path) -> MolecularDynamicsOutput:
            result = run_molecular_dynamics(
                AseAtomsAdaptor.get_atoms(supercell, msonable=False),
                calculator_for(self.potential),
                self.protocol,
                temperature_K,
                seed,
                folder,
                reporter(folder, f"{material['material_name']} {temperature_K:g} K"),
            )
            started = time.perf_counter()
            trajectory = worker().blobs.put_file(result.trajectory_file, "application/x-hdf5")
            return MolecularDynamicsOutput(
                calculation_key=key,
                **material,
                **composition_fields(supercell),
                structure=supercell.as_dict(),
                potential=self.potential,
                protocol=self.protocol,
                temperature_K=temperature_K,
                seed=seed,
                trajectory=trajectory,
                mean_temperature_K=result.mean_temperature_K,
                mean_volume_A3=result.mean_volume_A3,
                n_steps=result.n_steps,
                potential_time_s=result.potential_time_s,
                total_time_s=result.total_time_s + time.perf_counter() - started,
                inputs=inputs or [],
                versions=versions(),
            )

        return once(key, MolecularDynamicsOutput, compute)


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
    """

    relaxation: RelaxationMaker
    dynamics: MolecularDynamicsMaker
    temperatures_K: tuple[float, ...]
    replicas: int = 1
    seed: int = 1
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
        for temperature_K in sorted(self.temperatures_K, reverse=True):
            for replica in range(self.replicas):
                run = self.dynamics.make(
                    relaxed,
                    material,
                    float(temperature_K),
                    derived_seed(self.seed, material["material_id"], temperature_K, replica),
                    [relaxation.uuid],
                )
                run.name = f"{material_name} {temperature_K:g} K run {replica + 1}"
                jobs.append(run)
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
