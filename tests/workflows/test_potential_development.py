"""From a composition space to a potential in production, for real: CHGNet taught by its r2SCAN sister."""

import pytest

from sse_screen.database.stores import OUTPUTS, launchpad
from sse_screen.exceptions import InputError
from sse_screen.training.cost import EVALUATION_SHARE, SECONDS_PER_ATOM_AND_EPOCH
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.development_cost import MS_PER_ATOM_AND_STEP
from sse_screen.workflows.launching import launch_workers
from sse_screen.workflows.monitoring import failures
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.submission import submit_plan

SHORT = {"time_step_fs": 2.0, "equilibration_ps": 0.02, "production_ps": 0.12, "frame_interval_fs": 10.0}
PURE = {"prototype": "licl"}
MIXED = {
    "prototype": "licl",
    "name": "licl-half-br",
    "repeat": [2, 1, 1],
    "substitute": {"Cl": {"Cl": 0.5, "Br": 0.5}},
}


def campaign(**changes) -> Campaign:
    section = {
        "name": "halides",
        "compositions": [
            PURE,
            MIXED,
            {"prototype": "licl", "name": "libr", "substitute": {"Cl": {"Br": 1.0}}},
        ],
        "selection": {"n_orderings": 3},
        "dynamics": {"protocol": SHORT, "minimum_length_A": 2.0},
        "snapshots": {"frames": 4},
        "labels": {"code": "potential", "potential": "chgnet-r2scan"},
        "training": {"maximum_epochs": 2, "batch_size": 4},
        "split": {"test_fraction": 0.3, "validation_fraction": 0.3},
        "training_fractions": [0.5, 1.0],
        "gates": {"hot_time_ps": 0.05, "drift_time_ps": 0.05, "maximum_crystals": 1},
    }
    content = {
        "name": "develop",
        "molecular_dynamics": {"temperatures_K": [600], "minimum_length_A": 5.0, "protocol": SHORT},
        "materials": [PURE],
        "potential_development": section | changes.pop("section", {}),
    }
    return Campaign.model_validate(content | changes)


def test_the_whole_way(database, settings_environment):
    plan = plan_campaign(campaign())
    assert plan.development.estimate.n_labels == 12
    pad = launchpad(settings_environment)
    submit_plan(plan, database, pad)
    assert launch_workers(settings_environment, pad, 1, lambda *_: None) == 0, failures(pad)
    outputs = {}
    for document in database[OUTPUTS].find({}, {"output": 1, "uuid": 1}):
        outputs.setdefault(document["output"]["kind"], []).append(document["output"])
    (selection,) = outputs["labelling_selection"]
    assert [c["lowest_of_its_composition"] for c in selection["chosen"]] == [True] * 3
    assert sum(c["probability"] for c in selection["chosen"]) == pytest.approx(1)
    (dataset,) = outputs["dataset"]
    assert dataset["n_labels"] + len(dataset["rejected"]) == 12
    smaller, training = sorted(outputs["training"], key=lambda output: output["n_training"])
    assert (smaller["n_training"], smaller["dataset_sha256"]) != (training["n_training"], "")
    assert training["elements"] == ["Br", "Cl", "Li"]
    assert training["level_of_theory"] != training["parent"]["level_of_theory"]
    (outcome,) = outputs["potential_development"]
    runs = [run for run in outputs["molecular_dynamics"] if run["material_name"] == "licl"]
    assert {run["purpose"] for run in outputs["molecular_dynamics"] if run not in runs} == {"sampling"}
    used = {run["potential"]["weights_sha256"] for run in runs}
    if outcome["passed"]:
        assert used == {training["weights"]["sha256"]}
        assert outcome["n_production_jobs"] == 2
    else:
        assert used == set()
        assert outcome["reasons"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"section": {"budget": {"calculations": 11}}}, "budget.calculations 11: .* asks for 12 labels"),
        ({"section": {"labels": {"code": "gpaw"}, "budget": {"core_hours": 0.001}}}, "budget.core_hours"),
        (
            {"section": {"split": {"by": "parent"}, "compositions": [PURE], "selection": {"n_orderings": 9}}},
            "1 ord",
        ),
        (
            {"section": {"split": {"by": "run"}, "compositions": [PURE], "selection": {"n_orderings": 1}}},
            "1 runs",
        ),
        ({"materials": [{"prototype": "li3po4-gamma"}]}, "li3po4-gamma has O, P, which no composition has"),
    ],
)
def test_refused_before_anything_starts(changes, message):
    with pytest.raises(InputError, match=message):
        plan_campaign(campaign(**changes))


def test_all_parts_are_estimated():
    def parts(**changes):
        estimate = plan_campaign(campaign(**changes)).development.estimate
        return {part.name: part.core_hours for part in estimate.parts} | {"all": estimate.core_hours}

    known = parts()
    assert known["all"] == pytest.approx(sum(known.values()) - known["all"])
    assert known["labels"] == 0  # a potential labels
    # twice the epochs, twice the training; the smaller of two sizes is half of the larger
    assert parts(section={"training": {"maximum_epochs": 4, "batch_size": 4}})["training"] == pytest.approx(
        2 * known["training"]
    )
    # by hand: 12 labels of 2 to 4 atoms (8/3 on average), 0.4 of them learnt, sizes 0.5 and 1, 2 epochs,
    # 0.3 of them evaluated at each size
    atoms = 8 / 3 * (12 * 0.4 * 1.5 + EVALUATION_SHARE * 12 * 0.3 * 2)
    expected = 2 * atoms * SECONDS_PER_ATOM_AND_EPOCH["chgnet"] / 3600
    assert known["training"] == pytest.approx(expected)
    # one relaxation (60 evaluations of 2 atoms) and one run of 70 steps of 8 atoms
    expected = (60 * 2 + 70 * 8) * MS_PER_ATOM_AND_STEP["chgnet"] / 1000 / 3600
    assert known["production"] == pytest.approx(expected)
    dynamics = {"temperatures_K": [600, 700], "replicas": 3, "minimum_length_A": 5.0, "protocol": SHORT}
    expected = (60 * 2 + 6 * 70 * 8) * MS_PER_ATOM_AND_STEP["chgnet"] / 1000 / 3600
    assert parts(molecular_dynamics=dynamics)["production"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"selection": {"n_orderings": 2}}, "fewer than the compositions"),
        ({"compositions": [PURE, PURE]}, "licl is named twice"),
        ({"labels": {"code": "abacus"}}, "abacus"),
    ],
)
def test_fields_are_checked(section, message):
    with pytest.raises(ValueError, match=message):
        campaign(section=section)
