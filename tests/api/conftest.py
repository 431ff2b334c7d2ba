"""An API over a real database with a few documents, their jobs and blobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import pytest
from pydantic import Field

from sse_screen.database.served import ServedCollection
from sse_screen.documents.base import DerivedDocument, PotentialIdentity, Quantity

WEIGHTS = "d" * 64
STRUCTURE = {"@module": "pymatgen.core.structure", "@class": "Structure", "sites": [], "charge": 0}


class RateDoc(DerivedDocument):
    """Rate of a thing."""

    collection: ClassVar[str] = "test_rate"
    group_fields: ClassVar[tuple[str, ...]] = ("formula", "temperature_K")

    formula: str = Field(description="Reduced formula")
    chemical_system: str
    elements: list[str]
    mobile_ion: str
    potential: PotentialIdentity
    temperature_K: float = Field(description="Temperature", json_schema_extra={"unit": "K"})
    rate: Quantity = Field(description="How fast", json_schema_extra={"unit": "1/s"})


class BarrierDoc(DerivedDocument):
    """Barrier over temperatures."""

    collection: ClassVar[str] = "test_barrier"

    formula: str


COLLECTIONS = {"test_rate": ServedCollection(RateDoc), "test_barrier": ServedCollection(BarrierDoc)}


def rate(number, **changes):
    potential = PotentialIdentity(name="chgnet", code="chgnet", code_version="0.4.2", weights_sha256=WEIGHTS)
    values = {
        "id": f"rate{number}",
        "formula": "Li3PS4",
        "chemical_system": "Li-P-S",
        "elements": ["Li", "P", "S"],
        "mobile_ion": "Li",
        "potential": potential,
        "temperature_K": 100.0 * number,
        "rate": Quantity(value=number / 10, lower=None, upper=None, unit="1/s"),
        "inputs": [{"collection": "outputs", "id": f"job{number}", "content_sha256": "0" * 64}],
        "builder": "RateBuilder",
        "built_at": datetime(2026, 1, number, tzinfo=UTC),
    }
    document = RateDoc.model_validate({**values, **changes})
    return {**document.model_dump(mode="json"), "built_at": document.built_at}


@pytest.fixture
def filled(database):
    """Nine rates, a barrier over three of them, and the jobs of the first three."""
    from sse_screen.database.blobs import BlobStore
    from sse_screen.database.indexes import derived_indexes, ensure_indexes

    ensure_indexes(database, {name: derived_indexes(found) for name, found in COLLECTIONS.items()})
    database["test_rate"].insert_many([rate(number) for number in range(1, 10)])
    inputs = [{"collection": "test_rate", "id": f"rate{n}", "content_sha256": "0" * 64} for n in (1, 2, 3)]
    barrier = BarrierDoc.model_validate({"id": "barrier1", "formula": "Li3PS4", "inputs": inputs})
    database["test_barrier"].insert_one(barrier.model_dump(mode="json"))
    trajectory = BlobStore(database).put(b"frames", "application/x-hdf5")
    for number in (1, 2, 3):
        output = {
            "kind": "molecular_dynamics",
            "seed": number,
            "structure": STRUCTURE,
            "potential": {"name": "chgnet", "weights_sha256": WEIGHTS},
            "trajectory": trajectory.model_dump(),
            "inputs": ["relax"],
            "curve": list(range(500)),
            "versions": {"ase": "3.29.0"},
        }
        database["outputs"].insert_one({"uuid": f"job{number}", "index": 1, "name": "md", "output": output})
    for index in (1, 2):
        relaxed = {"kind": "relaxation", "structure": STRUCTURE, "attempt": index}
        database["outputs"].insert_one({"uuid": "relax", "index": index, "name": "relax", "output": relaxed})
    return database


@pytest.fixture
def collections():
    """Collections of these tests."""
    return COLLECTIONS


@pytest.fixture
def client(filled, mongo_settings):
    from fastapi.testclient import TestClient

    from sse_screen.api.app import create_app

    with TestClient(create_app(mongo_settings, COLLECTIONS), raise_server_exceptions=False) as client:
        yield client
