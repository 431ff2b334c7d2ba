"""The index that a sample of the documents speaks for, and that it changes no answer."""

from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field

from sse_screen.database import index_choice
from sse_screen.database.index_choice import IndexChoice
from sse_screen.database.indexes import derived_indexes, ensure_indexes
from sse_screen.database.queries import compile_query, find, run_query
from sse_screen.database.served import ServedCollection
from sse_screen.documents.base import DerivedDocument, Document

N = 3000


class Part(Document):
    name: str


class ThingDoc(DerivedDocument):
    collection: ClassVar[str] = "chosen_things"

    rare: str = Field(description="One of a hundred")
    common: str = Field(description="One of two")
    opposite: str = Field(description="Always the other one")
    order: float
    elements: list[str]
    parts: list[Part]


THINGS = ServedCollection(ThingDoc)


@pytest.fixture(scope="module")
def things(mongo_settings):
    from sse_screen.database.stores import connect

    database = connect(mongo_settings.model_copy(update={"database_name": "test_index_choice"}))
    database.client.drop_database(database.name)
    rng = np.random.default_rng(0)
    for number in range(N):
        common = "ab"[rng.integers(2)]
        database["chosen_things"].insert_one(
            ThingDoc(
                id=f"{number:024x}",
                rare=str(rng.integers(100)),
                common=common,
                opposite="ba"["ab".index(common)],
                order=float(rng.random()),
                elements=[["Li", "S"], ["Na", "S"], ["Li", "O"]][rng.integers(3)],
                parts=[Part(name=str(rng.integers(50))) for _ in range(2)],
                deprecated=bool(rng.random() < 0.02),
            ).model_dump()
        )
    ensure_indexes(database, {"chosen_things": derived_indexes(THINGS)})
    yield database
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def choice(things, monkeypatch):
    monkeypatch.setattr(index_choice, "SMALLEST_COLLECTION", 0)
    return IndexChoice(things, THINGS)


def steps(things, parameters, index):
    """Count the documents that are looked at, plan after plan."""
    query = compile_query(THINGS, parameters)
    plan = find(things, query, index).explain()["executionStats"]
    return plan["totalDocsExamined"]


@pytest.mark.parametrize(
    ("parameters", "index"),
    [
        ([("rare", "7"), ("common", "a"), ("sort", "order")], "rare_1_id_1"),
        ([("common", "a"), ("sort", "order")], "order_1_id_1"),
        ([("common", "a"), ("elements", "Li"), ("sort", "-order")], "order_1_id_1"),
        ([("parts.name", "7"), ("common", "a"), ("sort", "order"), ("limit", "500")], "sse_wildcard"),
        ([("order_max", "0.001"), ("common", "a"), ("sort", "rare")], "order_1_id_1"),
        ([("order_min", "0.9"), ("sort", "order"), ("limit", "5")], "order_1_id_1"),
        ([("sort", "order")], "order_1_id_1"),
    ],
)
def test_few_matches_are_looked_up_and_many_are_met_in_order(things, choice, parameters, index):
    found = choice.best(compile_query(THINGS, parameters))
    assert found is not None
    assert found.startswith(index)
    left_alone = steps(things, parameters, None)
    assert steps(things, parameters, found) <= max(1.5 * left_alone, 100)


def test_filters_that_exclude_each_other_are_left_to_the_database(choice, monkeypatch):
    monkeypatch.setattr(index_choice, "_most_steps", lambda _query, n: n / 10)
    query = compile_query(THINGS, [("common", "a"), ("opposite", "a"), ("sort", "order")])
    assert choice.best(query) is None


def test_further_pages_and_small_collections_are_left_to_the_database(things, choice, monkeypatch):
    parameters = [("common", "a"), ("sort", "order")]
    page = run_query(things, compile_query(THINGS, parameters))
    assert choice.best(compile_query(THINGS, [*parameters, ("cursor", page.next_cursor)])) is None
    monkeypatch.setattr(index_choice, "SMALLEST_COLLECTION", N + 1)
    assert choice.best(compile_query(THINGS, parameters)) is None


def test_the_choice_changes_no_answer(things, choice):
    rng = np.random.default_rng(1)
    asked = [("rare", "7"), ("common", "a"), ("opposite", "b"), ("order_min", "0.5"), ("elements", "Li,S")]
    asked += [("parts.name", "3"), ("parts.name", "no such"), ("order_max", "0.01"), ("deprecated", "true")]
    for _ in range(60):
        filters = [asked[i] for i in rng.choice(len(asked), rng.integers(4), replace=False)]
        names = [name for name, _ in filters]
        if len(set(names)) < len(names):
            continue
        query = compile_query(THINGS, [*filters, ("sort", str(rng.choice(["order", "-rare", "common"])))])
        chosen, alone = run_query(things, query, choice.best(query)), run_query(things, query)
        assert chosen == alone


def test_an_index_that_is_gone_is_done_without(things, choice):
    query = compile_query(THINGS, [("rare", "7"), ("sort", "order")])
    assert run_query(things, query, "no such index") == run_query(things, query)
