"""`sse-screen analyze` and `sse-screen arrhenius` as a user runs them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.synthetic import as_trajectory, uncorrelated_hops, vibrations


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three temperatures whose diffusivities lie on a line of 0.2 eV, as npz files."""
    folder = tmp_path_factory.mktemp("runs")
    files = {}
    for temperature, jumps in ((600, 300.0), (700, 520.0), (800, 790.0)):
        generator = np.random.default_rng(temperature)
        moved, _ = uncorrelated_hops(1, 24, 1200, jumps, generator)
        moved = moved[0] + vibrations((1200, 24, 3), 0.15, 3.0, generator)
        files[temperature] = folder / f"{temperature}.npz"
        as_trajectory(moved, 0.1, generator, wrapped=True).save(files[temperature])
    return files


def test_json_holds_quantities_with_verdicts(runs):
    result = invoke("analyze", runs[600], "--mobile-ion", "Li", "--temperature-K", 600, "--json")
    content = json.loads(result.stdout)
    found = content["tracer_diffusivity"]
    assert set(found) >= {"value", "lower", "upper", "unit", "verdict", "reasons"}
    assert found["verdict"] == "diffusive"
    assert found["unit"] == "cm2/s"
    assert content["nernst_einstein_conductivity"]["unit"] == "S/cm"
    assert content["temperature_K"] == 600


def test_table_and_page(runs, tmp_path):
    result = invoke("analyze", runs[600], runs[700], "--mobile-ion", "Li", "--html", tmp_path / "page")
    assert "tracer diffusivity" in result.stdout
    assert (tmp_path / "page" / "index.html").exists()
    assert (tmp_path / "page" / "displacement.png").exists()


def test_segments_of_a_run_are_joined(runs, tmp_path):
    whole = Trajectory.load(runs[600])
    files = [tmp_path / "first.npz", tmp_path / "second.npz"]
    whole[:700].save(files[0])
    whole[600:].save(files[1])
    options = ("--mobile-ion", "Li", "--temperature-K", 600, "--json")
    joined = json.loads(invoke("analyze", *files, "--segments", *options).stdout)
    assert joined == json.loads(invoke("analyze", runs[600], *options).stdout)
    with pytest.raises(InputError, match="--segments"):
        invoke("analyze", *files, *options)


def test_a_time_step_besides_the_times_in_the_file_is_a_warning_or_refused(runs):
    options = ("--mobile-ion", "Li", "--time-step-fs")
    table = invoke("analyze", runs[600], *options, 2).stdout
    assert "warning: 600.npz holds the time of every frame, 100 fs apart, which is used" in table.replace(
        "\n", " "
    )
    with pytest.raises(InputError, match="--time-step-fs 3 contradicts"):
        invoke("analyze", runs[600], *options, 3)


def test_a_negative_equilibration_or_a_stride_of_nothing_is_refused(runs):
    for option, value in (("--skip-ps", -2), ("--stride", 0)):
        result = invoke("analyze", runs[600], "--mobile-ion", "Li", option, value)
        assert result.exit_code == 2
        assert option in result.output
    for option, value in (("--time-step-fs", -1), ("--steps-per-frame", 0)):
        with pytest.raises(InputError, match=r"is not positive|give 1 or more"):
            invoke("analyze", runs[600], "--mobile-ion", "Li", option, value)


@pytest.mark.parametrize("command", ["analyze", "sites", "structure"])
def test_one_step_per_frame_that_was_assumed_is_a_warning(runs, tmp_path, command):
    whole = Trajectory.load(runs[600])
    path = tmp_path / "foreign.npz"
    np.savez(path, positions=whole.positions, cell=whole.cells[0], species=whole.species)
    arguments = [command, path, "--temperature-K", 600, "--time-step-fs", 2]
    arguments += [] if command == "structure" else ["--mobile-ion", "Li"]
    warning = "no --steps-per-frame given: one step per frame was assumed"
    assert warning in " ".join(invoke(*arguments).stdout.split())
    assert warning in invoke(*arguments, "--json").stdout
    assert warning not in invoke(*arguments, "--steps-per-frame", 50, "--json").stdout


def test_a_haven_ratio_that_is_not_resolved_is_an_interval_alone(runs):
    arguments = ("analyze", runs[600], "--mobile-ion", "Li", "--temperature-K", 600)
    ratio = json.loads(invoke(*arguments, "--json").stdout)["haven_ratio"]
    assert (ratio["verdict"], ratio["value"]) == ("unresolved", None)
    assert 0 < ratio["lower"] < ratio["upper"]
    row = next(line for line in invoke(*arguments).stdout.splitlines() if "Haven" in line)
    assert f"{ratio['lower']:.3g} to {ratio['upper']:.3g}" in row


