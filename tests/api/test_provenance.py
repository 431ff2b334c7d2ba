"""Provenance: from a number to jobs, potential, structure and blob."""

import hashlib

from sse_screen.api import provenance
from sse_screen.api.provenance import trace
from sse_screen.documents.base import content_hash

WEIGHTS = "d" * 64


def graph_of(client, root):
    answer = client.get(f"/provenance/{root}")
    assert answer.status_code == 200
    found = answer.json()
    nodes = {node["id"]: node for node in found["nodes"]}
    assert len(nodes) == len(found["nodes"])
    edges = {(edge["source"], edge["target"]): edge["relation"] for edge in found["edges"]}
    assert all(target in nodes for _, target in edges)
    return found, nodes, edges


def test_from_a_barrier_down_to_everything(client):
    found, nodes, edges = graph_of(client, "barrier1")
    assert found["complete"]
    assert found["nodes"][0]["id"] == "barrier1"
    blob = hashlib.sha256(b"frames").hexdigest()
    kinds = {
        kind: {n for n, node in nodes.items() if node["kind"] == kind} for kind in provenance.Kind.__args__
    }
    assert kinds["derived"] == {"barrier1", "rate1", "rate2", "rate3"}
    assert kinds["job"] == {"job1", "job2", "job3", "relax"}
    assert kinds["potential"] == {WEIGHTS}
    assert kinds["blob"] == {blob}
    assert len(kinds["structure"]) == 1
    assert kinds["missing"] == set()
    assert edges["barrier1", "rate2"] == "built from"
    assert edges["rate2", "job2"] == "built from"
    assert edges["job2", "relax"] == "ran after"
    assert edges["job2", WEIGHTS] == "potential"
    assert edges["rate2", WEIGHTS] == "potential"
    assert edges["job2", blob] == "blob"
    structure = kinds["structure"].pop()
    assert structure == content_hash(nodes[structure]["data"])


def test_what_fixes_a_job_is_told_and_what_is_long_is_not(client):
    _, nodes, _ = graph_of(client, "job2")
    output = nodes["job2"]["data"]["output"]
    assert output["seed"] == 2
    assert output["versions"] == {"ase": "3.29.0"}
    assert "curve" not in output
    assert nodes["relax"]["data"]["output"]["attempt"] == 2, "the last index of a job counts"


def test_builder_is_told(client):
    _, nodes, _ = graph_of(client, "rate1")
    assert nodes["rate1"]["data"]["builder"] == "RateBuilder"
    assert nodes["rate1"]["data"]["temperature_K"] == 100.0


def test_missing_input_is_shown(client):
    found, nodes, _ = graph_of(client, "rate5")
    assert not found["complete"]
    assert nodes["job5"]["kind"] == "missing"
    assert nodes["job5"]["collection"] == "outputs"


def test_circle_ends(client, filled):
    filled["outputs"].update_many({"uuid": "relax"}, {"$set": {"output.inputs": ["job1"]}})
    found, nodes, _ = graph_of(client, "job1")
    assert found["complete"]
    assert {"job1", "relax"} <= set(nodes)


def test_too_much_is_cut(client, monkeypatch):
    monkeypatch.setattr(provenance, "MAX_NODES", 3)
    answer = client.get("/provenance/barrier1").json()
    assert not answer["complete"]
    names = {node["id"] for node in answer["nodes"]}
    assert all(edge["source"] in names and edge["target"] in names for edge in answer["edges"])


def test_bounded_number_of_queries(filled, collections, mongo_settings):
    """Levels count, not documents: a root over 500 jobs takes no more queries than one over three."""
    from pymongo import MongoClient, monitoring

    from sse_screen.database.stores import database_uri

    class Counter(monitoring.CommandListener):
        number = 0

        def started(self, event):
            self.number += event.command_name in ("find", "getMore")

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    jobs = [{"uuid": f"many{n}", "index": 1, "output": {"n": n}} for n in range(500)]
    filled["outputs"].insert_many(jobs)
    inputs = [{"collection": "outputs", "id": job["uuid"], "content_sha256": ""} for job in jobs]
    filled["test_rate"].update_one({"id": "rate1"}, {"$set": {"inputs": inputs}})
    counter = Counter()
    client = MongoClient(database_uri(mongo_settings), event_listeners=[counter])
    found = trace(client[filled.name], collections, "rate1")
    client.close()
    assert len(found.nodes) > 500
    assert counter.number <= 10
