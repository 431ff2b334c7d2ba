"""The self-consistent training loop as a dynamic flow (Marcolongo 2019).

Fit, explore at the next temperature with the fit, label what was met, fit again; after the last temperature
the diffusivity is measured, and loops go on until it no longer changes. Each step is a job of its own that
adds the next one, and leaves the whole state of the loop as its output: it can be looked at, killed and
restarted anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, Response, job
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
from sse_screen.exceptions import SseScreenError
from sse_screen.potentials import load_calculator
from sse_screen.structures.distortions import random_strain, rattle
from sse_screen.structures.identity import structure_hash
from sse_screen.training.cleaning import CleaningRules, clean
from sse_screen.training.exploration import agree, closest_contact, equidistant, largest_force_deviation
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import predict_with
from sse_screen.training.students import Student
from sse_screen.workflows.labelling import LabelMaker, store_batch
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.potentials import name_or_file
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

_UNCERTAIN = "the committee deviates by"
_NO_SUPERCELL_A = 0.1  # the cell of the loop is what runs are made in


class StudentBrokeError(SseScreenError):
    """The student failed at one temperature, however often it was fitted again."""


@dataclass
class SelfConsistentLoopMaker(Maker):
    """Train a student by a teacher until its diffusivity is stationary.

    Parameters
    ----------
    labeller : LabelMaker
        The teacher.
    student : LinearStudent or FineTunedStudent
        What learns.
    protocol : LoopProtocol
        Temperatures, runs, committee, when to stop.
    name : str
        Of the loop.
    """

    labeller: LabelMaker
    student: Student
    protocol: LoopProtocol
    name: str = "self-consistent loop"

    def make(self, structure: Structure, material: dict[str, Any], seed: int) -> Flow:
        """Compose the first jobs; the others are added as the loop goes on.

        Parameters
        ----------
        structure : Structure
            Ordered cell that all runs are made in.
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        seed : int
            Every run's seed is derived from it.

        Returns
        -------
        Flow
            One job.
        """
        content = {
            "structure": structure_hash(structure),
            "material": material,
            "protocol": self.protocol.model_dump(mode="json"),
            "student": self.student.model_dump(mode="json"),
            "teacher": self.labeller.level_of_theory.identifier,
            "seed": seed,
        }
        state = LoopState(
            loop_id=content_hash(content)[:24],
            name=self.name,
            structure=structure.as_dict(),
            material=material,
            seed=seed,
        )
        return Flow([_named(self.begin(state), state, "initial cells")], name=self.name)

    @job
    def begin(self, state: LoopState | dict[str, Any]) -> Response[LoopState]:
        """Draw distorted cells, to be labelled before the first fit.

        Parameters
        ----------
        state : LoopState
            Without labels.

        Returns
        -------
        Response
            The state; the labelling is added.
        """
        state = LoopState.model_validate(state)
        cell, rng = Structure.from_dict(state.structure), np.random.default_rng(state.seed)
        cells = []
        for _ in range(self.protocol.n_initial):
            strained = random_strain(cell, self.protocol.initial_strain, rng)
            cells.append(rattle(strained, self.protocol.initial_displacement_A, rng))
        batch = store_batch(_unlabelled(cells, state, "initial cell"))
        return Response(output=state, addition=self._labelling(state, batch, None))

    def _labelling(self, state: LoopState, batch: BlobReference, found: Exploration | None) -> Flow:
        label = _named(self.labeller.make(batch), state, "labels")
        absorb = _named(self.absorb(state, label.output, found), state, "labels taken in")
        return Flow([label, absorb])

    @job
    def absorb(
        self,
        state: LoopState | dict[str, Any],
        labels: LabelBatchOutput | dict[str, Any] | None,
        found: Exploration | dict[str, Any] | None,
    ) -> Response[LoopState]:
        """Take new labels in, judge the student by them, and decide what comes next.

        Parameters
        ----------
        state : LoopState
            Before the labels.
        labels : LabelBatchOutput or None
            None when there was nothing to label.
        found : Exploration or None
            The run that they are from; None for the initial cells.

        Returns
        -------
        Response
            The new state; the next fit, run or measurement is added.
        """
        state = LoopState.model_validate(state)
        batch = None if labels is None else LabelBatchOutput.model_validate(labels)
        exploration = None if found is None else Exploration.model_validate(found)
        step = _step_of(state, batch, exploration)
        following = _after(state, batch, exploration, self.protocol)
        following = following.model_copy(update={"history": [*state.history, step]})
        if exploration is not None and exploration.broke and following.refits > self.protocol.maximum_refits:
            raise StudentBrokeError(
                f"{state.name}: the student broke at {exploration.temperature_K:g} K after "
                f"{self.protocol.maximum_refits} refits ({exploration.broke}); give it more initial cells, "
                "smaller temperature steps or a short-range repulsion"
            )
        learn = batch is not None or exploration is None or bool(exploration.broke)
        if learn:
            return Response(output=following, addition=_only(self.train(following), following, "fit"))
        return Response(output=following, addition=self._next(following))

    def _next(self, state: LoopState) -> Flow:
        """Explore at the next temperature, or measure after the last one."""
        assert state.student is not None  # a fit came before
        if state.position < len(self.protocol.temperatures_K):
            temperature_K = self.protocol.temperatures_K[state.position]
            return _only(self.explore(state), state, f"exploration {temperature_K:g} K")
        runs = [
            _named(self.measure(state, temperature_K), state, f"diffusion {temperature_K:g} K")
            for temperature_K in self.protocol.diffusion_temperatures_K
        ]
        judge = self.judge(state, [run.output for run in runs])
        return Flow([*runs, _named(judge, state, "judgement")])

    @job
    def train(self, state: LoopState | dict[str, Any]) -> Response[TrainedStudent]:
        """Fit the student to all labels.

        Parameters
        ----------
        state : LoopState
            With labels.

        Returns
        -------
        Response
            A :class:`TrainedStudent`; the next run is added.
        """
        state = LoopState.model_validate(state)
        key = content_hash(
            {
                "kind": "self_consistent_student",
                "labels": sorted(blob.sha256 for blob in state.labels),
                "student": self.student.model_dump(mode="json"),
                "cleaning": self.protocol.cleaning.model_dump(mode="json"),
                "committee": self._n_members,
                "refits": state.refits,
                "seed": state.seed,
            }
        )

        def compute(folder: Path) -> TrainedStudent:
            return _train(self.student, state, self.protocol.cleaning, self._n_members, key, folder)

        response = once(key, TrainedStudent, compute)
        following = state.model_copy(update={"student": TrainedStudent.model_validate(response.output)})
        response.addition = self._next(following)
        return response

    @property
    def _n_members(self) -> int:
        return 0 if self.protocol.committee is None else self.protocol.committee.n_members

    @job
    def explore(self, state: LoopState | dict[str, Any]) -> Response[Exploration]:
        """Run the student at one temperature and choose frames to be labelled.

        Parameters
        ----------
        state : LoopState
            With a student.

        Returns
        -------
        Response
            An :class:`Exploration`; the labelling is added.
        """
        state = LoopState.model_validate(state)
        assert state.student is not None  # a fit came before
        temperature_K = self.protocol.temperatures_K[state.position]
        seed = _seed(state, "exploration", temperature_K)
        key = content_hash(
            {
                "kind": "self_consistent_exploration",
                "potential": state.student.potential.weights_sha256,
                "committee": [member.weights_sha256 for member in state.student.committee],
                "start": content_hash(state.start or state.structure),
                "protocol": self.protocol.model_dump(mode="json"),
                "temperature_K": temperature_K,
                "seed": seed,
            }
        )

        def compute(folder: Path) -> Exploration:
            return _explore(state, self.protocol, temperature_K, seed, key, folder)

        response = once(key, Exploration, compute)
        found = Exploration.model_validate(response.output)
        if found.batch is None:
            response.addition = _only(self.absorb(state, None, found), state, "nothing to label")
        else:
            response.addition = self._labelling(state, found.batch, found)
        return response

    @job
    def measure(
        self, state: LoopState | dict[str, Any], temperature_K: float
    ) -> Response[MolecularDynamicsOutput | BrokenMeasurement]:
        """Run the student for its diffusivity, as any campaign would.

        Parameters
        ----------
        state : LoopState
            With a student.
        temperature_K : float
            Of the run.

        Returns
        -------
        Response
            A :class:`MolecularDynamicsOutput`, or the reason why the student failed.
        """
        state = LoopState.model_validate(state)
        assert state.student is not None  # a fit came before
        maker = MolecularDynamicsMaker(state.student.potential, self.protocol.diffusion, _NO_SUPERCELL_A)
        cell, seed = Structure.from_dict(state.structure), _seed(state, "diffusion", temperature_K)
        make: Any = MolecularDynamicsMaker.make  # a job's own function is its attribute
        try:
            return make.original(maker, cell, state.material, temperature_K, seed)
        except DynamicsError as error:  # of the student, so another loop is what it takes
            return Response(output=BrokenMeasurement(temperature_K=temperature_K, broke=str(error)))

    @job
    def judge(self, state: LoopState | dict[str, Any], outputs: list[dict[str, Any]]) -> Response[LoopState]:
        """Compare the diffusivities with those of the loop before.

        Parameters
        ----------
        state : LoopState
            At the end of a loop.
        outputs : list of MolecularDynamicsOutput or BrokenMeasurement
            Runs that measure the diffusivity.

        Returns
        -------
        Response
            The state; the next loop is added unless the diffusivity is stationary.
        """
        state = LoopState.model_validate(state)
        measured = [_diffusivity(state, output) for output in outputs]
        earlier = {d.temperature_K: d.diffusivity for d in state.diffusivities if d.loop == state.loop - 1}
        stationary = bool(earlier) and all(agree(earlier[d.temperature_K], d.diffusivity) for d in measured)
        last = state.loop == self.protocol.maximum_loops
        verdict = "stationary" if stationary else "not_stationary" if last else "running"
        changes: dict[str, Any] = {"diffusivities": [*state.diffusivities, *measured], "verdict": verdict}
        if verdict != "running":
            return Response(output=state.model_copy(update=changes))
        changes |= {"loop": state.loop + 1, "position": 0, "refits": 0}
        following = state.model_copy(update=changes)
        return Response(output=following, addition=self._next(following))


def _named(made: Job, state: LoopState, what: str) -> Job:
    made.name = f"{state.name} loop {state.loop} {what}"
    return made


def _only(made: Job, state: LoopState, what: str) -> Flow:
    return Flow([_named(made, state, what)])


def _seed(state: LoopState, *what: Any) -> int:
    where = [state.seed, state.loop, state.position, state.refits, state.interruptions]
    return int(content_hash([*where, *what])[:8], 16)


def _unlabelled(cells: Sequence[Structure], state: LoopState, source: str) -> list[UnlabelledStructure]:
    """Prepare cells for the labeller; each is a configuration of its own."""
    return [
        UnlabelledStructure(
            structure=cell.as_dict(),
            parent_configuration=structure_hash(cell),
            source=f"{state.name}, loop {state.loop}, {source} {number}",
        )
        for number, cell in enumerate(cells, 1)
    ]


def _labelled(blobs: Sequence[BlobReference]) -> list[LabelledStructure]:
    """Read labels back, each structure once."""
    found: dict[str, LabelledStructure] = {}
    for blob in blobs:
        for label in unpack_labels(worker().blobs.get(blob.sha256)):
            found.setdefault(label.geometry_sha256, label.to_labelled())
    return [found[name] for name in sorted(found)]


def _step_of(state: LoopState, batch: LabelBatchOutput | None, found: Exploration | None) -> LoopStep:
    """Write the line of the history: how good the student was on what it had not seen."""
    error = None
    if batch is not None and state.student is not None:
        error = _force_error(calculator_for(state.student.potential), _labelled([batch.packed]))
    return LoopStep(
        loop=0 if found is None else state.loop,
        temperature_K=None if found is None else found.temperature_K,
        refits=state.refits,
        broke=None if found is None else found.broke,
        n_new_labels=0 if batch is None else len(batch.labels),
        force_error_eV_per_A=error,
        largest_deviation_eV_per_A=None if found is None else found.largest_deviation_eV_per_A,
        potential_sha256=None if state.student is None else state.student.potential.weights_sha256,
    )


def _force_error(calculator: Calculator, structures: Sequence[LabelledStructure]) -> float:
    predicted = np.concatenate(predict_with(calculator, structures).forces_eV_per_A)
    labels = np.concatenate([structure.forces_eV_per_A for structure in structures])
    return float(np.sqrt(np.mean((predicted - labels) ** 2)))


def _after(
    state: LoopState, batch: LabelBatchOutput | None, found: Exploration | None, protocol: LoopProtocol
) -> LoopState:
    """Give the state after a step: which temperature comes next, from where."""
    changes: dict[str, Any] = {}
    if batch is not None:
        changes |= {"labels": [*state.labels, batch.packed], "n_labels": state.n_labels + len(batch.labels)}
    if found is None:
        return state.model_copy(update=changes)
    if found.broke:
        changes |= {"refits": state.refits + 1, "start": None}
    elif found.uncertain and state.interruptions + 1 < protocol.frames_per_step:
        changes |= {"start": found.last_certain, "interruptions": state.interruptions + 1}
    else:
        changes |= {"position": state.position + 1, "refits": 0, "interruptions": 0, "start": None}
    return state.model_copy(update=changes)


def _train(
    student: Student, state: LoopState, rules: CleaningRules, n_members: int, key: str, folder: Path
) -> TrainedStudent:
    """Fit, store the weights, and say how well the labels are met."""
    started = time.perf_counter()
    cleaned = clean(_labelled(state.labels), rules)
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


def _explore(
    state: LoopState, protocol: LoopProtocol, temperature_K: float, seed: int, key: str, folder: Path
) -> Exploration:
    """Run, watch, choose."""
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
        cells = [_cell_of(frames, index) for index in chosen]
    elif watcher.seen:  # it exploded between two frames: the last ones before
        cells = watcher.seen
    if not cells and stopped:  # it broke at once: distorted cells are as good as any
        rng = np.random.default_rng(seed)
        cells = [rattle(cell, protocol.initial_displacement_A, rng) for _ in range(protocol.n_initial)]
    batch = store_batch(_unlabelled(cells, state, f"{temperature_K:g} K frame")) if cells else None
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
    return start if frames is None or len(frames) < 2 else _cell_of(frames, len(frames) - 2)


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


def _cell_of(frames: Trajectory, index: int) -> Structure:
    return Structure(
        frames.cells[index],
        frames.species,
        frames.positions[index],
        coords_are_cartesian=True,
        to_unit_cell=True,
    )


def _diffusivity(state: LoopState, output: dict[str, Any] | Document) -> LoopDiffusivity:
    assert state.student is not None  # it was run
    content = output.model_dump() if isinstance(output, Document) else output
    potential = state.student.potential.weights_sha256
    if content["kind"] == "self_consistent_broken_measurement":
        reasons = [content["broke"]]
        nothing = Quantity(unit="cm^2/s", verdict="refused", reasons=reasons)
        return LoopDiffusivity(
            loop=state.loop,
            temperature_K=content["temperature_K"],
            diffusivity=nothing,
            potential_sha256=potential,
        )
    run = MolecularDynamicsOutput.model_validate(content)
    with TemporaryDirectory(prefix="sse-screen-") as folder:
        file = worker().blobs.get_file(run.trajectory.sha256, Path(folder) / "trajectory.h5")
        document = DiffusivityDoc.from_trajectories([run], [read_trajectory_file(file, run.first_used_frame)])
    found: Quantity = document.tracer_diffusivity
    return LoopDiffusivity(
        loop=state.loop,
        temperature_K=run.temperature_K,
        diffusivity=found if found.value else document.slope,
        potential_sha256=potential,
    )
