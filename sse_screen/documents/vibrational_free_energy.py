"""Stored form of a vibrational free energy: one configuration, potential and target temperature."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import ase.data
import numpy as np
from ase import units
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.run_checks import RunChecks, check_run
from sse_screen.thermodynamics.two_phase import TwoPhaseResult, two_phase_thermodynamics
from sse_screen.thermodynamics.velocity_spectrum import VelocitySpectrum, density_of_states_from_velocities
from sse_screen.thermodynamics.vibrations import (
    DensityOfStates,
    VibrationalThermodynamics,
    discrete_modes,
    harmonic_thermodynamics,
    refuse_unphysical_entropy,
    regridded,
)

_PER_CELL: JsonDict = {"unit": "eV/cell"}
_ENTROPY_PER_CELL: JsonDict = {"unit": "eV/K/cell"}
_KELVIN: JsonDict = {"unit": "K"}
_NUMBER: JsonDict = {"unit": "1"}

SPACING_THz = 0.1
HIGHEST_THz = 120.0


class TwoPhaseContribution(Document):
    """The mobile species as a hard-sphere gas and a solid, the others harmonic."""

    species: str = Field(description="The mobile species")
    fluidicity: float = Field(description="Share of its atoms that is gas", json_schema_extra=_NUMBER)
    free_energy_eV_per_cell: float = Field(
        description="Free energy of the cell, referred to the mean energy of the run",
        json_schema_extra=_PER_CELL,
    )
    entropy_eV_per_K_per_cell: float = Field(
        description="Vibrational entropy of the cell", json_schema_extra=_ENTROPY_PER_CELL
    )
    warnings: list[str] = Field(default_factory=list, description="Where the model strains")


class VibrationalFreeEnergyDoc(DerivedDocument):
    """Vibrational free energy of one configuration, from a constant-energy run or from phonons."""

    collection: ClassVar[str] = "vibrational_free_energy"
    meaning_version: ClassVar[str] = "2"
    group_fields: ClassVar[tuple[str, ...]] = (
        "configuration_id",
        "level_of_theory",
        "target_temperature_K",
        "route",
    )

    route: Literal["constant_energy", "phonons"] = Field(
        "constant_energy",
        description="constant_energy: velocities of a run; phonons: finite displacements, harmonic",
    )

    configuration_id: str = Field(description="Id of the ordering or crystal")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, joined by dashes")
    elements: list[str] = Field(description="Elements")
    level_of_theory: str = Field(description="Potential or DFT setting")
    potential: PotentialIdentity | None = Field(None, description="The potential, where there is one")
    target_temperature_K: float = Field(description="Temperature aimed at", gt=0, json_schema_extra=_KELVIN)
    measured_temperature_K: float | None = Field(
        None, description="Mean kinetic temperature of the run; null for phonons", json_schema_extra=_KELVIN
    )
    n_atoms: int = Field(description="Atoms in the cell", json_schema_extra=_NUMBER)
    n_modes: float = Field(description="Modes of the density of states", json_schema_extra=_NUMBER)
    duration_ps: float | None = Field(
        None, description="Length of the run; null for phonons", json_schema_extra={"unit": "ps"}
    )
    imaginary_share: float | None = Field(
        None,
        description="Share of the phonons that are imaginary and left out; null for runs",
        json_schema_extra=_NUMBER,
    )
    relaxed_energy_eV_per_cell: float = Field(
        description="E_0, energy of the relaxed cell", json_schema_extra=_PER_CELL
    )
    free_energy_eV_per_cell: float = Field(
        description="F at the target temperature, E_0 included", json_schema_extra=_PER_CELL
    )
    free_energy_at_measured_eV_per_cell: float | None = Field(
        None, description="F at the measured temperature, E_0 included", json_schema_extra=_PER_CELL
    )
    free_energy_eV_per_atom: float = Field(
        description="F at the target temperature, E_0 included", json_schema_extra={"unit": "eV/atom"}
    )
    internal_energy_eV_per_cell: float = Field(
        description="U at the target temperature, E_0 included", json_schema_extra=_PER_CELL
    )
    entropy_eV_per_K_per_cell: float = Field(
        description="S at the target temperature", json_schema_extra=_ENTROPY_PER_CELL
    )
    entropy_meV_per_K_per_atom: float = Field(
        description="S at the target temperature", json_schema_extra={"unit": "meV/K/atom"}
    )
    heat_capacity_eV_per_K_per_cell: float = Field(
        description="C_v at the target temperature", json_schema_extra=_ENTROPY_PER_CELL
    )
    two_phase: TwoPhaseContribution | None = Field(
        None, description="Two-phase treatment of a mobile species, where asked for"
    )
    moved_atoms: list[int] = Field(
        default_factory=list,
        description="Atoms that changed their site during the run",
        json_schema_extra=_NUMBER,
    )
    frequencies_THz: list[float] = Field(
        description="Nodes of the density of states", json_schema_extra={"unit": "THz"}
    )
    modes_by_species: dict[str, list[float]] = Field(
        description="Number of modes at each node", json_schema_extra=_NUMBER
    )
    usable: bool = Field(description="False when a flag forbids to use it in a sum over configurations")
    flags: list[str] = Field(default_factory=list, description="What speaks against using it")
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")

    @classmethod
    def from_trajectory(
        cls,
        trajectory: Trajectory,
        *,
        configuration_id: str,
        relaxed_energy_eV: float,
        target_temperature_K: float,
        level_of_theory: str,
        potential: PotentialIdentity | None = None,
        two_phase_species: str | None = None,
    ) -> Self:
        """Compute the free energy of a constant-energy run.

        Parameters
        ----------
        trajectory : Trajectory
            The run, with velocities, unwrapped, in a fixed cell.
        configuration_id : str
            Id of the ordering or crystal.
        relaxed_energy_eV : float
            Energy of the relaxed cell by the same potential.
        target_temperature_K : float
            Temperature that the run was prepared for.
        level_of_theory : str
            Name of the potential or DFT setting.
        potential : PotentialIdentity, optional
            The potential.
        two_phase_species : str, optional
            Mobile species to treat as gas and solid, beside the harmonic result; needs potential energies.

        Returns
        -------
        VibrationalFreeEnergyDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            If the trajectory has no velocities, is wrapped, or its entropy is unphysical.
        """
        spectrum = _spectrum(trajectory)
        n_atoms = len(trajectory.species)
        refuse_unphysical_entropy(spectrum.density, n_atoms)
        checks = _checks(trajectory, target_temperature_K)
        at_target, at_measured = (
            harmonic_thermodynamics(spectrum.density, t, relaxed_energy_eV=relaxed_energy_eV)
            for t in (target_temperature_K, spectrum.temperature_K)
        )
        two_phase = None
        if two_phase_species is not None:
            two_phase = _two_phase(trajectory, spectrum, two_phase_species)
        group = {
            "configuration_id": configuration_id,
            "level_of_theory": level_of_theory,
            "target_temperature_K": float(target_temperature_K),
            "route": "constant_energy",
        }
        elements = sorted(set(trajectory.species))
        return cls(
            id=cls.id_of(group),
            **group,
            formula=_formula(trajectory.species),
            chemical_system="-".join(elements),
            elements=elements,
            potential=potential,
            measured_temperature_K=spectrum.temperature_K,
            n_atoms=n_atoms,
            n_modes=spectrum.density.n_modes,
            duration_ps=spectrum.duration_ps,
            relaxed_energy_eV_per_cell=relaxed_energy_eV,
            free_energy_at_measured_eV_per_cell=at_measured.free_energy_eV,
            two_phase=two_phase,
            moved_atoms=list(checks.moved_atoms),
            **_stored(spectrum.density),
            usable=not checks.moved_atoms,
            flags=list(checks.flags),
            warnings=list(spectrum.warnings),
            **_numbers(at_target, n_atoms),
        )

    @classmethod
    def from_phonons(
        cls,
        density: DensityOfStates,
        species: tuple[str, ...],
        *,
        configuration_id: str,
        relaxed_energy_eV: float,
        target_temperature_K: float,
        level_of_theory: str,
        potential: PotentialIdentity | None = None,
        imaginary_share: float = 0.0,
    ) -> Self:
        """Sum the modes of a crystal's phonons.

        Parameters
        ----------
        density : DensityOfStates
            Modes of the cell.
        species : tuple of str
            Element of every atom of the cell.
        configuration_id : str
            Id of the ordering or crystal.
        relaxed_energy_eV : float
            Energy of the cell whose atoms were displaced.
        target_temperature_K : float
            Temperature.
        level_of_theory : str
            Name of the potential or DFT setting.
        potential : PotentialIdentity, optional
            The potential.
        imaginary_share : float
            Share of imaginary modes that ``density`` leaves out.

        Returns
        -------
        VibrationalFreeEnergyDoc
            The document, without build metadata.
        """
        refuse_unphysical_entropy(density, len(species))
        thermal = harmonic_thermodynamics(density, target_temperature_K, relaxed_energy_eV=relaxed_energy_eV)
        group = {
            "configuration_id": configuration_id,
            "level_of_theory": level_of_theory,
            "target_temperature_K": float(target_temperature_K),
            "route": "phonons",
        }
        elements = sorted(set(species))
        return cls(
            id=cls.id_of(group),
            **group,
            formula=_formula(species),
            chemical_system="-".join(elements),
            elements=elements,
            potential=potential,
            n_atoms=len(species),
            n_modes=density.n_modes,
            imaginary_share=imaginary_share,
            relaxed_energy_eV_per_cell=relaxed_energy_eV,
            **_stored(density),
            usable=True,
            **_numbers(thermal, len(species)),
        )

    def of_configuration(self, configuration_id: str, relaxed_energy_eV: float) -> Self:
        """Take a run over for another configuration that relaxed to the same basin.

        Parameters
        ----------
        configuration_id : str
            The other configuration.
        relaxed_energy_eV : float
            Energy of its relaxed cell, which replaces that of this one.

        Returns
        -------
        VibrationalFreeEnergyDoc
            The document itself for its own configuration, else a copy that says whose run it is.
        """
        if configuration_id == self.configuration_id:
            return self
        shift = relaxed_energy_eV - self.relaxed_energy_eV_per_cell
        group = {name: getattr(self, name) for name in self.group_fields} | {
            "configuration_id": configuration_id
        }
        shifted = ("relaxed_energy", "free_energy", "free_energy_at_measured", "internal_energy")
        energies = {
            f"{name}_eV_per_cell": value + shift
            for name in shifted
            if (value := getattr(self, f"{name}_eV_per_cell")) is not None
        }
        whose = f"the run is that of configuration {self.configuration_id}, which relaxed to the same basin"
        return self.model_copy(
            update={
                "id": self.id_of(group),
                "configuration_id": configuration_id,
                **energies,
                "free_energy_eV_per_atom": energies["free_energy_eV_per_cell"] / self.n_atoms,
                "warnings": [*self.warnings, whose],
            }
        )

    @property
    def density(self) -> DensityOfStates:
        """The stored density of states.

        Returns
        -------
        DensityOfStates
            Modes by species on one grid for all documents, that of ``frequencies_THz`` continued to 120 THz.
        """
        modes = {name: np.zeros(len(_GRID_THz)) for name in self.modes_by_species}
        for name, values in self.modes_by_species.items():
            modes[name][: len(values)] = values
        return DensityOfStates(_GRID_THz, modes, SPACING_THz)


_GRID_THz = regridded(discrete_modes([1.0]), SPACING_THz, HIGHEST_THz).frequencies_THz


def _stored(density: DensityOfStates) -> dict[str, Any]:
    """Give the grid and the modes on it up to the highest mode, in the digits that a run can have."""
    found = regridded(density, SPACING_THz, HIGHEST_THz)
    end = int(np.flatnonzero(found.total_modes > 1e-9).max(initial=0)) + 2
    return {
        "frequencies_THz": [float(f"{value:.6g}") for value in _GRID_THz[:end]],
        "modes_by_species": {
            name: [float(f"{value:.6g}") for value in modes[:end]] for name, modes in found.modes.items()
        },
    }


def _numbers(thermal: VibrationalThermodynamics, n_atoms: int) -> dict[str, float]:
    """Name the thermal functions at the target temperature."""
    return {
        "free_energy_eV_per_cell": thermal.free_energy_eV,
        "free_energy_eV_per_atom": thermal.free_energy_eV / n_atoms,
        "internal_energy_eV_per_cell": thermal.internal_energy_eV,
        "entropy_eV_per_K_per_cell": thermal.entropy_eV_per_K,
        "entropy_meV_per_K_per_atom": 1e3 * thermal.entropy_eV_per_K / n_atoms,
        "heat_capacity_eV_per_K_per_cell": thermal.heat_capacity_eV_per_K,
    }


def _spectrum(trajectory: Trajectory) -> VelocitySpectrum:
    """Compute the density of states of a run that is fit for it."""
    if trajectory.velocities is None:
        raise InputError("the trajectory has no velocities: run it with velocities recorded")
    if not trajectory.unwrapped:
        raise InputError("the trajectory is wrapped: site changes cannot be told; unwrap it first")
    intervals = 1e3 * np.diff(trajectory.times_ps)
    return density_of_states_from_velocities(
        np.asarray(trajectory.velocities, dtype=float), trajectory.species, float(np.median(intervals))
    )


def _masses(species: tuple[str, ...]) -> np.ndarray:
    """Give the elements' masses in amu."""
    return np.array([ase.data.atomic_masses[ase.data.atomic_numbers[s]] for s in species])


