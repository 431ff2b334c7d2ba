"""Outputs as jobs leave them, with chosen numbers, for the tests of the builders."""

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from sse_screen.documents.base import BlobReference, PotentialIdentity, content_hash
from sse_screen.documents.molecular_dynamics import (
    MolecularDynamicsOutput,
    MolecularDynamicsProtocol,
    molecular_dynamics_key,
)
from sse_screen.documents.relaxation import (
    ConfigurationBatchOutput,
    ConfigurationResult,
    RelaxationOutput,
    RelaxationProtocol,
    relaxation_key,
    relaxation_level,
)
from sse_screen.documents.vibration_batch import VibrationBatchOutput, VibrationResult
from sse_screen.dynamics.trajectory_file import write_trajectory_file
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops

CHGNET = PotentialIdentity(
    name="chgnet", code="chgnet", code_version="0.4.2", model_version="0.3.0", weights_sha256="c" * 64
)


def as_stored(uuid, output):
    """Give the document that jobflow makes of an output."""
    stored = output.model_dump(mode="json") | {
        "@module": type(output).__module__,
        "@class": type(output).__name__,
        "@version": "0.1.0",
    }
    return {
        "uuid": uuid,
        "index": 1,
        "output": stored,
        "metadata": {},
        "completed_at": "2026-01-01T00:00:00.000001",
    }


def relaxation(
    formula, energy_eV_per_atom, elements, spaces=(), n_atoms=None, name=None, potential=CHGNET, **protocol
):
    """Give a converged relaxation."""
    from pymatgen.core import Composition

    protocol = RelaxationProtocol(**protocol)
    name = name or formula
    return RelaxationOutput(
        calculation_key=relaxation_key(name, potential, protocol),
        material_id=content_hash(name),
        material_name=name,
        formula=formula,
        chemical_system="-".join(elements),
        elements=elements,
        n_atoms=n_atoms or int(Composition(formula).num_atoms),
        structure={"@module": "pymatgen.core.structure", "@class": "Structure", "sites": []},
        potential=potential,
        protocol=protocol,
        energy_eV_per_atom=energy_eV_per_atom,
        maximum_force_eV_per_A=0.01,
        converged=True,
        n_steps=12,
        composition_spaces=list(spaces),
        potential_time_s=1.0,
        total_time_s=1.1,
    )


def configuration_batch(number, configurations, temperatures_K=(300.0, 600.0), **changes):
    """Give a batch of a space of 8 labelled orderings in 3 orbits.

    ``configurations`` are (id, degeneracy, energy per cell, converged).
    """
    protocol = RelaxationProtocol()
    fields = {
        "calculation_key": relaxation_key(f"batch {number}", CHGNET, protocol),
        "parent_id": "p" * 64,
        "parent_name": "argyrodite",
        "occupancy_class": "4a:4d = S2Cl2:S2Cl2",
        "formula": "Li6PS5Cl",
        "chemical_system": "Cl-Li-P-S",
        "elements": ["Cl", "Li", "P", "S"],
        "n_atoms": 52,
        "n_labelled_total": 8,
        "n_unique_total": 3,
        "sampled": False,
        "temperatures_K": list(temperatures_K),
        "potential": CHGNET,
        "protocol": protocol,
        "configurations": [
            ConfigurationResult(
                configuration_id=name,
                degeneracy=degeneracy,
                weight=degeneracy,
                energy_eV_per_cell=energy,
                maximum_force_eV_per_A=0.01,
                converged=converged,
            )
            for name, degeneracy, energy, converged in configurations
        ],
        "structures": BlobReference(sha256="a" * 64, size_bytes=1),
        "potential_time_s": 1.0,
        "total_time_s": 1.1,
    }
    return ConfigurationBatchOutput(**(fields | changes))


@lru_cache(maxsize=32)
def trajectory_bytes(jumps, seed, temperature_K=800.0, n_frames=400, frame_ps=0.02, equilibration_frames=0):
    """Give the stored file of a walk of 24 Li with a known diffusivity in a vibrating framework.

    Returns the bytes and the diffusivity in cm²/s.
    """
    generator = np.random.default_rng(seed)
    walks, per_frame = uncorrelated_hops(1, 24, n_frames, jumps, generator)
    waiting = np.zeros((equilibration_frames, 24, 3))
    trajectory = as_trajectory(np.concatenate([waiting, walks[0]]), frame_ps, generator)
    temperatures = np.full(trajectory.n_frames, temperature_K)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.h5"
        write_trajectory_file(path, [replace(trajectory, temperatures_K=temperatures)])
        return path.read_bytes(), per_frame / frame_ps * 1e-4


def molecular_dynamics(trajectory, temperature_K=800.0, seed=1, name="walker", **changes):
    """Give the output of a run whose trajectory is a ``BlobReference``."""
    protocol = MolecularDynamicsProtocol(equilibration_ps=0.0, production_ps=8.0)
    protocol, potential = changes.get("protocol", protocol), changes.get("potential", CHGNET)
    structure = f"{name} of {changes.get('n_atoms', 48)} atoms"
    fields = {
        "calculation_key": molecular_dynamics_key(structure, potential, protocol, temperature_K, seed),
        "material_id": content_hash(name),
        "material_name": name,
        "formula": "LiS",
        "chemical_system": "Li-S",
        "elements": ["Li", "S"],
        "n_atoms": 48,
        "structure": {"@module": "pymatgen.core.structure", "@class": "Structure", "sites": []},
        "mobile_ion": "Li",
        "charge_number": 1,
        "potential": potential,
        "protocol": protocol,
        "temperature_K": temperature_K,
        "seed": seed,
        "trajectory": trajectory,
        "mean_temperature_K": temperature_K + 1.0,
        "mean_volume_A3": 1728.0,
        "n_steps": protocol.n_steps,
        "potential_time_s": 1.0,
        "total_time_s": 1.1,
    }
    return MolecularDynamicsOutput(**(fields | changes))


def vibration_batch(results, temperature_K=300.0, **changes):
    """Give a batch of vibrations of those orderings: (id, free energy, entropy, usable)."""
    relaxed = configuration_batch(0, [])
    shared = ("parent_id", "parent_name", "occupancy_class", "formula", "chemical_system", "elements")
    fields = {name: getattr(relaxed, name) for name in (*shared, "n_atoms", "potential")}
    fields |= {
        "calculation_key": f"vibrations at {temperature_K}",
        "protocol": MolecularDynamicsProtocol(ensemble="nve"),
        "relaxation_level": relaxation_level(relaxed.model_dump(mode="json")),
        "seed": 1,
        "documents": BlobReference(sha256="b" * 64, size_bytes=1),
        "potential_time_s": 1.0,
        "total_time_s": 1.1,
        "results": [
            VibrationResult(
                configuration_id=name,
                temperature_K=temperature_K,
                free_energy_eV_per_cell=free_energy,
                entropy_eV_per_K_per_cell=entropy,
                usable=usable,
                flags=[] if usable else ["an ion changed its site"],
            )
            for name, free_energy, entropy, usable in results
        ],
    }
    return VibrationBatchOutput(**(fields | changes))
