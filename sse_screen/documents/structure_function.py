"""Stored form of pair distributions, coordination numbers and the vibrational spectrum of a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Self

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity, Verdict
from sse_screen.documents.diffusivity import DynamicsConditions, common_group
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.displacements import common_time_step
from sse_screen.transport.structure_functions import (
    coordination_statistics,
    first_minimum,
    radial_distribution,
    velocity_autocorrelation,
    vibrational_density_of_states,
)

#: fewer frames, all replicas together, make distributions of noise
MINIMUM_FRAMES = 20
#: fewer frames of a replica give no spectrum
MINIMUM_SPECTRUM_FRAMES = 4
# Å; larger only in cells of twice this length
_LARGEST_RADIUS_A = 30.0
_NUMBER: JsonDict = {"unit": "1"}
_ANGSTROM: JsonDict = {"unit": "angstrom"}
_MODES: JsonDict = {"unit": "1/THz"}


class PairDistribution(Document):
    """Partial radial distribution function and coordination of one pair of species."""

    centre: str = Field(description="Central species")
    neighbour: str = Field(description="Neighbouring species")
    radii_A: list[float] = Field(description="Centres of the shells", json_schema_extra=_ANGSTROM)
    g: list[float] = Field(
        description="Pair density over that of atoms placed at random", json_schema_extra=_NUMBER
    )
    cutoff_A: float | None = Field(
        description="First minimum of g, the radius of the coordination sphere; null where there is none",
        json_schema_extra=_ANGSTROM,
    )
    coordination_number: float | None = Field(
        description="Mean number of neighbours within the cutoff", json_schema_extra=_NUMBER
    )
    coordination_spread: float | None = Field(
        description="Standard deviation over atoms and frames", json_schema_extra=_NUMBER
    )
    coordination_shares: dict[str, float] = Field(
        description="Share of atoms and frames by number of neighbours", json_schema_extra=_NUMBER
    )


class SpeciesSpectrum(Document):
    """Vibrational density of states of one species."""

    species: str = Field(description="Element")
    dos: list[float] = Field(description="Modes per THz in the cell", json_schema_extra=_MODES)
    mean_frequency_THz: float = Field(
        description="First moment of its density of states", json_schema_extra={"unit": "THz"}
    )
    velocity_autocorrelation: list[float] = Field(
        description="⟨v(0)·v(t)⟩ over ⟨v²⟩ at each of lag_times_ps", json_schema_extra=_NUMBER
    )


class StructureFunctions(Document):
    """Structure and vibrations at one temperature, whatever the trajectories came from."""

    temperature_K: float = Field(description="Temperature", gt=0, json_schema_extra={"unit": "K"})
    verdict: Verdict = Field(description="ok, or unresolved: too few frames for the distributions")
    reasons: list[str] = Field(
        default_factory=list, description="Why the verdict is not ok, or why there is no spectrum"
    )
    n_frames: int = Field(description="Frames of all trajectories", json_schema_extra=_NUMBER)
    n_frames_of_distributions: int = Field(
        description="Frames, evenly spread, that the distributions are averaged over",
        json_schema_extra=_NUMBER,
    )
    pair_distributions: list[PairDistribution] = Field(description="Every pair of species, both ways round")
    frequencies_THz: list[float] = Field(
        description="Of the spectrum; empty without velocities", json_schema_extra={"unit": "THz"}
    )
    spectrum: list[SpeciesSpectrum] = Field(
        description="Vibrational density of states by species, 3 N modes in all; empty without velocities"
    )
    lag_times_ps: list[float] = Field(
        description="Of the velocity autocorrelations; empty without velocities",
        json_schema_extra={"unit": "ps"},
    )
    warnings: list[str] = Field(description="What makes the numbers worth less")

    @classmethod
    def of(
        cls,
        trajectories: Sequence[Trajectory],
        temperature_K: float,
        *,
        maximum_radius_A: float = 8.0,
        bin_width_A: float = 0.05,
        maximum_frames: int = 400,
        resolution_THz: float = 0.25,
        maximum_lag_ps: float = 2.0,
        **more: Any,
    ) -> Self:
        """Compute all functions of replicas of one cell.

        Parameters
        ----------
        trajectories : sequence of Trajectory
            Replicas, with the atoms in the same order.
        temperature_K : float
            Temperature.
        maximum_radius_A, bin_width_A : float
            Range and resolution of the distributions, Å.
        maximum_frames : int
            Frames to average the distributions over, at most.
        resolution_THz : float
            Spacing of the frequencies; coarser where the trajectories are too short for it.
        maximum_lag_ps : float
            Longest lag of the velocity autocorrelations, ps; half of the shortest run at most.
        **more : Any
            Fields of a derived class.

        Returns
        -------
        StructureFunctions
            The document.

        Raises
        ------
        InputError
            If the trajectories hold different atoms, or the radius is far beyond the cell.
        """
        species = trajectories[0].species
        if any(part.species != species for part in trajectories):
            raise InputError("the trajectories hold different atoms or another order of atoms")
        n_frames = sum(len(part) for part in trajectories)
        verdict, reasons = _judge(n_frames)
        stride = max(1, -(-n_frames // maximum_frames))
        positions = np.concatenate([part.positions[::stride] for part in trajectories])
        cells = np.concatenate([part.cells[::stride] for part in trajectories])
        _check_radius(maximum_radius_A, cells)
        pairs = []
        for first, second in combinations_with_replacement(sorted(set(species)), 2):
            pairs += _distributions(positions, cells, species, (first, second), maximum_radius_A, bin_width_A)
        frequencies: list[float] = []
        spectrum: list[SpeciesSpectrum] = []
        lags: list[float] = []
        warnings = [note for trajectory in trajectories for note in trajectory.notes]
        if missing := _why_no_spectrum(trajectories):
            reasons.append(missing)
        else:
            parts = [part for trajectory in trajectories for part in trajectory.continuous_parts()]
            frequencies, spectrum, doubts = _spectrum(parts, resolution_THz)
            lags = _add_autocorrelations(spectrum, parts, maximum_lag_ps)
            warnings += doubts
        return cls(
            temperature_K=temperature_K,
            verdict=verdict,
            reasons=reasons,
            n_frames=n_frames,
            n_frames_of_distributions=len(positions),
            pair_distributions=pairs,
            frequencies_THz=frequencies,
            spectrum=spectrum,
            lag_times_ps=lags,
            warnings=warnings,
            **more,
        )


class StructureFunctionDoc(StructureFunctions, DerivedDocument):
    """Structure and vibrations of one material, potential, protocol and temperature, replicas pooled."""

    collection: ClassVar[str] = "structure_function"
    meaning_version: ClassVar[str] = "2"
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
    potential: PotentialIdentity = Field(description="Potential of the dynamics")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    protocol: DynamicsConditions = Field(description="What the pooled runs share")
    protocol_id: str = Field(description="Hash of these conditions")

    @classmethod
    def from_trajectories(
        cls,
        outputs: Sequence[MolecularDynamicsOutput],
        trajectories: Sequence[Trajectory],
        **parameters: Any,
    ) -> Self:
        """Pool replicas and compute all functions.

        Parameters
        ----------
        outputs : sequence of MolecularDynamicsOutput
            The runs, all of one group.
        trajectories : sequence of Trajectory
            Their production parts, in the same order.
        **parameters : Any
            Keyword arguments of :meth:`StructureFunctions.of`.

        Returns
        -------
        StructureFunctionDoc
            The document, without build metadata.
        """
        group = common_group(outputs)
        first = outputs[0]
        identity = {name: value for name, value in group.items() if name != "temperature_K"}
        document = cls.of(
            trajectories,
            group["temperature_K"],
            **parameters,
            id=cls.id_of(group),
            **identity,
            **first.model_dump(include={"material_name", "formula", "chemical_system", "elements"}),
            potential=first.potential,
            protocol=DynamicsConditions.of(first),
        )
        if document.spectrum and first.protocol.ensemble != "nve":
            document.warnings.append("the thermostat of the run adds its own frequencies to the spectrum")
        return document


def _judge(n_frames: int) -> tuple[Verdict, list[str]]:
    """Say whether there are frames enough, and why not."""
    if n_frames >= MINIMUM_FRAMES:
        return "ok", []
    reason = f"{n_frames} frames are too few; distributions need at least {MINIMUM_FRAMES}"
    return "unresolved", [reason]


def _why_no_spectrum(trajectories: Sequence[Trajectory]) -> str | None:
    """Say what the trajectories lack for a spectrum, or None."""
    if any(part.velocities is None for part in trajectories):
        return "no spectrum: velocities were not stored"
    if (shortest := min(map(len, trajectories))) < MINIMUM_SPECTRUM_FRAMES:
        return f"no spectrum: a replica has {shortest} frames; it needs at least {MINIMUM_SPECTRUM_FRAMES}"
    if not any(np.any(part.velocities) for part in trajectories):
        return "no spectrum: all velocities are zero"
    return None


def _check_radius(radius_A: float, cells: np.ndarray) -> None:
    """Refuse a range whose pairs, which grow as its cube, would take hours and only repeat the cell."""
    longest_A = float(np.linalg.norm(cells, axis=-1).max())
    limit_A = max(_LARGEST_RADIUS_A, longest_A / 2)
    if radius_A > limit_A:
        raise InputError(
            f"maximum radius {radius_A:g} Å: at most {limit_A:g} Å for this cell ({_LARGEST_RADIUS_A:g} Å, "
            "or half the longest cell vector if more)"
        )


def _distributions(
    positions: np.ndarray,
    cells: np.ndarray,
    species: tuple[str, ...],
    pair: tuple[str, str],
    radius_A: float,
    width_A: float,
) -> list[PairDistribution]:
    """Distribution of one pair, and the same seen from the other species."""
    found = radial_distribution(
        positions, cells, species, pair, maximum_radius_A=radius_A, bin_width_A=width_A
    )
    cutoff = first_minimum(found)
    documents = []
    for centre, neighbour in dict.fromkeys([pair, pair[::-1]]):
        numbers = None
        if cutoff is not None:
            numbers = coordination_statistics(positions, cells, species, (centre, neighbour), cutoff)
        documents.append(
            PairDistribution(
                centre=centre,
                neighbour=neighbour,
                radii_A=np.round(found.radii_A, 6).tolist(),
                g=np.round(found.g, 6).tolist(),
                cutoff_A=cutoff,
                coordination_number=numbers.mean if numbers else None,
                coordination_spread=numbers.standard_deviation if numbers else None,
                coordination_shares={str(n): s for n, s in numbers.fractions.items()} if numbers else {},
            )
        )
    return documents


def _spectrum(
    trajectories: Sequence[Trajectory], resolution_THz: float
) -> tuple[list[float], list[SpeciesSpectrum], list[str]]:
    """Mean density of states of the replicas up to where it ends."""
    step_fs = 1000 * common_time_step(trajectories)
    shortest = min(len(part) for part in trajectories)
    resolution = max(resolution_THz, 1000.0 / (shortest * step_fs))
    species = trajectories[0].species
    masses = atomic_masses[[atomic_numbers[name] for name in species]]
    spectra = [
        vibrational_density_of_states(
            np.asarray(part.velocities), masses, step_fs, species=species, resolution_THz=resolution
        )
        for part in trajectories
    ]
    weights = [len(part) for part in trajectories]
    frequencies = spectra[0].frequencies_THz
    total = np.average([spectrum.total for spectrum in spectra], axis=0, weights=weights)
    warnings = []
    if total[int(0.9 * len(total)) :].sum() > 0.01 * total.sum():
        warnings.append(
            f"the spectrum reaches {frequencies[-1]:.1f} THz, the most that frames {step_fs:g} fs apart can "
            "show: higher frequencies are folded back; store velocities more often"
        )
    end = int(np.searchsorted(np.cumsum(total), 0.9999 * total.sum())) + 2
    found = []
    for name in dict.fromkeys(species):
        dos = np.average([s.dos_per_species[name] for s in spectra], axis=0, weights=weights)
        mean = float(np.sum(dos * frequencies) / np.sum(dos)) if dos.any() else 0.0
        found.append(
            SpeciesSpectrum(
                species=name,
                dos=np.round(dos[:end], 6).tolist(),
                mean_frequency_THz=mean,
                velocity_autocorrelation=[],
            )
        )
    return np.round(frequencies[:end], 6).tolist(), found, warnings


def _add_autocorrelations(
    spectrum: Sequence[SpeciesSpectrum], trajectories: Sequence[Trajectory], maximum_lag_ps: float
) -> list[float]:
    """Add the mean velocity autocorrelation of the replicas to each species, and return the lags in ps."""
    step_ps = common_time_step(trajectories)
    n_lags = min(round(maximum_lag_ps / step_ps), min(len(part) for part in trajectories) // 2)
    species = np.array(trajectories[0].species)
    weights = [len(part) for part in trajectories]
    for part in spectrum:
        found = [
            velocity_autocorrelation(
                np.asarray(run.velocities)[:, species == part.species], maximum_lag=n_lags
            )
            for run in trajectories
        ]
        mean = np.average(found, axis=0, weights=weights)
        part.velocity_autocorrelation = np.round(mean / (mean[0] or 1.0), 6).tolist()
    return np.round(step_ps * np.arange(n_lags + 1), 9).tolist()