def _kinetic_energies_eV(trajectory: Trajectory) -> np.ndarray:
    """Give the kinetic energy of every frame."""
    velocities = np.asarray(trajectory.velocities, dtype=float) / units.fs
    energies: np.ndarray = 0.5 * np.einsum(
        "fai,fai,a->f", velocities, velocities, _masses(trajectory.species)
    )
    return energies


def _checks(trajectory: Trajectory, target_temperature_K: float) -> RunChecks:
    """Look for site changes and drifts."""
    kinetic = _kinetic_energies_eV(trajectory)
    n_atoms = len(trajectory.species)
    potential = trajectory.potential_energies_eV
    return check_run(
        np.asarray(trajectory.positions, dtype=float),
        np.asarray(trajectory.times_ps, dtype=float),
        target_temperature_K=target_temperature_K,
        temperatures_K=2.0 * kinetic / (3.0 * max(n_atoms - 1, 1) * units.kB),
        total_energies_eV=None if potential is None else np.asarray(potential, dtype=float) + kinetic,
    )


def _two_phase(trajectory: Trajectory, spectrum: VelocitySpectrum, species: str) -> TwoPhaseContribution:
    """Treat one species as gas and solid, the others as harmonic, referred to the run's mean energy."""
    if species not in trajectory.species:
        raise InputError(f"two-phase treatment: there is no {species} in the trajectory")
    if trajectory.potential_energies_eV is None:
        raise InputError("two-phase treatment: the trajectory has no potential energies to refer to")
    temperature = spectrum.temperature_K
    n_mobile = trajectory.species.count(species)
    parts = spectrum.density
    mobile = DensityOfStates(parts.frequencies_THz, {species: parts.modes[species]}, parts.spacing_THz)
    found: TwoPhaseResult = two_phase_thermodynamics(
        mobile,
        temperature,
        volume_A3=float(np.abs(np.linalg.det(np.asarray(trajectory.cells, dtype=float))).mean()),
        n_atoms=n_mobile,
        mass_amu=float(_masses((species,))[0]),
    )
    free, entropy = found.thermodynamics.free_energy_eV, found.thermodynamics.entropy_eV_per_K
    others = {name: modes for name, modes in parts.modes.items() if name != species}
    framework_modes = 0.0
    if others:
        framework = DensityOfStates(parts.frequencies_THz, others, parts.spacing_THz)
        harmonic = harmonic_thermodynamics(framework, temperature)
        free, entropy = free + harmonic.free_energy_eV, entropy + harmonic.entropy_eV_per_K
        framework_modes = framework.n_modes
    mean_energy = float(np.mean(trajectory.potential_energies_eV) + _kinetic_energies_eV(trajectory).mean())
    reference = mean_energy - found.reference_shift_eV - framework_modes * units.kB * temperature
    return TwoPhaseContribution(
        species=species,
        fluidicity=found.fluidicity,
        free_energy_eV_per_cell=reference + free,
        entropy_eV_per_K_per_cell=entropy,
        warnings=list(found.warnings),
    )


def _formula(species: tuple[str, ...]) -> str:
    """Give the reduced formula."""
    from pymatgen.core import Composition

    counts = {name: species.count(name) for name in set(species)}
    return Composition(counts).reduced_formula
