"""`sse-screen jump-barriers` as a user runs it, on walks whose rates have a known barrier."""

import json

import numpy as np
import pytest
from ase.units import kB
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError

AXES = np.concatenate([np.eye(3), -np.eye(3)])
BARRIER_eV, FREQUENCY_THz = 0.2, 20.0


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def walk(temperature_K, ion="Li", edge_A=9.0, n_frames=600):
    """27 ions that hop on a simple cubic lattice with the rate of the barrier; none below 200 K."""
    rng = np.random.default_rng(int(temperature_K))
    points = np.array(list(np.ndindex(3, 3, 3)))
    rate = FREQUENCY_THz * np.exp(-BARRIER_eV / (kB * temperature_K))
    steps = AXES[rng.integers(0, 6, (n_frames, 27))] * (rng.random((n_frames, 27, 1)) < 0.1 * rate)
    mobile = (points + np.cumsum(steps, axis=0)) * 3.0 + rng.normal(0, 0.15, (n_frames, 27, 3))
    sulphur = (points + 0.5) * 3.0 + rng.normal(0, 0.08, (n_frames, 27, 3))
    return Trajectory(
        positions=np.concatenate([mobile, sulphur], axis=1) * edge_A / 9.0,
        cells=np.eye(3) * edge_A,
        species=(ion,) * 27 + ("S",) * 27,
        times_ps=np.arange(n_frames) * 0.1,
        unwrapped=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """JSON of `sse-screen sites` at four temperatures, the lowest without a jump."""
    folder = tmp_path_factory.mktemp("barriers")
    crystal = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.0), ["Li", "S"], [[0, 0, 0], [0.5] * 3])
    crystal.to_file(str(folder / "crystal.cif"))
    for temperature in (100, 500, 600, 800):
        analysed(folder, f"{temperature}", walk(temperature), temperature)
    return folder


def analysed(folder, name, trajectory, temperature_K, *options):
    trajectory.save(folder / f"{name}.npz")
    options = options or ("--structure", folder / "crystal.cif", "--mobile-ion", "Li")
    printed = invoke("sites", folder / f"{name}.npz", "--temperature-K", temperature_K, *options, "--json")
    (folder / f"{name}.json").write_text(printed.stdout)
    return folder / f"{name}.json"


def files(folder, *temperatures):
    return [folder / f"{temperature}.json" for temperature in temperatures]


def test_the_interval_holds_the_barrier_and_a_temperature_without_jumps_is_a_limit(folder, tmp_path):
    plot = tmp_path / "rates.png"
    content = json.loads(
        invoke("jump-barriers", *files(folder, 600, 100, 800, 500), "--json", "--plot", plot).stdout
    )
    (kind,) = content["kinds"]
    assert kind["barrier"]["lower"] < BARRIER_eV < kind["barrier"]["upper"]
    assert kind["attempt_frequency"]["lower"] < FREQUENCY_THz < kind["attempt_frequency"]["upper"]
    assert [point["count"] == 0 for point in kind["rates"]] == [True, False, False, False]
    assert kind["rates"][0]["rate"]["verdict"] == "upper_limit"
    assert plot.stat().st_size > 10_000
    table = invoke(
        "jump-barriers", *files(folder, 100, 500, 600, 800), "--plot", tmp_path / "rates.svg"
    ).stdout
    assert "1a → 1a" in table
    assert "< " in table
    assert max(map(len, table.splitlines())) <= 80


def test_jumps_at_the_highest_temperature_alone_give_a_lower_limit(folder):
    table = invoke("jump-barriers", *files(folder, 100, 800)).stdout
    assert "above 0.0" in table
    assert "a lower limit" in table


def test_what_cannot_be_fitted_is_refused_with_the_cause(folder, tmp_path):
    for chosen, message in (
        ([500], "sites at 1 temperature"),
        ([500, 500], "sites at 1 temperature"),
        ([500, 600, 600], "a copy is no second run"),
    ):
        with pytest.raises(InputError, match=message):
            invoke("jump-barriers", *files(folder, *chosen))
    sodium = analysed(tmp_path, "sodium", walk(700, ion="Na"), 700, "--mobile-ion", "Na")
    with pytest.raises(InputError, match="different ions: Li and Na"):
        invoke("jump-barriers", folder / "500.json", sodium)
    large = analysed(tmp_path, "large", walk(700, edge_A=11.0), 700, "--mobile-ion", "Li")
    with pytest.raises(InputError, match="different sites, 1a and peak"):
        invoke("jump-barriers", folder / "500.json", large)
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        invoke("jump-barriers", *files(folder, 500, 600), "--plot", tmp_path / "rates.pdf")
    still = analysed(folder, "still", walk(150), 150)
    with pytest.raises(InputError, match="no jump was seen"):
        invoke("jump-barriers", folder / "100.json", still, "--plot", tmp_path / "rates.png")


def test_files_that_are_no_site_analyses_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        invoke("jump-barriers", tmp_path / "none.json", folder / "500.json")
    for text, message in (("text", "Invalid JSON"), ("{}", "mobile_ion: Field required")):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(InputError, match=f"sites --json` prints .*{message}"):
            invoke("jump-barriers", folder / "500.json", tmp_path / "broken.json")


def test_a_melt_is_left_out_and_told(folder, tmp_path):
    rng = np.random.default_rng(1)
    flowing = np.cumsum(rng.normal(scale=0.15, size=(400, 54, 3)), axis=0)
    melt = Trajectory(flowing, np.eye(3) * 9.0, ("Li",) * 27 + ("S",) * 27, np.arange(400) * 0.1, True)
    hot = analysed(tmp_path, "melt", melt, 2000, "--mobile-ion", "Li")
    result = invoke("jump-barriers", *files(folder, 500, 800), hot, "--json")
    assert "melt.json: refused (the framework flows" in result.stderr
    assert json.loads(result.stdout)["n_temperatures"] == 2
    assert "Example" in invoke("jump-barriers", "--help").stdout
