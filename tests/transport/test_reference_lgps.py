"""LGPS at 600 K against what pymatgen-analysis-diffusion's own tests give for the same file."""

from pathlib import Path

import pytest

from sse_screen.dynamics.readers import ReadOptions, read_trajectory
from sse_screen.transport.conductivity import conductivity
from sse_screen.transport.diffusivity import fit_ensemble, judge
from sse_screen.transport.ensemble import prepare_ensemble

REFERENCE = next(
    (
        parent / "shared/reference/trajectories"
        for parent in Path(__file__).parents
        if (parent / "shared/reference").exists()
    ),
    None,
)


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_published_numbers_with_the_published_window_and_an_honest_verdict():
    """1.161e-6 cm²/s, 74.165 mS/cm, 3.646e-6 cm²/s and 0.3185 from lags of 1 to 13.3 ps of a 20 ps run."""
    ensemble = prepare_ensemble([read_trajectory(REFERENCE / "LGPS_600K_DiffusionAnalyzer.json")], "Li")
    fitted = fit_ensemble(ensemble, window_ps=(1.0, 13.3))
    judged = judge(ensemble, fitted)
    assert judged.estimate.value == pytest.approx(1.161e-6, rel=2e-3)
    found = conductivity(ensemble, fitted, judged.tracer_diffusivity, 1, 600.0)
    assert found.nernst_einstein_conductivity.value is None
    slope = conductivity(ensemble, fitted, judged.estimate, 1, 600.0).nernst_einstein_conductivity
    assert slope.value == pytest.approx(74.165e-3, rel=2e-3)
    assert found.charge_diffusivity.lower < 3.646e-6 < found.charge_diffusivity.upper
    # The interval is log-normal: its geometric mean is the estimate, which is not given as a value.
    estimate = (found.charge_diffusivity.lower * found.charge_diffusivity.upper) ** 0.5
    assert estimate == pytest.approx(3.646e-6, rel=0.1)
    assert found.charge_diffusivity.value is None
    assert found.haven_ratio.lower < 0.3185 < found.haven_ratio.upper
    assert found.haven_ratio.verdict == "unresolved"
    assert found.haven_ratio.value is None
    estimate = (found.haven_ratio.lower * found.haven_ratio.upper) ** 0.5
    assert estimate == pytest.approx(0.3185, rel=0.1)
    # Twenty ions that move 1.3 Å in 20 ps do not show a diffusivity.
    assert judged.tracer_diffusivity.verdict == "upper_limit"
    assert judged.tracer_diffusivity.value is None
    assert judged.estimate.verdict == "unresolved"
    assert judged.tracer_diffusivity.upper > 1.161e-6
    assert judged.effective_jumps < 10


@pytest.mark.skipif(REFERENCE is None, reason="../shared/reference is not there")
def test_a_real_run_without_a_plateau_is_no_diffusivity():
    """Li6PS5Cl at 500 K (kinisi's example): the exponent is below its band and later starts differ."""
    options = ReadOptions(time_step_fs=2, steps_per_frame=50)
    run = read_trajectory(REFERENCE / "example_XDATCAR.gz", options=options)
    ensemble = prepare_ensemble([run], "Li", None)
    found = judge(ensemble, fit_ensemble(ensemble))
    assert found.tracer_diffusivity.verdict == "upper_limit"
    assert any("no plateau" in reason for reason in found.tracer_diffusivity.reasons)
