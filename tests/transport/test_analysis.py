"""The whole analysis, its page and its figures."""

import json

import numpy as np
import pytest

from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.exceptions import InputError
from sse_screen.transport.analysis import TransportAnalysis, analyze_transport
from sse_screen.transport.arrhenius import ArrheniusPoint, fit_arrhenius
from sse_screen.transport.figures import arrhenius_figure, displacement_figure, image_bytes, start_figure
from sse_screen.transport.report import write_report
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops, vibrations


def run(jumps=300, frames=1500, temperature_K=600.0, seed=0):
    generator = np.random.default_rng(seed)
    moved, _ = uncorrelated_hops(1, 24, frames, jumps, generator)
    moved = moved[0] + vibrations((frames, 24, 3), 0.15, 3.0, generator)
    plain = as_trajectory(moved, 0.1, generator)
    temperatures = np.full(frames, temperature_K)
    return Trajectory(
        plain.positions, plain.cells, plain.species, plain.times_ps, True, temperatures_K=temperatures
    )


def test_everything_of_a_diffusing_crystal():
    found = analyze_transport([run()], "Li", hop_distance_A=2.0)
    assert found.tracer_diffusivity.verdict == "diffusive"
    assert found.temperature_K == 600.0
    assert found.charge_number == 1
    assert found.framework_species == ["S"]
    ratio = found.nernst_einstein_conductivity.value / found.tracer_diffusivity.value
    assert found.charge_conductivity.upper / found.charge_diffusivity.upper == pytest.approx(ratio)
    assert {value.verdict for value in found.tensor.principal} == {"ok"}
    again = TransportAnalysis.model_validate_json(found.model_dump_json())
    assert again == found


def test_nothing_is_better_than_the_tracer_diffusivity():
    found = analyze_transport([run(jumps=10)], "Li", hop_distance_A=2.0)
    assert found.tracer_diffusivity.verdict == "upper_limit"
    assert found.nernst_einstein_conductivity.verdict == "upper_limit"
    assert found.haven_ratio.verdict in ("unresolved", "refused")
    assert found.haven_ratio.value is found.charge_diffusivity.value is None
    if found.tensor is not None:
        assert {value.verdict for value in found.tensor.axial.values()} == {"unresolved"}
    refused = analyze_transport([run()[:3]], "Li")
    assert refused.tensor is None
    assert refused.charge_diffusivity.verdict == "refused"
    assert refused.nernst_einstein_conductivity.value is None


def test_replicas_at_other_temperatures_are_not_pooled():
    with pytest.raises(TrajectoryError, match="600 to 800 K"):
        analyze_transport([run(), run(temperature_K=800.0)], "Li")
    with pytest.raises(TrajectoryError, match="temperature_K"):
        analyze_transport([run()], "Li", temperature_K=-5.0)
    with pytest.raises(InputError, match="is not a temperature"):
        analyze_transport([run(temperature_K=-5.0)], "Li", temperature_K=-5.0)


def test_a_copy_is_no_replica():
    once = run(frames=200)
    with pytest.raises(TrajectoryError, match="trajectories 1 and 3 end at the same positions"):
        analyze_transport([once, run(frames=200, seed=1), once], "Li")


@pytest.mark.parametrize("frames", [3, 1500])
def test_page_figures_and_json(tmp_path, frames):
    found = analyze_transport([run()[:frames]], "Li", hop_distance_A=2.0)
    page = write_report(found, tmp_path / "report", "run.traj")
    assert "Transport of Li" in page.read_text()
    assert found.tracer_diffusivity.verdict in page.read_text()
    for name in ("displacement", "start"):
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (page.parent / f"{name}.svg").read_bytes()
    stored = json.loads((page.parent / "analysis.json").read_text())
    assert stored["tracer_diffusivity"]["verdict"] == found.tracer_diffusivity.verdict
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(found, tmp_path / "file", "run.traj")


def test_figures_show_what_was_fitted():
    found = analyze_transport([run()], "Li", hop_distance_A=2.0).tracer
    axes = displacement_figure(found, "Li").axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    labels = [line.get_label() for line in axes.lines]
    assert {"Li", "S", "fit and 95 % band"} <= set(labels)
    line = axes.lines[labels.index("fit and 95 % band")]
    assert line.get_xdata()[0] == pytest.approx(found.window.start_ps)
    assert "diffusivity" in start_figure(found).axes[0].get_ylabel()


def test_arrhenius_figure_stops_where_the_fit_refuses():
    points = [
        ArrheniusPoint(temperature_K=t, diffusivity_cm2_per_s=d, log_error=0.1)
        for t, d in ((600, 1.5e-5), (800, 2.9e-5), (1000, 5.4e-5))
    ]
    limit = ArrheniusPoint(temperature_K=400, diffusivity_cm2_per_s=1e-5, upper_limit=True)
    free = arrhenius_figure(fit_arrhenius([*points, limit])).axes[0]
    bound = arrhenius_figure(fit_arrhenius(points, known_transitions_K=[500])).axes[0]
    reach = [
        max(max(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) > 5)
        for axes in (free, bound)
    ]
    assert reach[0] == pytest.approx(1000 / 300)
    assert reach[1] == pytest.approx(1000 / 600)
    one = arrhenius_figure(fit_arrhenius(points[:1]))
    assert "no activation energy" in one.axes[0].get_title()
    assert image_bytes(one, "svg") == image_bytes(one, "svg") or b"<svg" in image_bytes(one, "svg")
