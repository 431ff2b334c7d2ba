"""The self-consistent loop against a teacher whose truth is known, in jobs and a real MongoDB."""

import shutil
from dataclasses import replace

import pytest
from ase.spacegroup import crystal
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.builders.potential import PotentialBuilder
from sse_screen.builders.run import run_builder
from sse_screen.builders.self_consistent_loop import SelfConsistentLoopBuilder
from sse_screen.database.stores import OUTPUTS, job_store
from sse_screen.documents.base import Quantity
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.potential_gates import GateProtocol
from sse_screen.documents.self_consistent import (
    CommitteeProtocol,
    Exploration,
    LoopDiffusivity,
    LoopProtocol,
    LoopState,
    TrainedStudent,
)
from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.potentials.classical import PairParameters
from sse_screen.potentials.registration import find_registered
from sse_screen.settings import get_settings
from sse_screen.training.exploration import agree, compare_diffusivities
from sse_screen.training.linear import LinearProtocol
from sse_screen.training.students import LinearStudent
from sse_screen.workflows import self_consistent
from sse_screen.workflows.labelling import AseLabelMaker
from sse_screen.workflows.loop_registration import METHOD
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.potential_gates import PotentialGatesMaker
from sse_screen.workflows.potentials import choose_potential
from sse_screen.workflows.self_consistent import SelfConsistentLoopMaker, StudentBrokeError
from sse_screen.workflows.self_consistent_steps import state_after, step_of

TEACHER = resolve_potential("garnet-buckingham")
MATERIAL = {"material_id": "0" * 64, "material_name": "Li2O", "mobile_ion": "Li", "charge_number": 1}
# what two ions do when they come closer than any that was labelled
CORE = [
    PairParameters(species=("Li", "O"), A_eV=2e4, rho_A=0.15),
    PairParameters(species=("Li", "Li"), A_eV=5e3, rho_A=0.15),
    PairParameters(species=("O", "O"), A_eV=2e4, rho_A=0.2),
]
STUDENT = LinearStudent(
    protocol=LinearProtocol(charges={"Li": 1, "O": -2}, pairs=CORE, two_j_max=4, cutoff_A=3.0)
)


def dynamics(production_ps, frame_interval_fs):
    return MolecularDynamicsProtocol(
        time_step_fs=2.0,
        equilibration_ps=0.2,
        production_ps=production_ps,
        frame_interval_fs=frame_interval_fs,
    )


def cell(size):
    sites = [(0.25, 0.25, 0.25), (0, 0, 0)]
    atoms = crystal(["Li", "O"], sites, spacegroup=225, cellpar=[5.0, 5.0, 5.0, 90, 90, 90]) * size
    return AseAtomsAdaptor.get_structure(atoms)


def protocol(**changes):
    values = {
        "n_initial": 12,
        "temperatures_K": (800.0, 1700.0),
        "exploration": dynamics(1.0, 20.0),
        "frames_per_step": 10,
        "diffusion_temperatures_K": (1700.0,),
        "diffusion": dynamics(10.0, 40.0),
        "maximum_loops": 4,
    }
    return LoopProtocol(**(values | changes))


@pytest.fixture
def run(database, settings_environment):
    """Run a flow with all that it adds; give the last state."""

    def run_flow(maker, *, size=(1, 1, 1), success=True):
        flow = maker.make(cell(size), MATERIAL, 1)
        run_locally(flow, store=job_store(settings_environment), ensure_success=success)
        found = database[OUTPUTS].find({"output.kind": "self_consistent_state", "output.name": maker.name})
        states = [LoopState.model_validate(document["output"]) for document in found]
        return max(states, key=lambda state: (len(state.history), len(state.diffusivities)))

    return run_flow


def loop(name, teacher=None, **changes):
    labeller = AseLabelMaker(teacher=TEACHER)
    return SelfConsistentLoopMaker(labeller, STUDENT, protocol(**changes), name, teacher)


