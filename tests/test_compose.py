"""The served set-up: what docker-compose.yml promises, and that its users may do enough and no more."""

import re
from pathlib import Path

import pytest
import yaml
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from sse_screen.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]
INIT = (ROOT / "docker" / "mongo-init.js").read_text()
ROLES = dict(re.findall(r'user: "(\w+)".*?role: "(\w+)"', INIT, re.DOTALL))


def test_parts():
    assert {"mongo", "api", "workers", "builder"} <= set(SERVICES)
    for name in ("mongo", "api", "workers", "builder"):
        assert SERVICES[name]["healthcheck"]["test"], name
        assert SERVICES[name]["restart"] == "unless-stopped", name
    assert "mongo-data:/data/db" in SERVICES["mongo"]["volumes"]
    assert "/docker-entrypoint-initdb.d/" in str(SERVICES["mongo"]["volumes"])


def test_only_the_api_can_be_reached():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["${SSE_API_ADDRESS:-127.0.0.1}:${SSE_API_PORT:-8000}:8000"]
    assert yaml.safe_load(TEXT)["networks"]["database"] == {"internal": True}


def test_no_secret_is_written_down():
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    example = (ROOT / ".env.example").read_text()
    offered = set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))
    assert used == offered
    for name in re.findall(r"\$\{(\w*(?:PASSWORD|KEY))([^}]*)\}", TEXT):
        assert name[1].startswith(":?"), f"{name[0]} must be demanded"
    assert all(line.endswith("=") for line in example.splitlines() if "PASSWORD=" in line or "KEY=" in line)
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_settings_exist():
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            if variable.startswith(ENV_PREFIX):
                assert variable in known, (name, variable)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"(SSE_SCREEN_\w+)=", dockerfile)) <= known


def test_image_holds_every_package():
    dockerfile = (ROOT / "Dockerfile").read_text()
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for folder in ("sse_screen", "workflows", "builders", "api"):
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}" in kept


@pytest.fixture
def served(authenticated_server):
    """Make the users of the init script on a real server, and give a uri for each."""
    root = MongoClient(f"mongodb://root:root@{authenticated_server}/")
    target = root["served"]
    for user, role in ROLES.items():
        target.command("createUser", user, pwd="secret", roles=[{"role": role, "db": "served"}])
    yield {
        user: Settings(
            database_uri=f"mongodb://{user}:secret@{authenticated_server}/?authSource=served",
            database_name="served",
        )
        for user in ROLES
    }
    target.command("dropAllUsersFromDatabase")
    root.drop_database("served")
    root.close()


def test_users_may_do_what_they_must(served):
    from fastapi.testclient import TestClient

    from sse_screen.api.app import create_app
    from sse_screen.database.blobs import BlobStore
    from sse_screen.database.indexes import ensure_indexes, verify_indexes
    from sse_screen.database.stores import connect, job_store, launchpad

    writer = connect(served["sse_writer"])
    assert ensure_indexes(writer)
    assert launchpad(served["sse_writer"]).get_fw_ids() == []
    assert BlobStore(writer).put(b"frames").size_bytes == 6
    store = job_store(served["sse_writer"])
    store.connect()
    store.update({"uuid": "1", "index": 1, "output": {"n": 1}})

    reader = connect(served["sse_reader"])
    assert verify_indexes(reader) == []
    with TestClient(create_app(served["sse_reader"])) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/diffusivity").json()["data"] == []
        assert client.get("/provenance/1").json()["root"] == "1"


def test_reader_may_not_write(served):
    from sse_screen.database.stores import connect

    reader = connect(served["sse_reader"])
    for attempt in (
        lambda: reader["diffusivity"].insert_one({"id": "x"}),
        lambda: reader["outputs"].delete_many({}),
        lambda: reader["diffusivity"].create_index("id"),
        lambda: reader.client["elsewhere"]["things"].find_one(),
    ):
        with pytest.raises(OperationFailure, match="not authorized"):
            attempt()
