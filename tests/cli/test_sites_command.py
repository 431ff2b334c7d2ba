"""`sse-screen sites` and `sse-screen structure` as a user runs them."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError

AXES = np.concatenate([np.eye(3), -np.eye(3)])


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A walk of 8 Li on a simple cubic lattice of 3 Å with sulphur between, and its crystal."""
    folder = tmp_path_factory.mktemp("sites")
    rng = np.random.default_rng(0)
    points = np.array(list(np.ndindex(2, 2, 2)))
    steps = AXES[rng.integers(0, 6, (400, 8))] * (rng.random((400, 8, 1)) < 0.05)
    lithium = (points + np.cumsum(steps, axis=0)) * 3.0 + rng.normal(0, 0.15, (400, 8, 3))
    sulphur = (points + 0.5) * 3.0 + rng.normal(0, 0.08, (400, 8, 3))
    trajectory = Trajectory(
        positions=np.concatenate([lithium, sulphur], axis=1) % 6.0,
        cells=np.eye(3) * 6.0,
        species=("Li",) * 8 + ("S",) * 8,
        times_ps=np.arange(400) * 0.1,
        unwrapped=False,
        velocities=rng.normal(0, 0.01, (400, 16, 3)),
    )
    trajectory.save(folder / "run.npz")
    crystal = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.0), ["Li", "S"], [[0, 0, 0], [0.5] * 3])
    crystal.to_file(str(folder / "crystal.cif"))
    return folder


def test_json_holds_sites_rates_and_nothing_else(run):
    result = invoke(
        "sites", run / "run.npz", "--mobile-ion", "Li", "--temperature-K", 600,
        "--structure", run / "crystal.cif", "--json",
    )  # fmt: skip
    content = json.loads(result.stdout)
    assert [kind["name"] for kind in content["site_types"]] == ["1a"]
    assert content["n_sites"] == 8
    assert content["rates"][0]["rate"]["lower"] < 0.5 < content["rates"][0]["rate"]["upper"]
    assert set(content["correlation_factor"]) >= {"value", "lower", "upper", "unit", "verdict", "reasons"}


def test_table_files_and_figures(run, tmp_path):
    result = invoke(
        "sites", run / "run.npz", "--mobile-ion", "Li", "--temperature-K", 600, "--radii-A", "0.8,1.4",
        "--minimum-residence-ps", 0.1, "--chgcar", tmp_path / "CHGCAR", "--cube", tmp_path / "li.cube",
        "--figures", tmp_path / "figures", "--stride", 2,
    )  # fmt: skip
    assert "peak" in result.stdout
    assert "correlation factor" in result.stdout
    assert "isosurface" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "density_slices.png", "density_surface.png", "density_surface.html", "density_surface.json",
        "jump_network.png", "jump_network.html", "jump_network.json",
    }  # fmt: skip
    from pymatgen.io.vasp import Chgcar

    assert Chgcar.from_file(tmp_path / "CHGCAR").structure.composition.formula == "S8"
    assert (tmp_path / "li.cube").stat().st_size > 1000


def test_structure_functions(run, tmp_path):
    result = invoke(
        "structure", run / "run.npz", "--temperature-K", 600, "--maximum-radius-A", 4,
        "--figures", tmp_path, "--json",
    )  # fmt: skip
    pairs = {(p["centre"], p["neighbour"]): p for p in json.loads(result.stdout)["pair_distributions"]}
    assert pairs[("Li", "S")]["coordination_number"] == pytest.approx(8.0, abs=0.3)
    assert {path.name for path in tmp_path.iterdir()} == {
        "pair_distributions.png", "spectrum.png", "velocity_autocorrelation.png",
    }  # fmt: skip
    with pytest.raises(InputError, match="-1 is not a temperature"):
        invoke("structure", run / "run.npz", "--temperature-K", -1)
    with pytest.raises(InputError, match="maximum radius 500 Å: at most 30 Å for this cell"):
        invoke("structure", run / "run.npz", "--temperature-K", 600, "--maximum-radius-A", 500)
    table = invoke("structure", run / "run.npz", "--temperature-K", 600, "--maximum-radius-A", 4)
    assert "Coordination" in table.stdout
    assert "mean frequency" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mobile-ion", "Na"], "species 'Na'"),
        (["--mobile-ion", "Li", "--radii-A", "1"], "--radii-A 1"),
        (["--mobile-ion", "Li", "--radii-A", "2,1"], "inner"),
        (["--mobile-ion", "Li", "--type-map", "a=Li"], "--type-map a=Li"),
        (["--mobile-ion", "Li", "--structure", "nothing.cif"], "no such file"),
        (["--mobile-ion", "Li", "--temperature-K", "-5"], "--temperature-K: -5"),
        (["--mobile-ion", "Li", "--isosurface-share", "2"], r"fraction must lie in \(0, 1\]"),
        (["--mobile-ion", "Li", "--figures", "/proc/x"], "/proc/x: cannot be written"),
        (["--mobile-ion", "Li", "--chgcar", "/proc/x/y"], "/proc/x/y: cannot be written"),
    ],
)
def test_bad_input_names_what_was_wrong(run, arguments, message):
    with pytest.raises(InputError, match=message):
        invoke("sites", run / "run.npz", "--temperature-K", 600, *arguments)


def test_a_file_that_is_no_structure_is_refused(run, tmp_path):
    broken = tmp_path / "broken.cif"
    broken.write_text("nothing here")
    with pytest.raises(InputError, match="not read as a crystal structure"):
        invoke("sites", run / "run.npz", "--mobile-ion", "Li", "--temperature-K", 600, "--structure", broken)


def test_help_has_examples():
    for command in ("sites", "structure"):
        assert "Examples" in invoke(command, "--help").stdout


def test_a_melt_has_no_sites_and_no_rates(tmp_path):
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(scale=0.15, size=(400, 24, 3)), axis=0)
    melt = Trajectory(walk, np.eye(3) * 9.0, ("Li",) * 12 + ("S",) * 12, np.arange(400) * 0.1, unwrapped=True)
    melt.save(tmp_path / "melt.npz")
    arguments = ("sites", tmp_path / "melt.npz", "--mobile-ion", "Li", "--temperature-K", 2000)
    content = json.loads(invoke(*arguments, "--json").stdout)
    assert content["verdict"] == "refused"
    assert "the framework flows" in content["reasons"][0]
    assert content["rates"] == []
    assert content["random_walk_diffusivity"]["value"] is None
    assert "refused: the framework flows" in invoke(*arguments).stdout
