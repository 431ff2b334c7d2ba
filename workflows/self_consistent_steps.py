"""What the steps of a self-consistent loop do: fit, explore, choose, measure, count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity, Quantity, content_hash
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.label import LabelBatchOutput, UnlabelledStructure, unpack_labels
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.self_consistent import (
    BrokenMeasurement,
    Exploration,
    LoopDiffusivity,
    LoopProtocol,
    LoopState,
    LoopStep,
    TrainedStudent,
)
from sse_screen.dynamics.molecular_dynamics import DynamicsError, run_molecular_dynamics
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file
from sse_screen.potentials import load_calculator
from sse_screen.structures.distortions import rattle
from sse_screen.structures.identity import structure_hash
from sse_screen.training.cleaning import CleaningRules, clean
from sse_screen.training.exploration import closest_contact, equidistant, largest_force_deviation
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import predict_with
from sse_screen.training.students import Student
from sse_screen.workflows.labelling import store_batch
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, reporter, versions, worker

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

_UNCERTAIN = "the committee deviates by"


def seed_of(state: LoopState, *what: Any) -> int:
    """Derive the seed of a run from the loop's and from where the loop is.

    Parameters
    ----------
    state : LoopState
        Where.
    *what : Any
        What tells runs of one place apart.

    Returns
    -------
    int
        32 bits.
    """
    where = [state.seed, state.loop, state.position, state.refits, state.interruptions]
    return int(content_hash([*where, *what])[:8], 16)


def unlabelled(cells: Sequence[Structure], state: LoopState, source: str) -> list[UnlabelledStructure]:
    """Prepare cells for the labeller; each is a configuration of its own.

    Parameters
    ----------
    cells : sequence of Structure
        To be labelled.
    state : LoopState
        Named as their source.
    source : str
        What they are.

    Returns
    -------
    list of UnlabelledStructure
        In the same order.
    """
    return [
        UnlabelledStructure(
            structure=cell.as_dict(),
            parent_configuration=structure_hash(cell),
            source=f"{state.name}, loop {state.loop}, {source} {number}",
        )
        for number, cell in enumerate(cells, 1)
    ]


def labelled(blobs: Sequence[BlobReference]) -> list[LabelledStructure]:
    """Read labels back, each structure once.

    Parameters
    ----------
    blobs : sequence of BlobReference
        Packed labels.

    Returns
    -------
    list of LabelledStructure
        In order of the hashes of their geometries.
    """
    found: dict[str, LabelledStructure] = {}
    for blob in blobs:
        for label in unpack_labels(worker().blobs.get(blob.sha256)):
            found.setdefault(label.geometry_sha256, label.to_labelled())
    return [found[name] for name in sorted(found)]


def step_of(
    state: LoopState, batch: LabelBatchOutput | None, found: Exploration | None, protocol: LoopProtocol
) -> LoopStep:
    """Write the line of the history: how good the student was on what it had not seen.

    Parameters
    ----------
    state : LoopState
        Before the labels.
    batch : LabelBatchOutput or None
        New labels.
    found : Exploration or None
        The run that they are from.
    protocol : LoopProtocol
        Limits.

    Returns
    -------
    LoopStep
        The line.
    """
    error = None
    if batch is not None and state.student is not None:
        error = _force_error(calculator_for(state.student.potential), labelled([batch.packed]))
    return LoopStep(
        loop=0 if found is None else state.loop,
        temperature_K=None if found is None else found.temperature_K,
        refits=state.refits,
        broke=None if found is None else found.broke,
        left_uncertain=found is not None and bool(found.uncertain) and not _goes_on(state, protocol),
        n_new_labels=0 if batch is None else len(batch.labels),
        force_error_eV_per_A=error,
        largest_deviation_eV_per_A=None if found is None else found.largest_deviation_eV_per_A,
        potential_sha256=None if state.student is None else state.student.potential.weights_sha256,
    )


def _goes_on(state: LoopState, protocol: LoopProtocol) -> bool:
    """Tell whether an on-the-fly run that was ended again is taken up once more."""
    return state.interruptions + 1 < protocol.frames_per_step


def _force_error(calculator: Calculator, structures: Sequence[LabelledStructure]) -> float:
    predicted = np.concatenate(predict_with(calculator, structures).forces_eV_per_A)
    labels = np.concatenate([structure.forces_eV_per_A for structure in structures])
    return float(np.sqrt(np.mean((predicted - labels) ** 2)))


def state_after(
    state: LoopState, batch: LabelBatchOutput | None, found: Exploration | None, protocol: LoopProtocol
) -> LoopState:
    """Give the state after a step: which temperature comes next, from where.

    Parameters
    ----------
    state : LoopState
        Before.
    batch : LabelBatchOutput or None
        New labels.
    found : Exploration or None
        The run that they are from; None for the initial cells.
    protocol : LoopProtocol
        Limits.

    Returns
    -------
    LoopState
        After; its history is not longer yet.
    """
    changes: dict[str, Any] = {}
    if batch is not None:
        changes |= {"labels": [*state.labels, batch.packed], "n_labels": state.n_labels + len(batch.labels)}
    if found is None:
        return state.model_copy(update=changes)
    if found.broke:
        changes |= {"refits": state.refits + 1, "start": None}
    elif found.uncertain and _goes_on(state, protocol):
        changes |= {"start": found.last_certain, "interruptions": state.interruptions + 1}
    else:
        changes |= {"position": state.position + 1, "refits": 0, "interruptions": 0, "start": None}
    return state.model_copy(update=changes)


def train_student(
    student: Student, state: LoopState, rules: CleaningRules, n_members: int, key: str, folder: Path
) -> TrainedStudent:
    """Fit, store the weights, and say how well the labels are met.

    Parameters
    ----------
    student : LinearStudent or FineTunedStudent
        What learns.
    state : LoopState
        With labels.
    rules : CleaningRules
        Which of them are not learnt from.
    n_members : int
        Size of the committee, 0 for none.
    key : str
        Idempotency key.
    folder : Path
        Of this calculation.

    Returns
    -------
    TrainedStudent
        Weights in the blob store.
    """
    started = time.perf_counter()
    cleaned = clean(labelled(state.labels), rules)
    structures = cleaned.kept
    weights = student.train(structures, n_members, state.seed, state.refits, folder)
    blobs = [worker().blobs.put(content, "application/octet-stream") for content in weights]
    level = structures[0].level_of_theory.describe()
    elements = sorted({symbol for structure in structures for symbol in structure.species})
    identities = [
        PotentialIdentity(
            name=f"{state.name}, {len(structures)} labels" + (f", member {k}" if k else ""),
            code=student.code,
            code_version=version(student.code),
            weights_sha256=blob.sha256,
            level_of_theory=level,
            elements=elements,
        )
        for k, blob in enumerate(blobs)
    ]
    return TrainedStudent(
        calculation_key=key,
        potential=identities[0],
        weights=blobs[0],
        committee=identities[1:],
        committee_weights=blobs[1:],
        n_labels=len(structures),
        rejected=[rejection.reason for rejection in cleaned.rejected],
        training_force_error_eV_per_A=_force_error(calculator_for(identities[0]), structures),
        total_time_s=time.perf_counter() - started,
        versions=versions(),
    )


@dataclass
class _Watcher:
    """Looks at every frame of an exploration, and ends it where the student cannot be trusted."""

    atoms: Atoms
    committee: list[Calculator]
    protocol: LoopProtocol
    largest_deviation: float | None = None
    seen: list[Structure] = field(default_factory=list)

    def deviation(self, positions: Any, cell: Any) -> float:
        """Give the committee's largest deviation on a frame."""
        atoms = self.atoms.copy()
        atoms.set_cell(cell)
        atoms.set_positions(positions)
        forces = []
        for member in self.committee:
            atoms.calc = member
            forces.append(atoms.get_forces())
        found = largest_force_deviation(forces)
        self.largest_deviation = max(found, self.largest_deviation or 0.0)
        return found

    def __call__(self, record: dict[str, Any]) -> str | None:
        """Say why the run has to end at this frame."""
        distance = closest_contact(record["positions"], record["cells"])
        if distance < self.protocol.minimum_distance_A:
            return f"two ions came within {distance:.2f} Å"
        species = self.atoms.get_chemical_symbols()
        frame = Structure(
            record["cells"], species, record["positions"], coords_are_cartesian=True, to_unit_cell=True
        )
        self.seen = [*self.seen[-self.protocol.frames_per_step + 1 :], frame]
        committee = self.protocol.committee
        if committee is None or not committee.on_the_fly:
            return None
        deviation = self.deviation(record["positions"], record["cells"])
        uncertain = deviation > committee.threshold_eV_per_A
        return f"{_UNCERTAIN} {deviation:.2f} eV/Å" if uncertain else None