def test_the_student_diffuses_like_its_teacher(run, database):
    state = run(loop("plain", TEACHER), size=(2, 1, 1))
    assert state.verdict == "stationary"
    done = [(s.loop, s.temperature_K, s.n_new_labels) for s in state.history if not s.broke]
    assert done == [(0, None, 12), *((n, t, 10) for n in range(1, state.loop + 1) for t in (800.0, 1700.0))]
    assert state.n_labels == sum(s.n_new_labels for s in state.history) >= 52
    assert state.student.n_labels + len(state.student.rejected) == state.n_labels
    assert state.history[-1].force_error_eV_per_A < 0.1  # on frames that it had not seen
    [truth] = state.teacher_diffusivities  # one run, whatever the number of loops
    assert truth.potential_sha256 == TEACHER.weights_sha256
    assert database[OUTPUTS].count_documents({"output.potential.name": TEACHER.name}) == 1
    found = state.diffusivities[-1]
    assert agree(truth.diffusivity, found.diffusivity)
    assert 0.5 < found.diffusivity.value / truth.diffusivity.value < 2.0
    assert state.teacher_verdict == compare_diffusivities([found], [truth])
    run_builder(SelfConsistentLoopBuilder())
    document = database.self_consistent_loop.find_one()
    assert (document["verdict"], document["teacher_verdict"]) == ("stationary", state.teacher_verdict)
    assert document["student_sha256"] == state.student.potential.weights_sha256
    assert document["teacher_sha256"] == TEACHER.weights_sha256


SHORT = {"diffusion": dynamics(1.0, 20.0), "maximum_loops": 1}


def test_the_last_student_is_registered_tested_and_used_by_name(run, database, settings_environment):
    state = run(replace(loop("short", **SHORT), potential_name="li2o-student"))
    assert state.verdict == "not_stationary"
    run_builder(PotentialBuilder())
    found = find_registered(database, "li2o-student")
    assert (found.method, found.loop_verdict, found.loop_id) == (METHOD, "not_stationary", state.loop_id)
    assert found.weights_sha256 == state.student.potential.weights_sha256
    assert found.protocol == STUDENT.protocol
    assert (found.n_training, found.n_test) == (state.student.n_labels, 5)
    assert found.test.n_structures == 5  # paid for besides those it learnt from
    assert state.n_labels == sum(step.n_new_labels for step in state.history)
    assert found.training.forces.root_mean_square_error == pytest.approx(
        state.student.training_force_error_eV_per_A
    )
    assert found.warnings[0].startswith("its diffusivity was not stationary")
    with pytest.raises(InputError, match="was not checked by the gates"):
        choose_potential("li2o-student")
    chosen = choose_potential("li2o-student", allow_unchecked=True)
    assert chosen.elements == ["Li", "O"]
    job = MolecularDynamicsMaker(chosen, dynamics(0.2, 20.0), 0.1).make(cell((1, 1, 1)), MATERIAL, 900.0, 3)
    output = run_locally(job, store=job_store(settings_environment), ensure_success=True)[job.uuid][1].output
    assert output.potential.weights_sha256 == found.weights_sha256
    quick = {"hot_time_ps": 0.2, "drift_time_ps": 0.5, "hot_temperature_K": 900.0, "minimum_length_A": 4.0}
    gates = PotentialGatesMaker(GateProtocol(**quick))
    [labels] = database[OUTPUTS].distinct("output.test_labels")
    job = gates.make(chosen, None, [labels])
    checked = run_locally(job, store=job_store(settings_environment), ensure_success=True)
    assert checked[job.uuid][1].output.passed, checked[job.uuid][1].output.results
    run_builder(PotentialBuilder())
    assert choose_potential("li2o-student").weights_sha256 == found.weights_sha256


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_a_committee_asks_for_fewer_labels(run, on_the_fly):
    committee = CommitteeProtocol(n_members=2, threshold_eV_per_A=1.0, on_the_fly=on_the_fly)
    state = run(loop("committee", committee=committee, **SHORT))
    assert 12 <= state.n_labels < 32
    assert len(state.student.committee) == 2
    explored = [step for step in state.history if step.loop]
    assert {step.temperature_K for step in explored} == {800.0, 1700.0}
    assert all(step.largest_deviation_eV_per_A > 0 for step in explored if not step.broke)
    if on_the_fly:
        assert all(step.n_new_labels <= 1 for step in explored if not step.broke)


