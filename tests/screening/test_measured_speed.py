"""The speed of runs counts only the steps that they made themselves, and a tier only those that it adds."""

import pytest

from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput, MolecularDynamicsProtocol
from sse_screen.documents.survey import SurveyTier
from sse_screen.screening.costs import atom_steps, measured_ms_per_atom_and_step, tier_core_hours

SHORT = MolecularDynamicsProtocol(equilibration_ps=1.0, production_ps=4.0)


def run(n_steps, total_time_s, n_continued_steps=0, **fields):
    given = {"n_atoms": 50, "temperature_K": 1000.0, "protocol": SHORT, "stopped": None} | fields
    return MolecularDynamicsOutput.model_construct(
        n_steps=n_steps, total_time_s=total_time_s, n_continued_steps=n_continued_steps, **given
    )


def test_a_continued_run_is_no_faster_than_the_one_it_went_on_from():
    # 20 ms a step of 50 atoms: 0.4 ms an atom and step
    assert measured_ms_per_atom_and_step([run(1000, 20.0)]) == pytest.approx(0.4)
    assert measured_ms_per_atom_and_step([run(5000, 80.0, 1000)]) == pytest.approx(0.4)
    assert atom_steps([run(1000, 20.0), run(5000, 80.0, 1000)]) == 250_000


@pytest.mark.parametrize(
    ("changes", "taken_over"),
    [
        ({}, 2500),  # 1 ps and 4 ps of 2 fs steps
        ({"temperature_K": 900.0}, 0),
        ({"stopped": "melted"}, 0),
        ({"protocol": SHORT.model_copy(update={"time_step_fs": 1.0})}, 0),
        ({"protocol": SHORT.model_copy(update={"production_ps": 30.0})}, 0),
    ],
)
def test_a_tier_that_goes_on_from_the_one_before_costs_only_what_it_adds(changes, taken_over):
    protocol = SHORT.model_copy(update={"production_ps": 19.0})
    tier = SurveyTier(temperatures_K=[700, 1000], replicas=2, protocol=protocol)
    earlier = [run(2500, 50.0, **changes)]
    steps = 4 * 10_000 - taken_over
    assert tier_core_hours(tier, 50, 0.4, earlier) == pytest.approx(steps * 50 * 0.4e-3 / 3600)
    three = [run(2500, 50.0)] * 3  # only two replicas of it go on
    assert tier_core_hours(tier, 50, 0.4, three) == pytest.approx((40_000 - 5000) * 50 * 0.4e-3 / 3600)
