"""What the development of a potential will cost, before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.screening.costs import RELAXATION_EVALUATIONS, SECONDS_PER_HOUR
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.training.cost import label_core_seconds, training_core_seconds
from sse_screen.workflows.development_section import PotentialDevelopment, TeacherLabels
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest

#: ms of one core for an atom and a step, by code; measured: CHGNet 0.4 to 0.8, a MACE of 16 to 32 channels
#: 0.2 to 0.4 (a foundation model takes several times longer), LAMMPS with pairs and Ewald sums 0.005
MS_PER_ATOM_AND_STEP = {"chgnet": 0.6, "mace": 0.3, "lammps": 0.005}
Requests = Sequence[DiffusionRequest | HullEntryRequest]


@dataclass(frozen=True)
class CostPart:
    """One part of an estimate.

    Attributes
    ----------
    name : str
        What is done.
    amount : str
        How much of it, for people.
    core_hours : float
        What it takes.
    """

    name: str
    amount: str
    core_hours: float


@dataclass(frozen=True)
class DevelopmentEstimate:
    """What the development of a potential will take, good to a factor of two or three.

    Attributes
    ----------
    n_labels : int
        Calculations.
    parts : tuple of CostPart
        In the order in which they run.
    """

    n_labels: int
    parts: tuple[CostPart, ...]

    @property
    def core_hours(self) -> float:
        """Core hours of all parts."""
        return sum(part.core_hours for part in self.parts)

    def describe(self) -> str:
        """Say it in one line.

        Returns
        -------
        str
            With numbers and units.
        """
        largest = sorted(self.parts, key=lambda part: -part.core_hours)[:3]
        named = ", ".join(f"{part.name} {part.core_hours:.2g}" for part in largest)
        return (
            f"about {self.core_hours:.2g} core hours ({named}, …) and {self.n_labels} labels; the times are "
            "good to a factor of two or three"
        )


def estimate_development(
    section: PotentialDevelopment,
    crystals: Sequence[Structure],
    n_orderings: int,
    production: Requests,
    codes: tuple[str, str],
) -> DevelopmentEstimate:
    """Estimate all parts of a development.

    Parameters
    ----------
    section : PotentialDevelopment
        Of the campaign file.
    crystals : sequence of Structure
        Its compositions; the orderings are taken to be shared out equally among them.
    n_orderings : int
        Orderings there are to be relaxed, of all compositions.
    production : sequence
        What runs with the new potential.
    codes : tuple of str
        Code of the campaign's potential, and of the one that is trained.

    Returns
    -------
    DevelopmentEstimate
        Labels by a potential are counted as free, a training as never stopped early.
    """
    asked = section.dynamics
    code, new_code = codes
    cells = [supercell_with_minimum_length(crystal, asked.minimum_length_A) for crystal in crystals]
    n_atoms = sum(map(len, cells)) / len(cells)
    n_runs = section.n_runs(n_orderings)
    n_labels = n_runs * section.snapshots.structures_per_run
    n_steps = n_runs * asked.protocol.n_steps
    relaxed_atoms = n_orderings * sum(map(len, crystals)) / len(crystals)
    label_s = n_labels * _label_seconds(section, cells)
    parts = [
        CostPart(
            "relaxations", f"{n_orderings} orderings", _dynamics(code, relaxed_atoms * RELAXATION_EVALUATIONS)
        ),
        CostPart(
            "sampling runs",
            f"{n_runs} runs, {n_steps} steps of {n_atoms:.0f} atoms",
            _dynamics(code, n_steps * n_atoms),
        ),
        CostPart("labels", f"{n_labels} by {section.labels.code}", label_s / SECONDS_PER_HOUR),
        _training(section, new_code, n_labels, n_atoms),
        _gates(section, new_code, crystals),
        _production(new_code, production),
    ]
    return DevelopmentEstimate(n_labels, tuple(parts))


def _dynamics(code: str, atoms_times_steps: float) -> float:
    return atoms_times_steps * MS_PER_ATOM_AND_STEP[code] / 1000 / SECONDS_PER_HOUR


def _label_seconds(section: PotentialDevelopment, cells: Sequence[Structure]) -> float:
    if isinstance(section.labels, TeacherLabels):
        return 0.0
    settings = section.labels.settings
    options = (settings.cutoff_eV, settings.k_point_spacing_per_A, settings.functional)
    return sum(label_core_seconds(cell, *options) for cell in cells) / len(cells)


def _training(section: PotentialDevelopment, code: str, n_labels: int, n_atoms: float) -> CostPart:
    split, protocol = section.split, section.training
    sizes = sorted(set(section.training_fractions))
    learnt = n_labels * (1 - split.test_fraction - split.validation_fraction) * sum(sizes)
    judged = n_labels * split.validation_fraction * len(sizes)
    atoms = (learnt * n_atoms, judged * n_atoms)
    seconds = training_core_seconds(code, *atoms, protocol.maximum_epochs)
    amount = f"{len(sizes)} trainings, {learnt:.0f} structures, at most {protocol.maximum_epochs} epochs"
    return CostPart("training", amount, seconds / SECONDS_PER_HOUR)


def _gates(section: PotentialDevelopment, code: str, crystals: Sequence[Structure]) -> CostPart:
    gates = section.gates
    run = crystals[: gates.maximum_crystals]
    n_atoms = sum(len(supercell_with_minimum_length(crystal, gates.minimum_length_A)) for crystal in run)
    n_steps = round(1000 * (gates.hot_time_ps + gates.drift_time_ps) / gates.time_step_fs)
    return CostPart("gates", f"{n_steps} steps of {n_atoms} atoms", _dynamics(code, n_steps * n_atoms))


def _production(code: str, production: Requests) -> CostPart:
    n_runs, work = 0, 0.0
    for request in production:
        crystal = Structure.from_dict(request.structure)
        work += RELAXATION_EVALUATIONS * len(crystal)
        if isinstance(request, DiffusionRequest):
            runs = len(request.temperatures_K) * request.replicas
            cell = supercell_with_minimum_length(crystal, request.minimum_length_A)
            work += runs * _longest(request).n_steps * len(cell)
            n_runs += runs
    amount = f"{len(production)} relaxations, {n_runs} runs of molecular dynamics"
    return CostPart("production", amount, _dynamics(code, work))


def _longest(request: DiffusionRequest) -> MolecularDynamicsProtocol:
    if request.extension is None:
        return request.dynamics
    return request.dynamics.model_copy(update={"production_ps": request.extension.maximum_ps})
