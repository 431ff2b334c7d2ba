"""Molecular dynamics of a classical potential, stepped by LAMMPS itself.

The same folder, segments and frames as the runs on ASE's integrators. Every segment begins from a restart
file, also in a run that nobody disturbed: neighbour lists and sums are then made in the same order whether
the run was killed or not, and the numbers are the same bit for bit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.dynamics.molecular_dynamics import thermal_velocities
from sse_screen.dynamics.segmented_run import DynamicsError, SegmentedRun
from sse_screen.potentials.classical_calculator import ClassicalCalculator
from sse_screen.potentials.lammps_library import LammpsSystem

FRAMES_PER_SEGMENT = 500
_STEPS_PER_SEGMENT = 2500  # seconds to a minute of work, whatever the frames' interval
_ACCURACY = "1e-4"  # an error of about 1.4e-3 eV/Å, of thermal forces of 1 eV/Å
_FEW_ATOMS = 100  # below, the sum of Ewald is faster than its mesh
_LARGEST_SEED = 900_000_000  # of LAMMPS' random numbers
_FS_PER_PS = 1000.0


class LammpsRun(SegmentedRun):
    """A run whose steps LAMMPS makes.

    Parameters
    ----------
    atoms : ase.Atoms
        Starting structure; the run's own copy.
    calculator : ClassicalCalculator
        Names the potential.
    protocol : MolecularDynamicsProtocol
        Ensemble, steps, intervals.
    temperature_K : float
        Target temperature (K).
    seed : int
        Seed of velocities and thermostat.
    folder : Path
        Holds segments and checkpoint.
    """

    def __init__(
        self,
        atoms: Atoms,
        calculator: ClassicalCalculator,
        protocol: MolecularDynamicsProtocol,
        temperature_K: float,
        seed: int,
        folder: Path,
    ) -> None:
        super().__init__(atoms, protocol, temperature_K, folder)
        rng = np.random.default_rng(seed)
        long_range = f"{'ewald' if len(atoms) < _FEW_ATOMS else 'pppm'} {_ACCURACY}"
        self.system = LammpsSystem(calculator.potential, atoms.get_chemical_symbols(), long_range)
        self.thermostat_seed = int(rng.integers(1, _LARGEST_SEED))
        self.seconds = 0.0
        self.restart_file = folder / "lammps.restart"
        state = self.checkpoint()
        if state is None:
            thermal_velocities(atoms, temperature_K, rng)
            self.system.create(atoms, atoms.get_velocities() * units.fs * _FS_PER_PS)
            self.system.write(self.restart_file)
        else:
            self.restart_file.write_bytes(state["restart"].tobytes())

    @property
    def frames_per_segment(self) -> int:
        """See :class:`SegmentedRun`."""
        return min(FRAMES_PER_SEGMENT, max(20, _STEPS_PER_SEGMENT // self.protocol.stride))

    @property
    def pauses_anywhere(self) -> bool:
        """See :class:`SegmentedRun`; an unbroken run begins only its segments from a restart file."""
        return False

    def time_in_potential_s(self) -> float:
        """See :class:`SegmentedRun`; LAMMPS spends nearly all of its time there."""
        return self.seconds

    def begin_segment(self) -> None:
        """See :class:`SegmentedRun`."""
        protocol = self.protocol
        self.system.read(self.restart_file, np.array(self.atoms.cell))
        self.system.command(
            f"timestep {protocol.time_step_fs / _FS_PER_PS!r}",
            "thermo_style custom step pe temp",
            f"thermo {protocol.stride}",
            *self._fixes(),
        )
        self.setup = "yes"

    def _fixes(self) -> list[str]:
        protocol, target = self.protocol, f"{self.temperature_K!r} {self.temperature_K!r}"
        damping = repr(protocol.thermostat_time_fs / _FS_PER_PS)
        if self.equilibrating or protocol.ensemble == "nvt":
            rescaling = f"fix thermostat all temp/csvr {target} {damping} {self.thermostat_seed}"
            return ["fix dynamics all nve", rescaling]
        if protocol.ensemble == "nve":
            return ["fix dynamics all nve"]
        pressure = f"{protocol.pressure_bar!r} {protocol.pressure_bar!r}"
        barostat = f"iso {pressure} {protocol.barostat_time_fs / _FS_PER_PS!r} fixedpoint 0 0 0"
        return [f"fix npt all npt temp {target} {damping} {barostat}"]

    def advance(self) -> None:
        """See :class:`SegmentedRun`."""
        started = time.perf_counter()
        try:
            self.system.command(f"run {self.protocol.stride} pre {self.setup} post no")
        except Exception as error:
            raise DynamicsError(
                f"the run exploded near {self.frame * self.protocol.frame_interval_fs / _FS_PER_PS:g} ps at "
                f"{self.temperature_K:g} K: {str(error).splitlines()[0]}; try a shorter time_step_fs than "
                f"{self.protocol.time_step_fs} or another starting structure"
            ) from error
        self.setup = "no"
        self.seconds += time.perf_counter() - started

    def record(self) -> dict[str, Any]:
        """See :class:`SegmentedRun`."""
        system = self.system
        velocities = system.gathered("v") / _FS_PER_PS if self.protocol.store_velocities else None
        return {
            "positions": system.unwrapped_positions(),
            "cells": system.turned_back(system.cell),
            "temperatures_K": system.thermo("temp"),
            "potential_energies_eV": system.potential_energy(),
            "velocities": velocities,
        }

    def engine_state(self) -> dict[str, Any]:
        """See :class:`SegmentedRun`."""
        self.system.write(self.restart_file)
        return {"restart": np.frombuffer(self.restart_file.read_bytes(), dtype=np.uint8)}
