"""Figures of stored documents over HTTP: every kind in every format, and what is refused."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from fastapi.testclient import TestClient

from sse_screen.api.app import create_app
from sse_screen.database.blobs import BlobStore
from sse_screen.database.served import served_collections
from sse_screen.reporting.collection_figures import FIGURES, FORMATS

sys.path.insert(0, str(Path(__file__).parent))

import figure_documents as made

KINDS = [(name, kind) for name, kinds in FIGURES.items() for kind in kinds]


@pytest.fixture
def served(database, mongo_settings):
    store = BlobStore(database).put
    documents = [
        made.diffusivity(),
        made.activation_energy(),
        made.hull(),
        *made.configurations(),
        *made.free_energies("q" * 64),
        *made.free_energies(),
        made.site_network(store),
        made.jump_barrier(),
        made.structure_function(),
        made.vibrational_free_energy(),
        *made.candidates(),
        made.potential(),
        made.learning_curve(),
        made.self_consistent_loop(),
    ]
    for document in documents:
        database[document.collection].insert_one(document.model_dump(mode="json"))
    with TestClient(create_app(mongo_settings), raise_server_exceptions=False) as client:
        yield client, {document.collection: document.id for document in documents}


def path_of(name, id_):
    return f"{served_collections()[name].route}/{id_}/figure"


def as_plotly(response):
    """The figure, checked by plotly itself."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    go.Figure(content)
    return content


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_kind_in_every_format(served, name, kind):
    client, ids = served
    path = path_of(name, ids[name])
    png = client.get(path, params={"kind": kind})
    assert png.status_code == 200, png.text
    assert png.headers["content-type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")
    svg = client.get(path, params={"kind": kind, "format": "svg"})
    assert svg.headers["content-type"] == "image/svg+xml"
    assert ElementTree.fromstring(svg.content).tag.endswith("svg")
    content = as_plotly(client.get(path, params={"kind": kind, "format": "json"}))
    assert len(content["data"]) >= 2


def named(content):
    return {trace["name"]: trace for trace in content["data"] if trace.get("showlegend")}


def test_displacements_are_those_of_the_document(served):
    client, ids = served
    content = as_plotly(client.get(path_of("diffusivity", ids["diffusivity"]), params={"format": "json"}))
    mobile = made.diffusivity().mean_squared_displacements[0]
    trace = named(content)[mobile.species]
    shown = np.array(mobile.times_ps) > 0
    np.testing.assert_allclose(trace["x"], np.array(mobile.times_ps)[shown])
    np.testing.assert_allclose(trace["y"], np.array(mobile.values_A2)[shown])
    assert content["layout"]["xaxis"]["type"] == content["layout"]["yaxis"]["type"] == "log"
    assert content["layout"]["xaxis"]["title"]["text"] == "lag time (ps)"


def test_diffusivities_of_a_loop_are_drawn_beside_the_teachers(served):
    client, ids = served
    path = path_of("self_consistent_loop", ids["self_consistent_loop"])
    content = as_plotly(client.get(path, params={"format": "json"}))
    assert content["layout"]["yaxis"]["type"] == "log"
    markers = [t for t in content["data"] if t.get("mode") == "markers" and len(t["y"]) == 1]
    points = sorted(t["y"][0] for t in markers if t["marker"]["symbol"].startswith("circle"))
    np.testing.assert_allclose(points, [4e-6, 5e-6, 8e-6, 1e-5])
    truths = sorted(t["y"][0] for t in content["data"] if t.get("line", {}).get("dash") == "dash")
    np.testing.assert_allclose(truths, [8e-6, 1e-5])
    steps = as_plotly(client.get(path, params={"kind": "steps", "format": "json"}))
    assert [12, 22, 32, 42, 52] in [trace["y"] for trace in steps["data"]]


def test_free_energies_of_all_temperatures_are_in_one_figure(served):
    client, ids = served
    name = "configurational_free_energy"
    content = as_plotly(client.get(path_of(name, ids[name]), params={"format": "json"}))
    documents = sorted(made.free_energies(), key=lambda document: document.temperature_K)
    trace = named(content)["F"]
    assert trace["x"] == [300.0, 600.0, 900.0, 1200.0]
    lowest = documents[0].lowest_energy_eV_per_atom
    np.testing.assert_allclose(trace["y"], [1e3 * (d.free_energy_eV_per_atom - lowest) for d in documents])
    entropy = named(content)["-T S, configurational"]
    np.testing.assert_allclose(
        entropy["y"], [1e3 * d.configurational_entropy_term_eV_per_atom for d in documents]
    )


