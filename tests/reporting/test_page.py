"""The report of documents of every collection: its sections, tables and figures."""

import re
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from sse_screen.documents.base import BlobReference
from sse_screen.reporting.page import ReportContent, write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

import figure_documents as made

BLOBS: dict[str, bytes] = {}


def store(data: bytes, content_type: str) -> BlobReference:
    reference = BlobReference(
        sha256=sha256(data).hexdigest(), size_bytes=len(data), content_type=content_type
    )
    BLOBS[reference.sha256] = data
    return reference


def content(**changes) -> ReportContent:
    fit = made.activation_energy()
    # the points of the fit are copies of one diffusivity, which stands for all of them
    fields = {
        "title": "trial",
        "fits": [fit],
        "diffusivities": [made.diffusivity()],
        "hulls": [made.hull(), made.hull(4)],
        "free_energies": made.free_energies(),
        "worker_time": None,
        "networks": [made.site_network(store)],
        "barriers": [made.jump_barrier()],
        "read_blob": BLOBS.__getitem__,
        "functions": [made.structure_function()],
    }
    return ReportContent(**(fields | changes))


def written(folder, **changes):
    page = write_report(content(**changes), folder).read_text(encoding="utf-8")
    return page, re.findall(r'<img src="figures/([a-z_]+)_[0-9a-f]+\.svg"', page)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return (folder, *written(folder))


def test_all_figures_are_shown_and_exist(full):
    folder, page, figures = full
    assert sorted(figures) == [
        "arrhenius",
        "averaged_spectrum",
        "convergence",
        "density_slices",
        "density_surface",
        "distribution",
        "free_energy",
        "hull",
        "jump_network",
        "jump_rates",
        "msd",
        "rdf",
        "spectrum",
        "velocity_autocorrelation",
    ]
    for name in re.findall(r'src="(figures/[^"]+)"', page):
        assert (folder / name).read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_the_table_of_networks_says_what_was_found(full):
    _, page, _ = full
    network = made.site_network()
    row = re.search(rf"<tr><td>700</td><td>{network.n_sites}</td>.*?{network.id}", page, re.DOTALL)
    assert row is not None
    assert f"<td>{network.n_jumps}</td>" in row.group()
    assert "3 directions" in row.group()


def test_the_table_of_barriers_has_a_line_for_every_kind_of_jump(full):
    _, page, _ = full
    barriers = made.jump_barrier()
    for kind in barriers.kinds:
        row = re.search(rf"<tr><td>{kind.origin} → {kind.destination}</td>.*?</tr>", page, re.DOTALL).group()
        assert f"<td>{kind.count}</td>" in row
        assert f"{kind.barrier.value:.2g} [" in row
    assert "Jump barriers from 3 temperatures" in page


def test_one_free_energy_figure_for_each_set_that_differs_in_temperature_alone(tmp_path):
    documents = made.free_energies()
    other = [document.model_copy(update={"convention": "per_atom", "id": "b" * 24}) for document in documents]
    _, figures = written(tmp_path, free_energies=[*documents, *other], hulls=[])
    assert figures.count("free_energy") == 2


def test_a_refused_network_has_its_reason_and_no_figure(tmp_path):
    refused = made.refused_network()
    page, figures = written(
        tmp_path, networks=[refused], functions=[made.structure_function(velocities=False)], hulls=[]
    )
    assert "jump_network" not in figures
    assert "spectrum" not in figures
    assert "rdf" in figures
    assert "5 frames are too few" in page


def test_networks_of_another_material_are_not_shown(tmp_path):
    other = made.site_network().model_copy(update={"material_id": "other"})
    _, figures = written(tmp_path, networks=[other], barriers=[], functions=[], free_energies=[], hulls=[])
    assert figures == ["arrhenius", "msd"]


def test_a_survey_is_ranked_with_its_figures(tmp_path):
    page = write_report(content(candidates=made.candidates()), tmp_path).read_text(encoding="utf-8")
    assert "Survey survey" in page
    table = page[page.index("Survey survey") :]
    rows = re.findall(r"<tr><td>([^<]*)</td><td>([a-d])</td>", table)
    assert rows == [("1 *", "a"), ("2", "c"), ("3 *", "b"), ("–", "d")]
    for name in ("ranking_survey", "pareto_survey"):
        assert (tmp_path / "figures" / f"{name}.svg").exists()


def test_potentials_that_were_trained_are_shown_with_their_errors(tmp_path):
    page, figures = written(tmp_path, trained=[made.potential()], curves=[made.learning_curve()])
    assert {"parity", "training", "learning_curve"} <= set(figures)
    row = re.search(r"<tr><td>licl</td>.*?</tr>", page, re.DOTALL).group()
    assert "<td>20.0</td>" in row  # meV/Å
    assert "not checked" in row
    assert "Enough data? more data needed: twice the data would remove 29 %" in page
    assert "Potentials trained" not in written(tmp_path / "other")[0]


def test_loops_are_shown_with_their_verdicts(tmp_path):
    page, figures = written(tmp_path, loops=[made.self_consistent_loop()])
    assert {"loop_diffusivities", "loop_steps"} <= set(figures)
    row = re.search(r"<tr><td>toy-loop</td>.*?</tr>", page, re.DOTALL).group()
    assert "<td>stationary</td>" in row
    assert "<td>agrees</td><td>2</td><td>52</td>" in row
    assert "Self-consistent loops" not in written(tmp_path / "other")[0]