def test_a_two_frame_file_has_a_verdict(tmp_path):
    generator = np.random.default_rng(0)
    short = as_trajectory(np.zeros((2, 4, 3)), 0.1, generator)
    short.save(tmp_path / "short.npz")
    content = json.loads(invoke("analyze", tmp_path / "short.npz", "--mobile-ion", "Li", "--json").stdout)
    assert content["tracer_diffusivity"]["verdict"] == "refused"
    assert content["tracer_diffusivity"]["value"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mobile-ion", "Na"), "'Na' is not in the trajectory"),
        (("--mobile-ion", "Li", "--framework", "P"), "'P' is not in the trajectory"),
        (("--mobile-ion", "Li", "--type-map", "Li"), "1=Li,2=S"),
        (("--mobile-ion", "Li", "--window-ps", "1"), "two times in ps"),
        (("--mobile-ion", "Li", "--window-ps", "1,900"), "window_ps"),
        (("--mobile-ion", "Li", "--skip-ps", "900"), "leaves nothing"),
        (("--mobile-ion", "Li", "--charge", "0"), "carries no current"),
        (("--mobile-ion", "Li", "--format", "pdb"), "not one of"),
    ],
)
def test_bad_options_name_themselves(runs, options, message):
    with pytest.raises(InputError, match=message):
        invoke("analyze", runs[600], *options)


def test_activation_energy_from_analyses(runs, tmp_path):
    files = []
    for temperature, file in runs.items():
        files.append(tmp_path / f"{temperature}.json")
        printed = invoke(
            "analyze",
            file,
            "--mobile-ion",
            "Li",
            "--temperature-K",
            temperature,
            "--hop-distance-A",
            2,
            "--json",
        )
        files[-1].write_text(printed.stdout)
    content = json.loads(invoke("arrhenius", *files, "--json", "--plot", tmp_path / "line.png").stdout)
    energy = content["activation_energy"]
    assert energy["lower"] < 0.2 < energy["upper"]
    assert content["extrapolation"]["temperature_K"] == 300
    assert (tmp_path / "line.png").stat().st_size > 10_000
    assert "activation energy" in invoke("arrhenius", *files).stdout


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("mobile_species", ["Na"], "ions: Li and Na"),
        ("framework_species", ["P", "S"], "frameworks: S and P, S"),
    ],
)
def test_analyses_of_different_systems_are_not_one_line(tmp_path, field, value, what):
    files = []
    for kelvin in (600, 700, 800):
        diffusivity = {"value": 1e-5, "lower": 8e-6, "upper": 1.2e-5, "unit": "cm2/s", "verdict": "diffusive"}
        content = {"mobile_species": ["Li"], "framework_species": ["S"], "temperature_K": kelvin}
        files.append(tmp_path / f"{kelvin}.json")
        files[-1].write_text(json.dumps(content | {"tracer_diffusivity": diffusivity}))
    assert json.loads(invoke("arrhenius", *files, "--json").stdout)["points"][0]["temperature_K"] == 600
    files[1].write_text(json.dumps(json.loads(files[1].read_text()) | {field: value}))
    with pytest.raises(InputError, match=f"600.json and .*700.json are of different {what}"):
        invoke("arrhenius", *files)


def test_temperatures_too_close_are_refused_without_an_infinity(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("temperature_K,diffusivity_cm2_per_s\n600,1e-5\n600.0001,1.1e-5\n600.0002,1.2e-5\n")
    printed = invoke("arrhenius", table, "--json").stdout
    assert "Infinity" not in printed
    content = json.loads(printed)
    assert content["activation_energy"]["verdict"] == content["extrapolation"]["verdict"] == "refused"
    assert "within 1 % they are one" in content["activation_energy"]["reasons"][0]


def test_an_interval_of_many_decades_is_a_dash(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "temperature_K,diffusivity_cm2_per_s,log_error\n900,3e-5,0.5\n950,3.6e-5,0.5\n1000,4.5e-5,0.5\n"
    )
    content = json.loads(invoke("arrhenius", table, "--json").stdout)["extrapolation"]
    assert content["upper"] / content["lower"] > 1e4
    assert f"{content['upper']:.3g}" not in invoke("arrhenius", table).stdout
    assert "decades only" in " ".join(invoke("arrhenius", table).stdout.split())


def test_activation_energy_from_a_table(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "temperature_K,diffusivity_cm2_per_s\n600,0.15e-4\n800,0.29e-4\n1000,0.54e-4\n1200,0.83e-4\n"
    )
    content = json.loads(invoke("arrhenius", table, "--json").stdout)
    assert content["activation_energy"]["value"] == pytest.approx(0.18, abs=0.01)
    refused = json.loads(invoke("arrhenius", table, "--transition-K", 500, "--json").stdout)
    assert refused["extrapolation"]["verdict"] == "refused"
    table.write_text("temperature_K,diffusivity_cm2_per_s\n600,-1\n")
    with pytest.raises(InputError, match="line 2, diffusivity_cm2_per_s"):
        invoke("arrhenius", table)
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(InputError, match="not what `sse-screen analyze --json` prints"):
        invoke("arrhenius", tmp_path / "broken.json")
    table.write_text("temperature_K,diffusivity_cm2_per_s\n600,1\n700,2\n")
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        invoke("arrhenius", table, "--plot", tmp_path / "line.pdf")
