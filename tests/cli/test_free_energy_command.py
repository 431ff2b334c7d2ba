"""`sse-screen free-energy`: exact values through the command, vibrations, samples, refusals."""

import json

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.exceptions import InputError

LATTICE_GAS = """id,energy_eV_per_cell,degeneracy
a,0.40,316368
b,0.41,97344
c,0.42,12000
d,0.44,312
"""
VIBRATIONS = """energy_eV_per_cell,degeneracy,free_energy_eV_per_cell_300K,free_energy_eV_per_cell_1500K
-10.0,2,-10.5,-14.0
-9.9,6,-10.6,-15.0
"""


@pytest.fixture
def run(tmp_path):
    def call(text, *options, atoms=192):
        path = tmp_path / "orderings.csv"
        path.write_text(text)
        arguments = ["free-energy", str(path), "--atoms-per-cell", str(atoms), *options]
        return CliRunner().invoke(app, arguments)

    return call


def records(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_lattice_gas_through_the_command(run):
    found = records(run(LATTICE_GAS, "--temperatures-K", "300,1500", "--json"))
    assert [record["temperature_K"] for record in found] == [300.0, 1500.0]
    assert found[0]["ln_partition_function_absolute"] == pytest.approx(-2.6037036, abs=5e-8)
    assert found[0]["free_energy_eV_per_cell"] == pytest.approx(0.0673109447, abs=1e-9)
    assert found[0]["internal_energy_eV_per_cell"] == pytest.approx(0.4019958140, abs=1e-10)
    assert found[0]["free_energy_eV_per_atom"] == pytest.approx(0.0673109447 / 192, abs=1e-11)
    # The order of magnitude that methods for 12:44 LLZO state: 5 meV/atom at 1500 K is an upper end.
    assert -0.01 < found[1]["configurational_entropy_term_eV_per_atom"] < -0.004


def test_published_convention_is_larger_by_about_the_number_of_atoms(run):
    physical, published = (
        records(run(LATTICE_GAS, "--temperatures-K", "1500", "--convention", name, "--json"))[0]
        for name in ("physical", "per_atom")
    )
    assert published["convention"] == "per_atom"
    assert published["total_orderings"] == 4
    ratio = published["configurational_entropy_eV_per_K_per_atom"]
    assert ratio > 10 * physical["configurational_entropy_eV_per_K_per_atom"]


def test_vibrations_are_used_where_all_temperatures_have_them(run):
    result = run(VIBRATIONS, "--temperatures-K", "300,1500", "--json", atoms=4)
    found = records(result)
    assert all(record["with_vibrations"] for record in found)
    assert found[0]["lowest_energy_eV_per_cell"] == -10.6
    assert found[0]["internal_energy_eV_per_cell"] is None
    assert "fewer than four temperatures" in result.stderr
    plain = records(run(VIBRATIONS, "--temperatures-K", "700", "--json", atoms=4))
    assert not plain[0]["with_vibrations"]
    refused = run(VIBRATIONS, "--temperatures-K", "300,700", "--json", atoms=4)
    assert "not for 700 K" in str(refused.exception)
    forced = records(
        run(VIBRATIONS, "--temperatures-K", "300,700", "--without-vibrations", "--json", atoms=4)
    )
    assert [record["with_vibrations"] for record in forced] == [False, False]


def test_entropies_close_the_balance(run):
    lines = VIBRATIONS.replace("_1500K\n", "_1500K,entropy_eV_per_K_per_cell_300K\n")
    text = lines.replace("-14.0", "-14.0,0.002").replace("-15.0", "-15.0,0.0025")
    record = records(run(text, "--temperatures-K", "300", "--json", atoms=4))[0]
    balance = record["internal_energy_eV_per_cell"] - 300 * record["entropy_eV_per_K_per_cell"]
    assert record["free_energy_eV_per_cell"] == pytest.approx(balance)


def test_sample_and_noise(run):
    options = ["--total-orderings", "1e7", "--noise-eV-per-cell", "0.2", "--temperatures-K", "300", "--json"]
    result = run(LATTICE_GAS, *options)
    record = records(result)[0]
    low, high = record["free_energy_95_percent_interval_eV_per_cell"]
    assert low <= record["free_energy_eV_per_cell"] <= high
    assert not record["ranking_allowed"]
    assert "cannot be ranked" in result.stderr
    assert records(run(LATTICE_GAS, *options)) == [record]


def test_interval_of_a_sample_is_in_the_table(run):
    options = ["--total-orderings", "1e7", "--temperatures-K", "300"]
    low, high = records(run(LATTICE_GAS, *options, "--json"))[0][
        "free_energy_95_percent_interval_eV_per_cell"
    ]
    table = run(LATTICE_GAS, *options).stdout
    assert "lower" in table
    assert f"{low / 192:.6f}" in table
    assert f"{high / 192:.6f}" in table
    assert "lower" not in run(LATTICE_GAS, "--temperatures-K", "300").stdout


def test_table_for_people(run):
    assert "physical, without vibrations" in run(LATTICE_GAS, "--temperatures-K", "300").stdout


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (LATTICE_GAS, ["--temperatures-K", "0"], "'0' is not a temperature"),
        (LATTICE_GAS, ["--temperatures-K", "warm"], "'warm' is not a temperature"),
        (
            LATTICE_GAS.replace("0.41", "?"),
            ["--temperatures-K", "300"],
            "line 3, column energy_eV_per_cell: '?'",
        ),
        (LATTICE_GAS.replace("312", "-1"), ["--temperatures-K", "300"], "line 5, column degeneracy: '-1'"),
        (LATTICE_GAS, ["--temperatures-K", "300", "--total-orderings", "10"], "less than"),
        ("energy\n1\n", ["--temperatures-K", "300"], "no column 'energy_eV_per_cell'"),
    ],
)
def test_bad_input_is_refused_by_name(run, text, options, message):
    result = run(text, *options, "--json")
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_distribution_of_the_energies_is_drawn(run, tmp_path):
    plot = tmp_path / "p.png"
    assert run(LATTICE_GAS, "--temperatures-K", "300,1500", "--plot", str(plot)).exit_code == 0
    assert plot.stat().st_size > 10_000
    same = "energy_eV_per_cell\n1.0\n1.0\n"
    refused = run(same, "--temperatures-K", "300", "--plot", str(plot))
    assert isinstance(refused.exception, InputError)
    assert "the same energy" in str(refused.exception)
