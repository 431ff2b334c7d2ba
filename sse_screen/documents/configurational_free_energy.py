"""Stored form of a configurational free energy: one disordered parent, occupancy class, temperature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import DerivedDocument, PotentialIdentity, Quantity
from sse_screen.documents.configurational_free_energy_parts import (
    AveragedSpectrum,
    ConfigurationEnergy,
    EnergyDistribution,
    LikelyConfiguration,
    SampleConvergence,
)
from sse_screen.thermodynamics.partition_function import (
    ConfigurationalFreeEnergy,
    Convention,
    FreeEnergyError,
    configurational_free_energy,
    energy_histogram,
)
from sse_screen.thermodynamics.sampling_error import (
    bootstrap_free_energy,
    convergence_with_sample_size,
    noise_correction,
)
from sse_screen.thermodynamics.vibrations import DensityOfStates

_PER_ATOM: JsonDict = {"unit": "eV/atom"}
_PER_CELL: JsonDict = {"unit": "eV/cell"}
_ENTROPY: JsonDict = {"unit": "meV/K/atom"}
_NUMBER: JsonDict = {"unit": "1"}


class ConfigurationalFreeEnergyDoc(DerivedDocument):
    """Free energy of a disordered crystal at one temperature."""

    collection: ClassVar[str] = "configurational_free_energy"
    meaning_version: ClassVar[str] = "6"
    group_fields: ClassVar[tuple[str, ...]] = (
        "parent",
        "occupancy_class",
        "level_of_theory",
        "temperature_K",
        "convention",
        "with_vibrations",
    )

    parent: str = Field(description="Id or name of the disordered parent crystal")
    parent_name: str = Field("", description="Name of the parent in its campaign")
    formula: str = Field(description="Reduced formula of the ordered cells")
    chemical_system: str = Field(description="Elements, joined by dashes")
    elements: list[str] = Field(description="Elements")
    occupancy_class: str = Field(description="Occupied sites of each sublattice, such as 24d=12,96h=44")
    level_of_theory: str = Field(description="Potential or DFT setting of the energies")
    potential: PotentialIdentity | None = Field(
        None, description="The potential, where the energies are from one"
    )
    temperature_K: float = Field(description="Temperature", gt=0, json_schema_extra={"unit": "K"})
    convention: Convention = Field(
        description="physical: energies per cell with degeneracies; per_atom: the published one, to compare"
    )
    with_vibrations: bool = Field(description="True when F_i(T) stands in the Boltzmann factor")
    atoms_per_cell: int = Field(description="Atoms in the cell", json_schema_extra=_NUMBER)
    n_configurations: int = Field(description="Symmetry-unique orderings summed", json_schema_extra=_NUMBER)
    total_orderings: float = Field(description="Orderings that the sum stands for", json_schema_extra=_NUMBER)
    is_complete: bool = Field(description="False when the configurations are a sample of the orderings")
    free_energy: Quantity = Field(
        description="Free energy per atom with its interval", json_schema_extra={"unit": "eV/atom"}
    )
    free_energy_eV_per_atom: float = Field(description="Free energy", json_schema_extra=_PER_ATOM)
    free_energy_eV_per_cell: float = Field(description="Free energy", json_schema_extra=_PER_CELL)
    lowest_energy_eV_per_atom: float = Field(
        description="Lowest energy, or free energy, of an ordering", json_schema_extra=_PER_ATOM
    )
    mean_energy_eV_per_atom: float = Field(
        description="Average energy (without vibrations) or free energy (with)", json_schema_extra=_PER_ATOM
    )
    internal_energy_eV_per_atom: float | None = Field(
        description="Internal energy; null when the orderings' entropies are not known",
        json_schema_extra=_PER_ATOM,
    )
    configurational_entropy_meV_per_K_per_atom: float = Field(
        description="Configurational entropy", json_schema_extra=_ENTROPY
    )
    configurational_entropy_term_eV_per_atom: float = Field(
        description="-T S_conf", json_schema_extra=_PER_ATOM
    )
    vibrational_entropy_meV_per_K_per_atom: float | None = Field(
        description="Average vibrational entropy; null when not known", json_schema_extra=_ENTROPY
    )
    ln_partition_function: float = Field(
        description="ln Z, energies measured from the lowest", json_schema_extra=_NUMBER
    )
    effective_sample_size: float = Field(
        description="1 / sum p^2: orderings that carry the result", json_schema_extra=_NUMBER
    )
    noise_eV_per_cell: float | None = Field(
        None, description="Error of one cell's energy relative to the others", json_schema_extra=_PER_CELL
    )
    noise_shift_eV_per_atom: float | None = Field(
        None, description="Bias by that noise; subtract it to correct", json_schema_extra=_PER_ATOM
    )
    ranking_allowed: bool = Field(True, description="False when noise hides the order of the orderings")
    likely_configurations: list[LikelyConfiguration] = Field(
        description="The most probable orderings, at most twenty; empty when they must not be ranked"
    )
    energy_distribution: EnergyDistribution | None = Field(
        None, description="Distribution of the energies; null for a single ordering"
    )
    convergence: SampleConvergence | None = Field(
        None, description="Convergence with the number of orderings; null for fewer than four"
    )
    averaged_spectrum: AveragedSpectrum | None = Field(
        None, description="Mean density of states with its spread; null without vibrations"
    )
    mean_relaxation_time_s: float | None = Field(
        None, description="What one relaxation took", json_schema_extra={"unit": "s"}
    )
    mean_run_time_s: float | None = Field(
        None, description="What one constant-energy run took", json_schema_extra={"unit": "s"}
    )
    seed: int = Field(0, description="Seed of the bootstrap and of the subsets", json_schema_extra=_NUMBER)
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")

    @classmethod
    def from_configurations(
        cls,
        configurations: Sequence[ConfigurationEnergy],
        *,
        parent: str,
        occupancy_class: str,
        cell_formula: str,
        temperature_K: float,
        convention: Convention = "physical",
        with_vibrations: bool = False,
        potential: PotentialIdentity | None = None,
        level_of_theory: str | None = None,
        total_orderings: float | None = None,
        noise_eV_per_cell: float | None = None,
        seed: int = 0,
        densities: Iterable[tuple[str, DensityOfStates]] | None = None,
    ) -> Self:
        """Sum over the orderings.

        Parameters
        ----------
        configurations : sequence of ConfigurationEnergy
            The orderings, all of one cell and one potential.
        parent : str
            Id or name of the disordered crystal.
        occupancy_class : str
            Occupied sites of each sublattice.
        cell_formula : str
            Formula of one ordered cell; its atoms are the atoms per cell.
        temperature_K : float
            Temperature.
        convention : {"physical", "per_atom"}
            How the sums are made.
        with_vibrations : bool
            Put F_i(T) in the Boltzmann factor; every configuration must have it.
        potential : PotentialIdentity, optional
            The potential that made all energies.
        level_of_theory : str, optional
            Its name where there is no potential.
        total_orderings : float, optional
            Orderings that a sample stands for; the list is complete if left out.
        noise_eV_per_cell : float, optional
            Error of one cell's energy relative to the others.
        seed : int
            Seed of the bootstrap.
        densities : iterable of (str, DensityOfStates), optional
            Configuration id and density of states, for the average over them; taken one after another, those
            of other configurations are passed over.

        Returns
        -------
        ConfigurationalFreeEnergyDoc
            The document, without build metadata.

        Raises
        ------
        FreeEnergyError
            If the input makes no sense or free energies are missing.
        """
        from pymatgen.core import Composition

        ordered = sorted(configurations, key=lambda c: c.configuration_id)
        composition = Composition(cell_formula)
        atoms = round(composition.num_atoms)
        result = _summed(
            ordered, temperature_K, atoms, convention, with_vibrations=with_vibrations, total=total_orderings
        )
        complete = total_orderings is None
        quantity = _interval(ordered, result, with_vibrations=with_vibrations, complete=complete, seed=seed)
        quantity, shift, ranking = _with_noise(quantity, result, noise_eV_per_cell)
        level = level_of_theory or (
            f"{potential.name} {potential.weights_sha256[:12]}" if potential else "not given"
        )
        group = {
            "parent": parent,
            "occupancy_class": occupancy_class,
            "level_of_theory": level,
            "temperature_K": float(temperature_K),
            "convention": convention,
            "with_vibrations": with_vibrations,
        }
        elements = sorted(element.symbol for element in composition.elements)
        return cls(
            id=cls.id_of(group),
            **group,
            formula=composition.reduced_formula,
            chemical_system="-".join(elements),
            elements=elements,
            potential=potential,
            n_configurations=len(ordered),
            is_complete=complete,
            free_energy=quantity,
            noise_eV_per_cell=noise_eV_per_cell,
            noise_shift_eV_per_atom=shift,
            ranking_allowed=ranking,
            likely_configurations=_likely(ordered, result, with_vibrations) if ranking else [],
            energy_distribution=_distribution(ordered, result, with_vibrations),
            convergence=_convergence(ordered, result, with_vibrations, seed),
            averaged_spectrum=_averaged(ordered, result, densities),
            seed=seed,
            warnings=list(quantity.reasons),
            **_numbers(result),
        )


def _boltzmann_energies(configurations: Sequence[ConfigurationEnergy], with_vibrations: bool) -> list[float]:
    """Give what stands in the Boltzmann factor."""
    if not with_vibrations:
        return [c.energy_eV_per_cell for c in configurations]
    missing = [c.configuration_id for c in configurations if c.free_energy_eV_per_cell is None]
    if missing:
        raise FreeEnergyError(
            f"{len(missing)} configurations have no free energy with vibrations, the first is {missing[0]}"
        )
    return [float(c.free_energy_eV_per_cell or 0.0) for c in configurations]


def _summed(
    configurations: Sequence[ConfigurationEnergy],
    temperature_K: float,
    atoms: int,
    convention: Convention,
    *,
    with_vibrations: bool,
    total: float | None,
) -> ConfigurationalFreeEnergy:
    """Make the sums."""
    entropies = [c.entropy_eV_per_K_per_cell for c in configurations]
    known = with_vibrations and all(entropy is not None for entropy in entropies)
    return configurational_free_energy(
        _boltzmann_energies(configurations, with_vibrations),
        temperature_K,
        atoms_per_cell=atoms,
        degeneracies=[c.degeneracy for c in configurations],
        convention=convention,
        entropies_eV_per_K_per_cell=np.array(entropies, dtype=float) if known else None,
        energies_are_free=with_vibrations,
        total_weight=total,
    )


def _interval(
    configurations: Sequence[ConfigurationEnergy],
    result: ConfigurationalFreeEnergy,
    *,
    with_vibrations: bool,
    complete: bool,
    seed: int,
) -> Quantity:
    """Give the free energy with the interval that sampling leaves open."""
    value = result.free_energy_eV_per_atom
    if complete:
        reason = (
            "all orderings are summed: no sampling error; the potential's own error is not in the interval"
        )
        return Quantity(value=value, lower=value, upper=value, unit="eV/atom", reasons=[reason])
    interval = bootstrap_free_energy(
        _boltzmann_energies(configurations, with_vibrations),
        result.temperature_K,
        atoms_per_cell=result.atoms_per_cell,
        rng=np.random.default_rng(seed),
        degeneracies=[c.degeneracy for c in configurations],
        convention=result.convention,
        total_weight=result.total_weight,
    )
    return Quantity(
        value=value,
        lower=min(value, interval.lower_eV_per_cell / result.atoms_per_cell),
        upper=max(value, interval.upper_eV_per_cell / result.atoms_per_cell),
        unit="eV/atom",
        confidence=interval.confidence,
        verdict="unresolved" if interval.warnings else "ok",
        reasons=list(interval.warnings),
    )


def _with_noise(
    quantity: Quantity, result: ConfigurationalFreeEnergy, noise_eV_per_cell: float | None
) -> tuple[Quantity, float | None, bool]:
    """Add what noise in the energies does: the shift per atom and whether a ranking is allowed."""
    if noise_eV_per_cell is None:
        return quantity, None, True
    correction = noise_correction(noise_eV_per_cell, result.temperature_K, result.effective_sample_size)
    changes = {"reasons": [*quantity.reasons, *correction.reasons]}
    if not correction.ranking_allowed:
        changes["verdict"] = "refused"  # type: ignore[assignment]
    shift = correction.shift_eV_per_cell / result.atoms_per_cell
    return quantity.model_copy(update=changes), shift, correction.ranking_allowed


def _likely(
    configurations: Sequence[ConfigurationEnergy], result: ConfigurationalFreeEnergy, with_vibrations: bool
) -> list[LikelyConfiguration]:
    """List the most probable orderings."""
    energies = _boltzmann_energies(configurations, with_vibrations)
    order = np.argsort(-result.probabilities, kind="stable")[:20]
    return [
        LikelyConfiguration(
            configuration_id=configurations[i].configuration_id,
            energy_above_lowest_eV_per_cell=energies[i] - result.lowest_energy_eV_per_cell,
            degeneracy=configurations[i].degeneracy,
            probability=float(result.probabilities[i]),
        )
        for i in order
    ]


def _distribution(
    configurations: Sequence[ConfigurationEnergy], result: ConfigurationalFreeEnergy, with_vibrations: bool
) -> EnergyDistribution | None:
    """Sort the orderings into bins of energy."""
    energies = _boltzmann_energies(configurations, with_vibrations)
    found = energy_histogram(energies, result, [c.degeneracy for c in configurations])
    if found is None:
        return None
    return EnergyDistribution(
        bin_edges_meV_per_atom=found.edges_meV_per_atom.tolist(),
        orderings=found.orderings.tolist(),
        probabilities=found.probabilities.tolist(),
    )


def _convergence(
    configurations: Sequence[ConfigurationEnergy],
    result: ConfigurationalFreeEnergy,
    with_vibrations: bool,
    seed: int,
) -> SampleConvergence | None:
    """Repeat the sum over random subsets."""
    if len(configurations) < 4:
        return None
    found = convergence_with_sample_size(
        _boltzmann_energies(configurations, with_vibrations),
        result.temperature_K,
        atoms_per_cell=result.atoms_per_cell,
        rng=np.random.default_rng(seed),
        degeneracies=[c.degeneracy for c in configurations],
        convention=result.convention,
        total_weight=result.total_weight,
        n_subsets=10,
    )
    return SampleConvergence(
        sample_sizes=found.sample_sizes.tolist(),
        free_energies_eV_per_atom=found.free_energies_eV_per_atom.tolist(),
        free_energy_spreads_eV_per_atom=found.free_energy_spreads_eV_per_atom.tolist(),
        entropy_terms_eV_per_atom=found.entropy_terms_eV_per_atom.tolist(),
        entropy_term_spreads_eV_per_atom=found.entropy_term_spreads_eV_per_atom.tolist(),
        unscaled_entropy_terms_eV_per_atom=found.unscaled_entropy_terms_eV_per_atom.tolist(),
    )


def _averaged(
    configurations: Sequence[ConfigurationEnergy],
    result: ConfigurationalFreeEnergy,
    densities: Iterable[tuple[str, DensityOfStates]] | None,
) -> AveragedSpectrum | None:
    if densities is None:
        return None
    probabilities = {
        c.configuration_id: float(p) for c, p in zip(configurations, result.probabilities, strict=True)
    }
    return AveragedSpectrum.from_densities(
        (density, probabilities[name]) for name, density in densities if name in probabilities
    )


def _numbers(result: ConfigurationalFreeEnergy) -> dict[str, float | int | None]:
    """Turn a result per cell into the document's numbers per atom."""
    atoms = result.atoms_per_cell
    entropy = result.configurational_entropy_eV_per_K_per_cell / atoms
    own = result.vibrational_entropy_eV_per_K_per_cell / atoms
    internal = result.internal_energy_eV_per_cell / atoms
    return {
        "atoms_per_cell": atoms,
        "total_orderings": result.total_weight,
        "free_energy_eV_per_atom": result.free_energy_eV_per_atom,
        "free_energy_eV_per_cell": result.free_energy_eV_per_cell,
        "lowest_energy_eV_per_atom": result.lowest_energy_eV_per_cell / atoms,
        "mean_energy_eV_per_atom": result.mean_energy_eV_per_cell / atoms,
        "internal_energy_eV_per_atom": None if np.isnan(internal) else internal,
        "configurational_entropy_meV_per_K_per_atom": 1e3 * entropy,
        "configurational_entropy_term_eV_per_atom": -result.temperature_K * entropy,
        "vibrational_entropy_meV_per_K_per_atom": None if np.isnan(own) else 1e3 * own,
        "ln_partition_function": result.ln_partition_function,
        "effective_sample_size": result.effective_sample_size,
    }
