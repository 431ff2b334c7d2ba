"""Connections: real servers, clear refusals, no password anywhere."""

import json
import time

import pytest
from jobflow import Flow, job, run_locally
from jobflow.managers.fireworks import flow_to_workflow

from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.errors import DatabaseRefusedError, DatabaseUnavailableError
from sse_screen.database.stores import (
    clear_errors,
    connect,
    database_uri,
    describe_server,
    job_store,
    launchpad,
    redact,
)
from sse_screen.settings import Settings

PASSWORD = "p@ss/w:ord"
QUOTED = "p%40ss%2Fw%3Aord"


@pytest.fixture(scope="module")
def guarded(authenticated_server):
    """Socket of a server with authentication and one user besides root."""
    from pymongo import MongoClient

    client = MongoClient(f"mongodb://root:root@{authenticated_server}/")
    roles = [{"role": "readWrite", "db": "sse_screen"}]
    client.admin.command("createUser", "group", pwd=PASSWORD, roles=roles)
    yield authenticated_server
    client.admin.command("dropUser", "group")
    client.drop_database("sse_screen")
    client.close()


def remote(uri, **more):
    return Settings(database_uri=uri, database_timeout_s=1.0, **more)


def test_embedded_database(database, mongo_settings):
    database["things"].insert_one({"n": 1})
    assert connect(mongo_settings)["things"].find_one()["n"] == 1


def test_dates_are_aware(database):
    from datetime import UTC, datetime

    database["things"].insert_one({"at": datetime.now(UTC)})
    assert database["things"].find_one()["at"].tzinfo is not None


def test_embedded_server_not_started(tmp_path):
    settings = Settings(data_directory=tmp_path / "d", database_timeout_s=0.5)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError, match="run 'sse-screen db start'"):
        connect(settings)
    assert time.monotonic() - started < 3


def test_user_and_password(guarded):
    database = connect(remote(f"mongodb://group:{QUOTED}@{guarded}/?authSource=admin"))
    database["things"].insert_one({"n": 1})
    assert database["things"].count_documents({}) == 1


@pytest.mark.parametrize(
    ("user", "database_name"),
    [("group:wr0ng-secret", "sse_screen"), (f"group:{QUOTED}", "elsewhere"), ("", "sse_screen")],
    ids=["wrong password", "other database", "no user"],
)
def test_refused(guarded, user, database_name):
    at = f"{user}@" if user else ""
    settings = remote(f"mongodb://{at}{guarded}/?authSource=admin", database_name=database_name)
    with pytest.raises(DatabaseRefusedError, match="refuses user or password") as caught:
        connect(settings)["things"].find_one()
    assert "wr0ng-secret" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__


def test_nobody_there():
    settings = remote(f"mongodb://group:{QUOTED}@127.0.0.1:1/")
    with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1 does not answer") as caught:
        connect(settings)
    assert PASSWORD not in str(caught.value)
    assert QUOTED not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://group:{PASSWORD}@host/",
        f"mongodb://group:{QUOTED}@host:99999/",
        f"mongodb://group:{QUOTED}@host:port/",
        f"mongodb://group:{QUOTED}@host/?authMechanism=GSSAPI&authSource=x",
        f"mongodb://group:{QUOTED}@host/?tls=true&ssl=false",
        "mongodb://",
    ],
)
def test_malformed_uri(uri):
    with pytest.raises(DatabaseRefusedError, match=r"database_uri: .* wanted: mongodb://user") as caught:
        connect(remote(uri))
    assert PASSWORD not in str(caught.value)
    assert QUOTED not in str(caught.value)


def test_read_only_uri_is_used_for_reading(guarded, mongo_settings):
    settings = mongo_settings.model_copy(
        update={"api_database_uri": remote(f"mongodb://x:y@{guarded}/").database_uri}
    )
    connect(settings).client.close()
    with pytest.raises(DatabaseRefusedError):
        connect(settings, read_only=True)


def test_redact_and_describe():
    uri = f"mongodb://group:{QUOTED}@a:1,b:2/x?y=z"
    assert redact(f"bad {PASSWORD} and {QUOTED} in {uri}", uri) == "bad *** and *** in ***"
    assert redact("nothing secret", "mongodb://host/") == "nothing secret"
    assert describe_server(uri) == "database at a:1,b:2"


def test_other_server_errors_are_named(database, mongo_settings):
    with (
        pytest.raises(DatabaseUnavailableError, match="unknown top level operator"),
        clear_errors(mongo_settings),
    ):
        database["things"].find_one({"$nonsense": 1})


@job(blobs="array")
def _make(length):
    return {"n": 3, "array": list(range(length))}


@job(data="trajectory")
def _use(made):
    return {"trajectory": [*made["array"], made["n"]]}


def test_jobs_keep_large_data_in_blobs(database, mongo_settings):
    first = _make(1000)
    second = _use(first.output)
    store = job_store(mongo_settings)
    answers = run_locally(Flow([first, second]), store=store, ensure_success=True, log=False)
    assert answers[second.uuid][1].output["trajectory"][-2:] == [999, 3]
    stored = database["outputs"].find_one({"uuid": first.uuid})
    assert stored["output"]["n"] == 3
    assert "blob_uuid" in stored["output"]["array"]
    assert database["blobs.files"].count_documents({}) == 2
    assert store.get_output(second.uuid, load=True)["trajectory"][-1] == 3
    store.close()


def test_launchpad_holds_no_password(guarded, database):
    settings = remote(f"mongodb://group:{QUOTED}@{guarded}/?authSource=admin")
    pad = launchpad(settings)
    first = _make(3)
    pad.add_wf(flow_to_workflow(Flow([first, _use(first.output)])))
    assert pad.fireworks.count_documents({}) == 2
    for name in pad.db.list_collection_names():
        for document in pad.db[name].find():
            text = json.dumps(document, default=str)
            assert PASSWORD not in text
            assert QUOTED not in text


def test_launchpad_of_embedded_server(database, mongo_settings):
    pad = launchpad(mongo_settings)
    assert pad.db.name == database.name
    assert pad.get_fw_ids() == []
    assert "state_-1_spec._priority_-1_created_on_1" in pad.fireworks.index_information()
    pad.add_wf(flow_to_workflow(Flow([_make(2)])))
    assert launchpad(mongo_settings).get_fw_ids() == [1], "a second look must not start anew"


def test_uri_of_embedded_server(mongo_settings):
    assert database_uri(mongo_settings) == EmbeddedServer.from_settings(mongo_settings).uri