def test_a_loop_stopped_in_the_middle_goes_on_and_ends_the_same(run, database, monkeypatch):
    whole = run(loop("whole", **SHORT))
    database[OUTPUTS].delete_many({})
    shutil.rmtree(get_settings().work_directory / "calculations")
    explore, calls = self_consistent.explore_with, []

    def stopped(state, protocol, temperature_K, *rest):
        calls.append(temperature_K)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return explore(state, protocol, temperature_K, *rest)

    monkeypatch.setattr(self_consistent, "explore_with", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(loop("whole", **SHORT))
    kinds = ["label_batch", "self_consistent_student", "self_consistent_exploration"]
    before = {kind: database[OUTPUTS].count_documents({"output.kind": kind}) for kind in kinds}
    assert before == {"label_batch": 2, "self_consistent_student": 2, "self_consistent_exploration": 1}
    again = run(loop("whole", **SHORT))
    assert calls[2] == calls[1]  # nothing that was finished is run again
    assert len(calls) == 1 + len(whole.history) - 1
    assert again.student.potential.weights_sha256 == whole.student.potential.weights_sha256
    assert again.diffusivities == whole.diffusivities


def test_ions_that_come_too_close_lead_to_refits_and_in_the_end_to_an_error(run, database):
    maker = loop("broken", minimum_distance_A=1.75, maximum_refits=1, temperatures_K=(2000.0,), **SHORT)
    last = run(maker, success=False)
    steps = [step for step in last.history if step.loop]
    assert [step.refits for step in steps] == [0]
    assert "came within 1." in steps[0].broke
    assert steps[0].n_new_labels > 0
    assert last.refits == 1
    found = database[OUTPUTS].find_one({"output.kind": "self_consistent_exploration"})["output"]
    with pytest.raises(StudentBrokeError, match="after 1 refits"):
        type(maker).absorb.original(maker, last.model_copy(update={"student": None}), None, found)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("diffusive", "diffusive", "stationary"),
        ("unresolved", "diffusive", "running"),
        ("diffusive", "unresolved", "running"),
        ("unresolved", "unresolved", "running"),
    ],
)
def test_slopes_that_are_no_diffusivities_are_not_stationary(run, monkeypatch, before, now, expected):
    def measured(number, verdict):
        found = Quantity(value=1e-5, lower=8e-6, upper=1.25e-5, unit="cm^2/s", verdict=verdict)
        return LoopDiffusivity(
            loop=number, temperature_K=1700.0, diffusivity=found, potential_sha256="a" * 64
        )

    monkeypatch.setattr(self_consistent, "diffusivity_of", lambda *_: measured(2, now))
    monkeypatch.setattr(self_consistent, "frames_to_test_on", lambda *_: [])
    maker = loop("slopes", test_frames=0, maximum_loops=3)
    state = maker.first_state(cell((1, 1, 1)), MATERIAL, 1)
    student = TrainedStudent.model_construct(potential=TEACHER)
    changes = {"loop": 2, "student": student, "diffusivities": [measured(1, before)]}
    monkeypatch.setattr(LoopState, "model_validate", lambda content: content)
    response = type(maker).judge.original(maker, state.model_copy(update=changes), [{}])
    assert response.output.verdict == expected


@pytest.mark.parametrize(("interruptions", "left"), [(0, False), (8, False), (9, True)])
def test_a_committee_that_stays_uncertain_is_noted(interruptions, left):
    maker = loop("uncertain")
    state = maker.first_state(cell((1, 1, 1)), MATERIAL, 1).model_copy(
        update={"interruptions": interruptions}
    )
    found = Exploration.model_construct(
        temperature_K=800.0, broke=None, uncertain="it is", largest_deviation_eV_per_A=1.0, last_certain=None
    )
    assert step_of(state, None, found, maker.protocol).left_uncertain is left
    assert state_after(state, None, found, maker.protocol).position == left
