"""The generic builder against a real MongoDB: what is rebuilt when, and what becomes of failures."""

import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from builder_toys import ToyBuilder, ToyDoc, insert, toy_output
from pymongo.errors import DuplicateKeyError

from sse_screen.builders.base import BuildFailedError, fingerprint, latest_calculations
from sse_screen.builders.run import run_builder
from sse_screen.documents.base import InputReference

pytestmark = pytest.mark.usefixtures("settings_environment")


def build(**parameters):
    return run_builder(ToyBuilder(parameters or None))


def documents(database, name="toy"):
    return {found["family"]: found for found in database[name].find({}, {"_id": 0})}


def without_date(found):
    return {key: value for key, value in found.items() if key != "built_at"}


@pytest.fixture
def filled(database):
    insert(database, [toy_output(f"u{i}", family="abc"[i % 3], number=float(i)) for i in range(9)])
    report = build()
    assert (report.groups, report.built, report.failed) == (3, 3, 0)
    return database


def test_documents_carry_their_build(filled):
    found = documents(filled)["a"]
    assert found["total"] == 0 + 3 + 6
    assert found["id"] == ToyDoc.id_of({"family": "a"})
    assert [reference["id"] for reference in found["inputs"]] == ["u0", "u3", "u6"]
    assert {reference["collection"] for reference in found["inputs"]} == {"outputs"}
    references = [InputReference(**reference) for reference in found["inputs"]]
    assert found["inputs_fingerprint"] == fingerprint(references) == fingerprint(references[::-1])
    assert (found["builder"], found["builder_version"], found["parameters"]) == ("ToyBuilder", "1", {})
    assert (found["stale"], found["deprecated"]) == (False, False)
    assert found["built_at"].utcoffset().total_seconds() == 0


def test_unchanged_sources_rebuild_nothing(filled):
    before = documents(filled)
    assert build().built == 0
    assert documents(filled) == before


def test_dates_and_unused_fields_do_not_count(filled):
    filled.outputs.update_many({}, {"$set": {"completed_at": "2031-01-01", "output.unused": 5, "hosts": []}})
    assert build().built == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda db: db.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 40.0}}),
        lambda db: insert(db, [toy_output("u100", family="b", number=1.0)]),
        lambda db: db.outputs.delete_one({"uuid": "u4"}),
    ],
    ids=["updated", "added", "removed"],
)
def test_a_changed_member_rebuilds_its_group_only(filled, change):
    before = documents(filled)
    change(filled)
    assert build().built == 1
    after = documents(filled)
    assert after["a"] == before["a"]
    assert after["c"] == before["c"]
    expected = sum(found["output"]["number"] for found in filled.outputs.find({"output.family": "b"}))
    assert after["b"]["total"] == expected
    assert after["b"]["inputs_fingerprint"] != before["b"]["inputs_fingerprint"]


def test_a_member_that_moves_rebuilds_both_groups(filled):
    filled.outputs.update_one({"uuid": "u0"}, {"$set": {"output.family": "c"}})
    assert build().built == 2
    assert documents(filled)["c"]["total"] == 2 + 5 + 8 + 0


def test_builder_version_and_parameters_count(filled, monkeypatch):
    assert build(factor=2.0).built == 3
    assert documents(filled)["a"]["total"] == 18
    assert build(factor=2.0).built == 0
    monkeypatch.setattr(ToyDoc, "meaning_version", "2")
    assert build(factor=2.0).built == 3
    assert documents(filled)["a"]["builder_version"] == "2"


def test_building_twice_gives_identical_content(filled):
    before = documents(filled)
    filled.toy.drop()
    sources = list(filled.outputs.find())
    filled.outputs.drop()
    filled.outputs.insert_many(reversed(sources))
    assert build().built == 3
    after = documents(filled)
    assert {key: without_date(found) for key, found in after.items()} == {
        key: without_date(found) for key, found in before.items()
    }


def test_a_failed_rebuild_keeps_the_good_document(filled):
    good = documents(filled)["b"]
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -1.0}})
    report = build()
    assert (report.built, report.failed) == (0, 1)
    kept = documents(filled)["b"]
    assert kept["stale"] is True
    assert "ToyError: number of u4 is negative" in kept["stale_reason"]
    assert kept["total"] == good["total"]
    assert kept["built_at"] == good["built_at"]
    failure = filled.toy_failures.find_one({"id": good["id"]})
    assert failure["key"] == {"family": "b"}
    assert failure["sources"] == ["u1", "u4", "u7"]
    assert "in from_numbers" in failure["traceback"]
    assert failure["failed_at"] > good["built_at"]