def test_rates_have_lines_and_a_temperature_without_a_jump_is_a_limit(served):
    client, ids = served
    content = as_plotly(client.get(path_of("jump_barrier", ids["jump_barrier"]), params={"format": "json"}))
    barriers = made.jump_barrier()
    frequent, rare = barriers.kinds
    limit = rare.rates[0]
    assert limit.count == 0
    shown = [
        (x, y)
        for trace in content["data"]
        for x, y in zip(trace["x"], trace["y"], strict=True)
        if x is not None and y is not None
    ]
    assert any(np.allclose(point, (2.0, limit.rate.upper)) for point in shown)
    for point in (*frequent.rates, *rare.rates[1:]):
        assert any(np.allclose(p, (1000 / point.temperature_K, point.rate.value)) for p in shown)
    assert content["layout"]["yaxis"]["type"] == "log"
    labels = [f"1a → {kind.destination}: {kind.barrier.value:.3f} eV" for kind in barriers.kinds]
    assert [name.split(" (")[0] for name in named(content)] == [*labels, "no jump seen: 95 % limit"]


def test_network_has_all_sites_and_jumps(served):
    client, ids = served
    network = made.site_network()
    content = as_plotly(client.get(path_of("site_network", ids["site_network"]), params={"format": "json"}))
    markers = [trace for trace in content["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in markers) == network.n_sites
    wires = [trace for trace in content["data"] if trace["mode"] == "lines" and trace["name"] != "cell"]
    through_faces = sum(any(edge.image) for edge in network.edges)
    assert sum(trace["x"].count(None) for trace in wires) == len(network.edges) + through_faces


def test_density_slices_hold_the_density(served):
    client, ids = served
    path = path_of("site_network", ids["site_network"])
    content = as_plotly(client.get(path, params={"kind": "density_slices", "format": "json"}))
    peaks = [max(z for row in trace["z"] for z in row if z is not None) for trace in content["data"]]
    highest = np.log10(made.site_network().density.maximum_per_A3)
    assert len(peaks) == 3
    np.testing.assert_allclose(peaks, highest, atol=2e-3)


def test_a_network_without_stored_density_has_no_such_figure(served, database):
    client, ids = served
    database.site_network.update_one({"id": ids["site_network"]}, {"$set": {"density.values": None}})
    found = client.get(path_of("site_network", ids["site_network"]), params={"kind": "density_surface"})
    assert found.status_code == 404
    assert "does not hold" in found.text


@pytest.mark.parametrize(
    ("parameters", "parameter", "allowed"),
    [
        ("kind=spectrum", "kind", ["msd"]),
        ("kind=msd&format=pdf", "format", list(FORMATS)),
        ("color=red", "color", ["kind", "format"]),
    ],
)
def test_refusals_name_what_is_allowed(served, parameters, parameter, allowed):
    client, ids = served
    response = client.get(path_of("diffusivity", ids["diffusivity"]) + "?" + parameters)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["parameter"] == parameter
    assert problem["allowed"] == allowed
    assert all(name in problem["detail"] for name in allowed)


def test_no_document_no_route_and_no_data(served, database):
    client, _ = served
    problem = client.get(path_of("diffusivity", "none"))
    assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")
    assert "no document 'none' in diffusivity" in problem.json()["detail"]
    assert client.get("/configuration/x/figure").status_code == 404
    database.site_network.delete_many({})
    database.structure_function.delete_many({})
    for document, kind in (
        (made.refused_network(), "jump_network"),
        (made.structure_function(velocities=False), "spectrum"),
        (made.hull(4), "hull"),
    ):
        database[document.collection].insert_one(document.model_dump(mode="json"))
        for format in FORMATS:
            parameters = {"kind": kind, "format": format}
            problem = client.get(path_of(document.collection, document.id), params=parameters)
            assert problem.status_code == 404
            assert f"does not hold what the figure '{kind}' shows" in problem.json()["detail"]


def test_the_same_document_gives_the_same_svg(served):
    client, ids = served
    path = path_of("structure_function", ids["structure_function"])
    first, second = (client.get(path, params={"format": "svg"}).content for _ in range(2))
    assert first == second


def test_binary_hull(served, database):
    client, _ = served
    document = made.hull(2)
    database.convex_hull.insert_one(document.model_dump(mode="json"))
    content = as_plotly(client.get(path_of("convex_hull", document.id), params={"format": "json"}))
    corners = named(content)["convex hull"]
    stable = [entry for entry in document.entries if entry.stable]
    assert len(corners["x"]) == len(stable) == document.n_stable
    texts = {note["text"] for note in content["layout"]["annotations"]}
    assert "Li<sub>2</sub>S" in texts
    assert json.dumps(content, allow_nan=False)


def test_the_figures_of_a_survey_show_all_its_candidates_with_numbers(served):
    client, ids = served
    path = path_of("candidate", ids["candidate"])
    content = as_plotly(client.get(path, params={"kind": "ranking", "format": "json"}))
    points = [t["x"][0] for t in content["data"] if t.get("mode") == "markers"]
    assert points == [1e-2, 1e-3, 1e-4]
    content = as_plotly(client.get(path, params={"kind": "pareto", "format": "json"}))
    points = [(t["x"][0], t["y"][0]) for t in content["data"] if t.get("mode") == "markers"]
    assert sorted(points) == [(0.0, 1e-4), (30.0, 1e-2)]
