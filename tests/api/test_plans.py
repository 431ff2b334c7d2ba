"""No request makes MongoDB read a whole collection: every route, every filter, every sort key, by explain."""

import importlib.util
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from sse_screen.database import index_choice
from sse_screen.database.index_choice import IndexChoice
from sse_screen.database.indexes import derived_indexes, ensure_indexes
from sse_screen.database.queries import compile_query, find, run_query
from sse_screen.database.served import DOCUMENT_CLASSES, served_collections

COLLECTIONS = sorted(line.split(".")[2].split(":")[0] for line in DOCUMENT_CLASSES)
VALUES = {"text": "x", "integer": "3", "number": "0.5", "flag": "true", "date": "2026-02-01"}
VALUES |= {"text list": "x", "potential": "chgnet"}


def synthetic_documents(*arguments):
    path = Path(__file__).parents[2] / "benchmarks" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.synthetic_documents(*arguments)


@pytest.fixture(scope="module", params=COLLECTIONS)
def collection(request, mongo_settings):
    from sse_screen.database.stores import connect

    found = next(c for c in served_collections().values() if request.param in c.document.__module__)
    database = connect(mongo_settings.model_copy(update={"database_name": "test_plans"}))
    documents = list(synthetic_documents(found.document, 200, np.random.default_rng(0)))
    database[found.name].drop()
    database[found.name].insert_many(documents)
    ensure_indexes(database, {found.name: derived_indexes(found)})
    yield found, database
    database.client.drop_database("test_plans")
    database.client.close()


def stages(database, found, parameters):
    explained = find(database, compile_query(found, parameters)).explain()
    text = str(explained["queryPlanner"]["winningPlan"])
    return {stage for stage in ("COLLSCAN", "IXSCAN", "'SORT'") if stage in text}


def filters(found):
    for name, field in found.fields.items():
        if field.filterable:
            value = field.choices[0] if field.choices else VALUES[field.kind]
            value = "Li3PS4" if name.endswith("formula") else value
            yield name, value
            if field.ranged:
                yield f"{name}_min", value
                yield f"{name}_max", value


def sort_keys(found):
    names = [name for name, field in found.fields.items() if field.sortable]
    return [*names, *(f"-{name}" for name in names)]


def test_every_filter_uses_an_index(collection):
    found, database = collection
    for (name, value), sort in zip(filters(found), cycle(sort_keys(found)), strict=False):
        for order in (sort, "id"):
            used = stages(database, found, [(name, value), ("sort", order)])
            assert "IXSCAN" in used, (name, order)
            assert "COLLSCAN" not in used, (name, order)


def test_every_sort_key_needs_no_sorting(collection):
    found, database = collection
    for sort in sort_keys(found):
        assert stages(database, found, [("sort", sort)]) == {"IXSCAN"}, sort
        named = {"potential": "chgnet", "functional": "PBE", "chemical_system": "Cl-Li"}
        asked = next((name, value) for name, value in named.items() if name in found.fields)
        common = [asked, ("sort", sort), ("limit", "5")]
        assert "COLLSCAN" not in stages(database, found, common), sort


def test_indexes_stay_far_below_the_limit(collection):
    found, _ = collection
    assert len(derived_indexes(found)) <= 40


def test_the_index_that_a_sample_speaks_for_changes_no_answer(collection, monkeypatch):
    found, database = collection
    monkeypatch.setattr(index_choice, "SMALLEST_COLLECTION", 0)
    choice = IndexChoice(database, found)
    for (name, value), sort in zip(filters(found), cycle(sort_keys(found)), strict=False):
        query = compile_query(found, [(name, value), ("sort", sort)])
        assert run_query(database, query, choice.best(query)) == run_query(database, query), (name, sort)
