"""Vibrational free energies from files: exact densities of states, real trajectories, what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))

from test_vibrational_free_energy_document import ARGUMENTS, oscillating

from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc


def run(*arguments):
    return CliRunner().invoke(app, ["vibrations", *(str(a) for a in arguments)])


@pytest.fixture
def density(tmp_path):
    def write(values, column="total"):
        path = tmp_path / "dos.csv"
        grid = np.linspace(0.0, 10.0, len(values))
        lines = [f"{x:.10g},{y:.10g}" for x, y in zip(grid, values, strict=True)]
        path.write_text(f"frequency_THz,{column}\n" + "\n".join(lines))
        return path

    return write


def test_debye_solid_from_a_table(density):
    path = density(np.linspace(0.0, 10.0, 20_001) ** 2)
    result = run(path, "--temperature-K", 300, "--atoms-per-cell", 1, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["n_modes"] == pytest.approx(3.0)
    assert found["free_energy_eV_per_cell"] == pytest.approx(0.015476099, abs=1e-7)
    assert 1e3 * found["entropy_eV_per_K_per_cell"] == pytest.approx(0.239050679, abs=1e-6)
    assert run(path, "--temperature-K", 300).exit_code == 0


def test_a_negative_density_is_refused_with_its_place(density):
    values = np.ones(101)
    values[50] = -0.2
    path = density(values, "Li")
    result = run(path, "--temperature-K", 300)
    assert isinstance(result.exception, InputError)
    text = str(result.exception)
    assert text.startswith(str(path))
    assert "density of Li is negative (-0.2) at 5 THz" in text


def test_tables_that_cannot_be(density, tmp_path):
    path = density(np.full(11, 1.0))
    result = run(path, "--temperature-K", 0)
    assert "above zero" in str(result.exception)
    path.write_text("frequency_THz\n0\n1\n2\n")
    assert "no column beside frequency_THz" in str(run(path, "--temperature-K", 300).exception)


def test_a_trajectory_gives_what_its_document_holds(tmp_path):
    _, trajectory = oscillating(1500)
    path = tmp_path / "run.npz"
    trajectory.save(path)
    result = run(
        *(path, "--temperature-K", 600, "--relaxed-energy-eV", -50, "--skip-ps", 0.5, "--two-phase", "Li"),
        "--json",
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    document = VibrationalFreeEnergyDoc.from_trajectory(trajectory.after(0.5), **ARGUMENTS)
    assert found["free_energy_eV_per_cell"] == pytest.approx(document.free_energy_eV_per_cell)
    assert found["two_phase"]["species"] == "Li"
    other = run(path, "--temperature-K", 600, "--two-phase", "Na")
    assert f"{path}: two-phase treatment: there is no Na" in str(other.exception)