def test_a_failure_is_tried_again_and_forgotten_when_it_succeeds(filled):
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -1.0}})
    assert build().failed == 1
    assert build().failed == 1
    assert filled.toy_failures.count_documents({}) == 1
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 4.0}})
    report = build()
    assert (report.built, report.failed) == (1, 0)
    assert documents(filled)["b"]["stale"] is False
    assert documents(filled)["b"]["stale_reason"] is None
    assert filled.toy_failures.count_documents({}) == 0


def test_what_cannot_be_stored_is_a_failure_of_its_own_group(filled):
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 99.0}})
    report = build(note_bytes=17 * 1024 * 1024)
    assert report.failed == 3
    assert "MongoDB takes 16777216" in next(iter(report.failures.values()))
    assert all(found["stale"] for found in documents(filled).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"$unset": {"output.family": ""}}, "outputs u4: has no field 'family'; rerun the job or remove it"),
        ({"$set": {"output.number": float("nan")}}, "outputs u4: holds a number that is not finite"),
    ],
)
def test_an_unreadable_source_is_a_failure_and_stops_nothing(filled, change, message):
    filled.outputs.update_one({"uuid": "u4"}, change)
    filled.outputs.update_one({"uuid": "u0"}, {"$set": {"output.number": 10.0}})
    report = build()
    assert report.failures == {"u4": message}
    assert report.built == 2
    assert documents(filled)["a"]["total"] == 10 + 3 + 6
    assert documents(filled)["b"]["total"] == 1 + 7
    assert filled.toy_failures.find_one({"id": "u4"})["error"] == message
    filled.outputs.delete_one({"uuid": "u4"})
    assert build().failed == 0
    assert filled.toy_failures.count_documents({}) == 0


def test_a_repaired_source_is_no_failure_any_more(filled):
    filled.outputs.update_one({"uuid": "u4"}, {"$unset": {"output.number": ""}})
    assert build().failed == 1
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 4.0}})
    assert (build().failed, filled.toy_failures.count_documents({})) == (0, 0)
    assert documents(filled)["b"]["total"] == 1 + 4 + 7


def test_tuples_in_parameters_are_what_is_stored(filled):
    assert ToyBuilder({"window": (1.0, 2.0)}).parameters == {"window": [1.0, 2.0]}


def test_orphans_are_deprecated_and_revived(filled):
    sources = list(filled.outputs.find({"output.family": "c"}))
    filled.outputs.delete_many({"output.family": "c"})
    assert build().deprecated == 1
    orphan = documents(filled)["c"]
    assert orphan["deprecated"] is True
    assert orphan["deprecated_reason"]
    assert orphan["total"] == 2 + 5 + 8
    assert build().deprecated == 0
    filled.outputs.insert_many(sources)
    assert build().built == 1
    revived = documents(filled)["c"]
    assert (revived["deprecated"], revived["deprecated_reason"]) == (False, None)


def test_failures_of_groups_that_are_gone_are_forgotten(filled):
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -1.0}})
    build()
    filled.outputs.delete_many({"output.family": "b"})
    report = build()
    assert (report.failed, report.deprecated) == (0, 1)
    assert filled.toy_failures.count_documents({}) == 0


def test_a_rerun_counts_once_and_the_latest_uuid_wins(filled):
    rerun = toy_output("v1", family="a", number=100.0)
    rerun["output"]["calculation_key"] = "key-u0"
    insert(filled, [rerun])
    assert build().built == 1
    found = documents(filled)["a"]
    assert found["total"] == 100 + 3 + 6
    assert [reference["id"] for reference in found["inputs"]] == ["u3", "u6", "v1"]
    older = toy_output("a1", family="a", number=7.0)
    older["output"]["calculation_key"] = "key-u0"
    insert(filled, [older])
    assert build().built == 0


def test_a_replaced_job_counts_with_its_last_output(filled):
    replacing = toy_output("u0", family="a", number=50.0) | {"index": 2}
    insert(filled, [replacing])
    assert build().built == 1
    assert documents(filled)["a"]["total"] == 50 + 3 + 6
    assert build().built == 0