def explore_with(
    state: LoopState, protocol: LoopProtocol, temperature_K: float, seed: int, key: str, folder: Path
) -> Exploration:
    """Run the student, watch it, and choose frames to be labelled.

    Parameters
    ----------
    state : LoopState
        With a student.
    protocol : LoopProtocol
        Length of the run, numbers of frames, committee.
    temperature_K : float
        Of the run.
    seed : int
        Of the run.
    key : str
        Idempotency key.
    folder : Path
        Of this calculation.

    Returns
    -------
    Exploration
        What was found; the frames in the blob store.
    """
    started = time.perf_counter()
    assert state.student is not None  # a fit came before
    cell = Structure.from_dict(state.start or state.structure)
    atoms = AseAtomsAdaptor.get_atoms(cell, msonable=False)
    committee = [load_calculator(name_or_file(p, worker().blobs)) for p in state.student.committee]
    watcher = _Watcher(atoms, committee, protocol)
    report = reporter(folder, f"{state.name} {temperature_K:g} K")
    run = folder / "run"
    calculator = calculator_for(state.student.potential)
    frames, stopped = None, None
    try:
        result = run_molecular_dynamics(
            atoms, calculator, protocol.exploration, temperature_K, seed, run, report, watch=watcher
        )
        frames, stopped = read_trajectory_file(result.trajectory_file), result.stopped
    except DynamicsError as error:
        stopped = str(error)
    uncertain = stopped is not None and stopped.startswith(_UNCERTAIN)
    cells: list[Structure] = []
    if frames is not None:
        chosen = [len(frames) - 1] if uncertain else _choose(frames, watcher, protocol, broke=bool(stopped))
        cells = [cell_of(frames, index) for index in chosen]
    elif watcher.seen:  # it exploded between two frames: the last ones before
        cells = watcher.seen
    if not cells and stopped:  # it broke at once: distorted cells are as good as any
        rng = np.random.default_rng(seed)
        cells = [rattle(cell, protocol.initial_displacement_A, rng) for _ in range(protocol.n_initial)]
    batch = store_batch(unlabelled(cells, state, f"{temperature_K:g} K frame")) if cells else None
    return Exploration(
        calculation_key=key,
        temperature_K=temperature_K,
        time_ps=0.0 if frames is None else float(frames.times_ps[-1]),
        broke=None if uncertain else stopped,
        uncertain=stopped if uncertain else None,
        largest_deviation_eV_per_A=watcher.largest_deviation,
        n_chosen=len(cells),
        batch=batch,
        last_certain=_last_certain(frames, cell).as_dict() if uncertain else None,
        total_time_s=time.perf_counter() - started,
        versions=versions(),
    )


