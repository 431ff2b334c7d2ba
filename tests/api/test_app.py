"""The API: lists, single documents, health, keys, and one error shape for everything that fails."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from sse_screen.api.app import create_app
from sse_screen.api.problems import Problem
from sse_screen.settings import Settings

OPENAPI_FILE = Path(__file__).parents[2] / "api" / "openapi.json"


def problem(response, status):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate(response.json())
    assert found.status == status
    assert found.instance == response.request.url.path
    return found


def test_list(client):
    answer = client.get("/test-rate", params={"sort": "-temperature_K", "limit": 2}).json()
    assert [document["temperature_K"] for document in answer["data"]] == [900.0, 800.0]
    meta = answer["meta"]
    assert (meta["collection"], meta["sort"], meta["limit"], meta["returned"]) == (
        "test_rate",
        "-temperature_K",
        2,
        2,
    )
    assert meta["units"] == {"temperature_K": "K", "rate": "1/s"}
    assert answer["data"][0]["built_at"] == "2026-01-09T00:00:00Z"
    assert "_id" not in answer["data"][0]


def test_following_links_gives_everything_once(client):
    link, found = "/test-rate?limit=4&sort=rate&temperature_K_min=150", []
    while link:
        answer = client.get(link).json()
        found += [document["rate"]["value"] for document in answer["data"]]
        link = answer["links"]["next"]
    assert found == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize(
    ("parameters", "number"),
    [
        ("formula=Li3PS4", 9),
        ("chemical_system=P-S-Li&mobile_ion=Li&elements=Li,S&potential=chgnet", 9),
        (f"potential={'d' * 64}", 9),
        ("formula=NaCl", 0),
        ("rate_min=0.25&rate_max=0.55", 3),
        ("temperature_K=300&temperature_K_min=200&rate_max=0.3", 1),
        ("inputs.id=job4", 1),
        ("built_at_max=2026-01-02T00:00:00Z", 2),
    ],
)
def test_filters(client, parameters, number):
    assert client.get(f"/test-rate?{parameters}").json()["meta"]["returned"] == number


def test_selected_fields(client):
    answer = client.get("/test-rate?fields=temperature_K,rate&limit=1").json()
    assert set(answer["data"][0]) == {"id", "temperature_K", "rate"}
    single = client.get("/test-rate/rate3?fields=formula").json()
    assert single["data"] == {"id": "rate3", "formula": "Li3PS4"}


def test_single_document(client):
    answer = client.get("/test-rate/rate3").json()
    assert answer["data"]["rate"]["value"] == 0.3
    assert answer["meta"]["units"]["temperature_K"] == "K"
    assert client.get(answer["links"]["provenance"]).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "parameter", "text"),
    [
        ("/test-rate?temprature_K=3", 422, "temprature_K", "temperature_K_min"),
        ("/test-rate?sort=elements", 422, "sort", "temperature_K"),
        ("/test-rate?fields=x", 422, "fields", "allowed: id"),
        ("/test-rate?limit=99999", 422, "limit", "from 1 to 1000"),
        ("/test-rate?temperature_K_min=hot", 422, "temperature_K_min", "'hot' is no number"),
        ("/test-rate?rate.verdict=good", 422, "rate.verdict", "upper_limit"),
        ("/test-rate?cursor=xx", 422, "cursor", "damaged"),
        ("/test-rate/rate3?formula=x", 422, "formula", "allowed: fields"),
        ("/test-rate/none", 404, None, "no document 'none' in test_rate"),
        ("/provenance/none", 404, None, "looked in: test_rate, test_barrier, outputs"),
        ("/provenance/rate1?depth=3", 422, "depth", "allowed: none"),
        ("/health?x=1", 422, "x", "allowed: none"),
        ("/nothing-here", 404, None, "Not Found"),
        ("/test-rate/", 404, None, "Not Found"),
    ],
)
def test_refusals(client, path, status, parameter, text):
    found = problem(client.get(path), status)
    assert found.parameter == parameter
    assert text in found.detail


def test_allowed_names_are_listed_for_machines(client):
    found = problem(client.get("/test-rate?sort=nonsense"), 422)
    assert found.allowed is not None
    assert {"id", "temperature_K", "rate", "formula"} <= set(found.allowed)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_read_only(client, method):
    problem(getattr(client, method)("/test-rate"), 405)
    problem(getattr(client, method)("/test-rate/rate1"), 405)


def test_health_and_index(client):
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["documents"] == {"test_rate": 9, "test_barrier": 1}
    routes = {found["route"] for found in client.get("/").json()["collections"]}
    assert routes == {"/test-rate", "/test-barrier"}


def test_database_that_is_not_there(tmp_path):
    settings = Settings(data_directory=tmp_path, database_timeout_s=0.2)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for path in ("/health", "/convex-hull", "/convex-hull/x", "/provenance/x"):
            found = problem(client.get(path), 503)
            assert found.type == "urn:sse-screen:problem:database"
            assert str(tmp_path) not in found.detail


def test_unexpected_error(client, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("sse_screen.api.collections.run_query", broken)
    found = problem(client.get("/test-rate"), 500)
    assert "secret" not in found.detail


def test_slow_query(client, monkeypatch):
    from pymongo.errors import ExecutionTimeout

    def slow(*_):
        raise ExecutionTimeout("operation exceeded time limit")

    monkeypatch.setattr("sse_screen.api.collections.run_query", slow)
    assert problem(client.get("/test-rate"), 503).type == "urn:sse-screen:problem:slow-query"


def test_key(filled, mongo_settings):
    settings = mongo_settings.model_copy(update={"api_key": SecretStr("open sesame")})
    with TestClient(create_app(settings)) as client:
        for key in (None, "wrong", "öpen"):
            headers = {"X-API-Key": key.encode()} if key else {}
            refused = client.get("/convex-hull", headers=headers)
            assert problem(refused, 401).detail == "send the server's key as X-API-Key"
            assert refused.headers["www-authenticate"] == "ApiKey"
        assert client.get("/convex-hull", headers={"X-API-Key": "open sesame"}).status_code == 200
        assert client.get("/health").status_code == 200
        problem(client.get("/provenance/x"), 401)


def test_each_served_collection_has_its_routes(mongo_settings):
    from sse_screen.database.served import served_collections

    paths = create_app(mongo_settings).openapi()["paths"]
    for found in served_collections().values():
        assert {found.route, f"{found.route}/{{document_id}}"} <= set(paths)


def test_openapi_file_is_up_to_date(mongo_settings):
    committed = json.loads(OPENAPI_FILE.read_text(encoding="utf-8"))
    made = json.loads(json.dumps(create_app(mongo_settings).openapi()))
    assert committed == made, "run: sse-screen serve --openapi api/openapi.json, and look at the difference"


def test_openapi_refers_to_nothing_missing(mongo_settings):
    made = create_app(mongo_settings).openapi()
    text = json.dumps(made)
    schemas = set(made["components"]["schemas"])
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas
    assert "HTTPValidationError" not in schemas
    for path, methods in made["paths"].items():
        assert set(methods) == {"get"}, path
        names = [parameter["name"] for parameter in methods["get"].get("parameters", [])]
        assert len(names) == len(set(names)), path


def test_interactive_description(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text  # works offline, and no script of a stranger's runs