def test_the_last_index_of_a_replaced_job_counts():
    outputs = [toy_output("u1", family="a", number=float(index)) | {"index": index} for index in (2, 3, 1)]
    outputs[0]["output"]["calculation_key"] = "another"
    assert [found["index"] for found in latest_calculations(outputs)] == [3]


def test_ids_are_unique(filled):
    with pytest.raises(DuplicateKeyError):
        filled.toy.insert_one({"id": ToyDoc.id_of({"family": "a"})})


def test_parallel_builds_the_same_and_records_failures(filled):
    serial = {key: without_date(found) for key, found in documents(filled).items()}
    filled.toy.drop()
    assert run_builder(ToyBuilder(), processes=2).built == 3
    assert {key: without_date(found) for key, found in documents(filled).items()} == serial
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -1.0}})
    report = run_builder(ToyBuilder(), processes=2)
    assert (report.built, report.failed) == (0, 1)
    assert "in from_numbers" in filled.toy_failures.find_one()["traceback"]


def test_two_builders_at_once_leave_each_document_once(database):
    insert(database, [toy_output(f"u{i:03d}", family=str(i // 2), number=float(i)) for i in range(200)])
    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(lambda _: run_builder(ToyBuilder()), range(3)))
    assert [report.failed for report in reports] == [0, 0, 0]
    assert database.toy.count_documents({}) == len(database.toy.distinct("id")) == 100
    assert build().built == 0


def test_a_killed_worker_is_a_failure_not_a_silence(filled):
    filled.toy.drop()
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -666.0}})
    report = run_builder(ToyBuilder(), processes=2)
    assert "WorkerLostError" in report.failures[ToyDoc.id_of({"family": "b"})]
    assert report.built + report.failed == 3
    assert filled.toy_failures.count_documents({}) == report.failed
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 4.0}})
    assert run_builder(ToyBuilder(), processes=2).failed == 0


def test_pickles_and_json_hold_no_address(filled, mongo_settings):
    builder = ToyBuilder({"factor": 3.0}, chunk_size=7)
    builder.connect()
    copy = pickle.loads(pickle.dumps(builder))
    assert (copy.parameters, copy.chunk_size) == ({"factor": 3.0}, 7)
    assert str(mongo_settings.data_directory) not in builder.to_json()
    builder.finish()


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["serial", "parallel"])
def test_mrun_fails_when_a_document_fails(filled, tmp_path, options):
    path = tmp_path / "toy.json"
    path.write_text(ToyBuilder().to_json())
    mrun = [str(Path(sys.executable).parent / "mrun"), "--no_bars", *options, str(path)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    }
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": -1.0}})
    ended = subprocess.run(mrun, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "BuildFailedError: toy: 1 of 3 documents could not be built" in ended.stderr
    filled.outputs.update_one({"uuid": "u4"}, {"$set": {"output.number": 5.0}})
    ended = subprocess.run(mrun, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert documents(filled)["b"]["total"] == 1 + 5 + 7


def test_finalize_raises_after_everything_is_stored(filled):
    filled.outputs.update_many(
        {"uuid": {"$in": ["u4", "u0"]}}, [{"$set": {"output.number": {"$literal": -1.0}}}]
    )
    filled.outputs.update_one({"uuid": "u2"}, {"$set": {"output.number": 20.0}})
    builder = ToyBuilder()
    builder.connect()
    builder.update_targets([builder.process_item(item) for item in builder.get_items()])
    with pytest.raises(BuildFailedError, match="2 of 3"):
        builder.finalize()
    assert documents(filled)["c"]["total"] == 20 + 5 + 8


def test_twenty_thousand_sources_in_few_queries(database, commands):
    insert(database, [toy_output(f"u{i:05d}", family=str(i // 40), number=float(i)) for i in range(20_000)])
    assert run_builder(ToyBuilder()).built == 500
    commands.clear()
    start = time.process_time()  # the wall clock would measure other processes as well
    report = run_builder(ToyBuilder())
    assert time.process_time() - start < 3.0
    assert (report.groups, report.built) == (500, 0)
    reads = [name for name in commands if name in ("find", "getMore", "aggregate", "count")]
    assert len(reads) <= 6
    assert not {"insert", "update", "delete"} & set(commands)