def _last_certain(frames: Trajectory | None, start: Structure) -> Structure:
    return start if frames is None or len(frames) < 2 else cell_of(frames, len(frames) - 2)


def _choose(frames: Trajectory, watcher: _Watcher, protocol: LoopProtocol, *, broke: bool) -> list[int]:
    """Choose the frames to be labelled: equidistant ones, or those where the committee deviates."""
    usable = [
        index
        for index in range(len(frames))
        if closest_contact(frames.positions[index], frames.cells[index]) >= protocol.minimum_distance_A
    ]
    looked_at = [usable[i] for i in equidistant(len(usable), protocol.frames_per_step)]
    if protocol.committee is None or broke:
        return looked_at
    deviations = {i: watcher.deviation(frames.positions[i], frames.cells[i]) for i in looked_at}
    return [i for i in looked_at if deviations[i] > protocol.committee.threshold_eV_per_A]


def cell_of(frames: Trajectory, index: int) -> Structure:
    """Give a frame as a crystal.

    Parameters
    ----------
    frames : Trajectory
        Of a run.
    index : int
        Of the frame.

    Returns
    -------
    Structure
        With all ions in the cell.
    """
    return Structure(
        frames.cells[index],
        frames.species,
        frames.positions[index],
        coords_are_cartesian=True,
        to_unit_cell=True,
    )


def diffusivity_of(state: LoopState, output: dict[str, Any] | Document) -> LoopDiffusivity:
    """Estimate the diffusivity of a run, refused when the potential failed in it.

    Parameters
    ----------
    state : LoopState
        Its loop is named.
    output : MolecularDynamicsOutput or BrokenMeasurement
        What the run left.

    Returns
    -------
    LoopDiffusivity
        With its interval.
    """
    run = measurement(output)
    if isinstance(run, BrokenMeasurement):
        found = Quantity(unit="cm^2/s", verdict="refused", reasons=[run.broke])
        potential = run.potential_sha256
    else:
        document = DiffusivityDoc.from_trajectories([run], [production_of(run)])
        found = document.tracer_diffusivity if document.tracer_diffusivity.value else document.slope
        potential = run.potential.weights_sha256
    return LoopDiffusivity(
        loop=state.loop,
        temperature_K=run.temperature_K,
        diffusivity=found,
        potential_sha256=potential,
    )


def measurement(output: dict[str, Any] | Document) -> MolecularDynamicsOutput | BrokenMeasurement:
    """Read what a run for the diffusivity left.

    Parameters
    ----------
    output : MolecularDynamicsOutput, BrokenMeasurement or dict
        As a job hands it on.

    Returns
    -------
    MolecularDynamicsOutput or BrokenMeasurement
        The document.
    """
    content = output.model_dump() if isinstance(output, Document) else output
    if content["kind"] == "self_consistent_broken_measurement":
        return BrokenMeasurement.model_validate(content)
    return MolecularDynamicsOutput.model_validate(content)


def production_of(run: MolecularDynamicsOutput) -> Trajectory:
    """Read the part of a run that is analysed.

    Parameters
    ----------
    run : MolecularDynamicsOutput
        The run.

    Returns
    -------
    Trajectory
        Frames after the equilibration.
    """
    return read_trajectory_file(worker().blobs.get(run.trajectory.sha256), run.first_used_frame)
