"""The query compiler against brute force in Python, page by page, and its refusals."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from sse_screen.database.errors import QueryError
from sse_screen.database.fields import units
from sse_screen.database.indexes import Index, derived_indexes, ensure_indexes, verify_indexes
from sse_screen.database.queries import compile_query, find, iterate, parameter_names, run_query
from sse_screen.database.served import ServedCollection
from sse_screen.documents.base import DerivedDocument, Document, PotentialIdentity, Quantity
from sse_screen.exceptions import InfrastructureError


class Protocol(Document):
    time_step_fs: float = Field(2.0, description="Step", json_schema_extra={"unit": "fs"})
    ensemble: Literal["nvt", "npt"] = "nvt"


class Phase(Document):
    formula: str
    energy_eV_per_atom: float = Field(json_schema_extra={"unit": "eV/atom"})
    stable: bool


class SampleDoc(DerivedDocument):
    collection: ClassVar[str] = "sample_things"

    formula: str
    chemical_system: str
    elements: list[str]
    mobile_ion: str
    potential: PotentialIdentity
    protocol: Protocol
    temperature_K: float = Field(json_schema_extra={"unit": "K"})
    n_atoms: int
    barrier_eV: float | None = Field(None, json_schema_extra={"unit": "eV"})
    diffusivity_cm2_per_s: Quantity = Field(json_schema_extra={"unit": "cm^2/s"})
    verdict: Literal["ok", "upper_limit"] = "ok"
    phases: list[Phase] = Field(default_factory=list)
    curve: list[float] = Field(default_factory=list)


SAMPLES = ServedCollection(SampleDoc)
FORMULAS = ["Li3PS4", "Li6PS5Cl", "Na3PS4", "Li3YCl6"]
HASHES = {"chgnet": "a" * 64, "mace": "b" * 63 + "c"}
START = datetime(2026, 1, 1, tzinfo=UTC)


def sample(number, generator):
    from pymatgen.core import Composition

    formula = FORMULAS[generator.integers(len(FORMULAS))]
    elements = sorted(element.symbol for element in Composition(formula))
    name = list(HASHES)[generator.integers(2)]
    value = None if generator.random() < 0.2 else float(generator.integers(1, 9)) * 1e-7
    return SampleDoc(
        id=f"{number:024x}",
        formula=formula,
        chemical_system="-".join(elements),
        elements=elements,
        mobile_ion="Na" if "Na" in elements else "Li",
        potential=PotentialIdentity(name=name, code=name, code_version="1", weights_sha256=HASHES[name]),
        protocol=Protocol(time_step_fs=float(generator.integers(1, 4))),
        temperature_K=float(generator.integers(3, 10) * 100),
        n_atoms=int(generator.integers(1, 50)),
        barrier_eV=None if generator.random() < 0.3 else float(generator.random()),
        diffusivity_cm2_per_s=Quantity(value=value, lower=None, upper=1e-6, unit="cm^2/s"),
        verdict="ok" if value else "upper_limit",
        phases=[
            Phase(
                formula=FORMULAS[generator.integers(len(FORMULAS))],
                energy_eV_per_atom=float(generator.random()),
                stable=bool(generator.random() < 0.5),
            )
            for _ in range(2)
        ],
        built_at=START + timedelta(days=int(generator.integers(10))),
        deprecated=bool(generator.random() < 0.1),
    )


DOCUMENTS = [sample(number, np.random.default_rng(number)) for number in range(300)]


@pytest.fixture(scope="module")
def samples(mongo_settings):
    from sse_screen.database.stores import connect

    database = connect(mongo_settings.model_copy(update={"database_name": "test_queries"}))
    database.client.drop_database(database.name)
    database["sample_things"].insert_many([document.model_dump() for document in DOCUMENTS])
    ensure_indexes(database, {"sample_things": derived_indexes(SAMPLES)})
    yield database
    database.client.drop_database(database.name)
    database.client.close()


def ids(database, *parameters):
    query = compile_query(SAMPLES, [("limit", "1000"), *parameters])
    return [document["id"] for document in run_query(database, query).documents]


def expected(condition, sort=lambda d: d.id, descending=False):
    alive = [document for document in DOCUMENTS if condition(document)]
    return [d.id for d in sorted(alive, key=lambda d: (sort(d), d.id), reverse=descending)]


def current(condition):
    return lambda document: not document.deprecated and condition(document)


@pytest.mark.parametrize(
    ("parameters", "condition"),
    [
        ("", lambda d: True),
        ("formula=Li3PS4", lambda d: d.formula == "Li3PS4"),
        ("formula=Li12P4S16", lambda d: d.formula == "Li3PS4"),
        ("formula=Li3PS4&formula=Na3PS4", lambda d: d.formula in ("Li3PS4", "Na3PS4")),
        ("chemical_system=S-P-Li", lambda d: d.chemical_system == "Li-P-S"),
        ("elements=S,P", lambda d: {"P", "S"} <= set(d.elements)),
        ("elements=Cl&elements=S", lambda d: {"Cl", "S"} <= set(d.elements)),
        ("mobile_ion=Na", lambda d: d.mobile_ion == "Na"),
        ("potential=mace", lambda d: d.potential.name == "mace"),
        (f"potential={'a' * 64}", lambda d: d.potential.name == "chgnet"),
        ("potential=bbbbbbbb", lambda d: d.potential.name == "mace"),
        ("potential.code=mace", lambda d: d.potential.code == "mace"),
        ("temperature_K=600", lambda d: d.temperature_K == 600),
        ("temperature_K_min=500&temperature_K_max=700", lambda d: 500 <= d.temperature_K <= 700),
        ("temperature_K=600&temperature_K_min=500", lambda d: d.temperature_K == 600),
        ("temperature_K=600&temperature_K_min=700", lambda d: False),
        ("n_atoms_max=10", lambda d: d.n_atoms <= 10),
        ("barrier_eV_min=0.5", lambda d: d.barrier_eV is not None and d.barrier_eV >= 0.5),
        ("diffusivity_cm2_per_s_min=5e-7", lambda d: (d.diffusivity_cm2_per_s.value or 0) >= 5e-7),
        ("diffusivity_cm2_per_s.upper_max=1e-6", lambda d: True),
        ("diffusivity_cm2_per_s.lower_min=0", lambda d: False),
        ("protocol.time_step_fs=2", lambda d: d.protocol.time_step_fs == 2),
        ("protocol.ensemble=npt", lambda d: False),
        ("verdict=upper_limit", lambda d: d.verdict == "upper_limit"),
        ("phases.formula=Li3PS4", lambda d: any(p.formula == "Li3PS4" for p in d.phases)),
        (
            "phases.energy_eV_per_atom_min=0.4&phases.energy_eV_per_atom_max=0.5&phases.stable=true",
            lambda d: any(0.4 <= p.energy_eV_per_atom <= 0.5 and p.stable for p in d.phases),
        ),
        ("built_at_min=2026-01-04&built_at_max=2026-01-05T00:00:00Z", lambda d: d.built_at.day in (4, 5)),
        ("mobile_ion=Li&temperature_K_max=600&n_atoms_min=20&potential=chgnet", None),
    ],
)
def test_filters_agree_with_brute_force(samples, parameters, condition):
    from urllib.parse import parse_qsl

    if condition is None:

        def condition(d):
            return (
                d.mobile_ion == "Li"
                and d.temperature_K <= 600 <= 30 * d.n_atoms
                and (d.potential.name == "chgnet")
            )

    assert ids(samples, *parse_qsl(parameters)) == expected(current(condition))


def test_deprecated_ones_on_request(samples):
    assert ids(samples, ("deprecated", "true")) == expected(lambda d: d.deprecated)
    assert ids(samples, ("deprecated", "false")) == ids(samples)


ORDER = {
    "id": lambda d: d.id,
    "formula": lambda d: d.formula,
    "temperature_K": lambda d: d.temperature_K,
    "n_atoms": lambda d: d.n_atoms,
    "barrier_eV": lambda d: -1.0 if d.barrier_eV is None else d.barrier_eV,
    "diffusivity_cm2_per_s": lambda d: d.diffusivity_cm2_per_s.value or -1.0,
    "verdict": lambda d: d.verdict,
    "built_at": lambda d: d.built_at,
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(sorted(ORDER)),
    descending=st.booleans(),
    limit=st.integers(7, 400),
    minimum=st.integers(0, 12).map(lambda n: n * 100),
    fields=st.sampled_from([None, "formula", "diffusivity_cm2_per_s.upper", "temperature_K,barrier_eV"]),
)
def test_pages_joined_are_the_whole_in_order(samples, name, descending, limit, minimum, fields):
    wanted = expected(current(lambda d: d.temperature_K >= minimum), ORDER[name], descending)
    parameters = [("sort", ("-" if descending else "") + name), ("limit", str(limit))]
    parameters += [("temperature_K_min", str(minimum))] + ([("fields", fields)] if fields else [])
    found, cursor = [], None
    while True:
        query = compile_query(SAMPLES, parameters + ([("cursor", cursor)] if cursor else []))
        page = run_query(samples, query)
        found += [document["id"] for document in page.documents]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.documents) == limit
    assert found == wanted


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ("formula", {"id", "formula"}),
        ("formula,temperature_K", {"id", "formula", "temperature_K"}),
        ("diffusivity_cm2_per_s", {"id", "diffusivity_cm2_per_s"}),
        ("diffusivity_cm2_per_s,diffusivity_cm2_per_s.upper", {"id", "diffusivity_cm2_per_s"}),
        ("potential.name,protocol", {"id", "potential", "protocol"}),
        ("curve,id", {"id", "curve"}),
    ],
)
@pytest.mark.parametrize("sort", ["id", "barrier_eV", "diffusivity_cm2_per_s"])
def test_selected_fields_only(samples, fields, keys, sort):
    query = compile_query(SAMPLES, [("fields", fields), ("sort", sort), ("limit", "5")])
    for document in run_query(samples, query).documents:
        assert set(document) == keys
        if "diffusivity_cm2_per_s" in document:
            assert set(document["diffusivity_cm2_per_s"]) == set(Quantity.model_fields)
        if "potential" in document:
            assert set(document["potential"]) == {"name"}


def test_part_of_a_quantity_comes_with_its_unit_and_without_the_sort_value(samples):
    query = compile_query(
        SAMPLES, [("fields", "diffusivity_cm2_per_s.upper"), ("sort", "diffusivity_cm2_per_s")]
    )
    assert run_query(samples, query).documents[0]["diffusivity_cm2_per_s"] == {
        "upper": 1e-6,
        "unit": "cm^2/s",
    }


def test_whole_documents_validate_again(samples):
    for document in run_query(samples, compile_query(SAMPLES, [])).documents:
        assert SampleDoc.model_validate(document).collection == "sample_things"


def test_iterate_gives_all_or_the_first(samples):
    everything = compile_query(SAMPLES, [("limit", "0")], max_limit=None)
    assert [d["id"] for d in iterate(samples, everything)] == expected(current(lambda d: True))
    assert len(list(iterate(samples, compile_query(SAMPLES, [("limit", "7")])))) == 7
    assert len(list(iterate(samples, compile_query(SAMPLES, [("limit", "5000")], max_limit=None)))) > 200


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("formla", "x")], r"unknown parameter 'formla'; allowed: id, .*temperature_K, temperature_K_min"),
        ([("formula_min", "x")], "unknown parameter 'formula_min'"),
        ([("curve", "1")], "unknown parameter 'curve'"),
        ([("parameters", "1")], "unknown parameter 'parameters'"),
        ([("$where", "1")], r"unknown parameter '\$where'"),
        ([("sort", "elements")], "sort: cannot sort by 'elements'; allowed, .*temperature_K"),
        ([("sort", "phases.energy_eV_per_atom")], "sort: cannot sort by"),
        ([("sort", "--id")], "sort: cannot sort by '-id'"),
        ([("fields", "formula,nonsense")], "fields: unknown field 'nonsense'; allowed: id, inputs"),
        ([("fields", ",")], "fields: name at least one"),
        ([("limit", "0")], "limit: '0' is no whole number from 1 to 1000"),
        ([("limit", "1001")], "limit: '1001'"),
        ([("limit", "-5")], "limit: '-5'"),
        ([("limit", "ten")], "limit: 'ten'"),
        ([("limit", "5"), ("limit", "6")], "limit: given twice"),
        ([("temperature_K", "hot")], "temperature_K: 'hot' is no number"),
        ([("temperature_K_min", "nan")], "temperature_K_min: 'nan' is no number"),
        ([("temperature_K", "1"), ("temperature_K", "2")], "temperature_K: given twice"),
        ([("n_atoms", "1.5")], "n_atoms: '1.5' is no whole number"),
        ([("n_atoms", "9" * 30)], "is no whole number"),
        ([("verdict", "maybe")], "verdict: 'maybe' is refused; allowed: ok, upper_limit"),
        ([("deprecated", "perhaps")], "deprecated: 'perhaps' is refused; allowed: true, false"),
        ([("built_at_min", "yesterday")], "built_at_min: 'yesterday' is no date"),
        ([("formula", "Qq2")], "formula: 'Qq2' is no chemical formula"),
        ([("formula", "")], "formula: '' is no chemical formula"),
        ([("elements", ",")], "elements: name at least one value"),
        ([("cursor", "!!!")], "cursor: is damaged"),
        ([("cursor", "WzFd")], "cursor: is damaged"),
    ],
)
def test_refusals(parameters, message):
    with pytest.raises(QueryError, match=message):
        compile_query(SAMPLES, parameters)


def test_cursor_of_another_query(samples):
    page = run_query(samples, compile_query(SAMPLES, [("limit", "3")]))
    with pytest.raises(QueryError, match="belongs to other filters or another sort"):
        compile_query(SAMPLES, [("cursor", page.next_cursor), ("sort", "formula")])
    with pytest.raises(QueryError, match="belongs to other filters"):
        compile_query(SAMPLES, [("cursor", page.next_cursor), ("mobile_ion", "Li")])


def stages(plan):
    yield plan["stage"]
    for key in ("inputStage", "queryPlan", "thenStage", "elseStage"):
        if key in plan:
            yield from stages(plan[key])
    for below in plan.get("inputStages", []):
        yield from stages(below)


def winning_stages(database, parameters):
    plan = find(database, compile_query(SAMPLES, parameters)).explain()["queryPlanner"]["winningPlan"]
    return set(stages(plan))


SORTABLE = [name for name, field in SAMPLES.fields.items() if field.sortable]
FILTERS = [
    ("formula", "Li3PS4"), ("chemical_system", "Li-P-S"), ("elements", "P"), ("mobile_ion", "Li"),
    ("potential", "chgnet"), ("potential", "a" * 64), ("potential", "aaaaaaaa"), ("temperature_K", "600"),
    ("temperature_K_min", "600"), ("n_atoms_max", "5"), ("barrier_eV_min", "0.5"),
    ("diffusivity_cm2_per_s_max", "1e-6"), ("diffusivity_cm2_per_s.upper_max", "1e-6"),
    ("diffusivity_cm2_per_s.verdict", "ok"), ("protocol.time_step_fs", "2"), ("verdict", "ok"),
    ("phases.energy_eV_per_atom_max", "0.1"), ("phases.formula", "Li3PS4"), ("deprecated", "true"),
    ("built_at_min", "2026-01-04"), ("inputs.id", "x"), ("builder", "x"),
]  # fmt: skip


@pytest.mark.parametrize("sort", SORTABLE)
def test_no_collection_scan(samples, sort):
    assert "SORT" not in winning_stages(samples, [("sort", sort)])
    for sign in ("", "-"):
        for name, value in FILTERS:
            found = winning_stages(samples, [(name, value), ("sort", sign + sort)])
            assert "COLLSCAN" not in found, (name, sort)
            assert "IXSCAN" in found, (name, sort)


@pytest.mark.parametrize("sort", SORTABLE)
def test_later_pages_need_no_sorting(samples, sort):
    for sign in ("", "-"):
        first = [("sort", sign + sort), ("limit", "100")]
        cursor = run_query(samples, compile_query(SAMPLES, first)).next_cursor
        found = winning_stages(samples, [*first, ("cursor", cursor)])
        assert not {"COLLSCAN", "SORT"} & found, (sign, sort, found)


def test_each_filter_alone_is_answered_by_its_index(samples):
    """With a selective filter an index on it is among the plans, so the order's index need not be walked."""
    for name, value in FILTERS:
        query = compile_query(SAMPLES, [(name, value)])
        plans = find(samples, query).explain()["queryPlanner"]
        text = str([plans["winningPlan"], *plans["rejectedPlans"]])
        path = next(iter(set(query.conditions) - {"deprecated"}), "deprecated")
        assert f"'{path}" in text.replace("'id': 1", ""), (name, path)


def test_every_parameter_is_accepted():
    values = {"text": "x", "integer": "1", "number": "1", "flag": "true", "date": "2026-01-01"}
    values |= {"text list": "x", "potential": "x"}
    names = set(parameter_names(SAMPLES))
    for name, field in SAMPLES.fields.items():
        if not field.filterable:
            assert name not in names
            continue
        value = field.choices[0] if field.choices else values[field.kind]
        value = "Li" if name.endswith("formula") else value
        variants = [name, f"{name}_min", f"{name}_max"] if field.ranged else [name]
        assert set(variants) <= names
        compile_query(SAMPLES, [(variant, value) for variant in variants])


def test_units_come_from_the_class():
    assert units(SAMPLES.fields) == {
        "temperature_K": "K",
        "barrier_eV": "eV",
        "protocol.time_step_fs": "fs",
        "diffusivity_cm2_per_s": "cm^2/s",
        "phases.energy_eV_per_atom": "eV/atom",
    }


def test_order_of_names_is_the_order_of_the_class():
    names = list(SAMPLES.fields)
    assert all(names.index(a) < names.index(b) for a, b in pairwise(["id", "formula", "temperature_K"]))


def test_indexes_are_created_once_and_verified(database):
    declared = {"sample_things": derived_indexes(SAMPLES)}
    missing = verify_indexes(database, declared)
    assert len(missing) == len(declared["sample_things"])
    assert ensure_indexes(database, declared) == missing
    assert ensure_indexes(database, declared) == []
    assert verify_indexes(database, declared) == []
    assert len(declared["sample_things"]) < 30


def wildcard(*paths):
    return Index((("$**", 1),), only=paths)


def test_outdated_wildcard_index_goes_and_foreign_one_stays(database):
    database["sample_things"].create_index("mine")
    ensure_indexes(database, {"sample_things": (wildcard("a"),)})
    ensure_indexes(database, {"sample_things": (wildcard("a", "b"),)})
    assert set(database["sample_things"].index_information()) == {
        "_id_",
        "mine_1",
        wildcard("a", "b").name,
    }


def test_index_that_should_be_unique_is_made_anew(database):
    database["sample_things"].create_index("id")
    declared = {"sample_things": (Index((("id", 1),), unique=True),)}
    assert verify_indexes(database, declared) == ["sample_things.id_1"]
    assert ensure_indexes(database, declared) == ["sample_things.id_1"]
    assert database["sample_things"].index_information()["id_1"]["unique"]


def test_builders_own_declaration_agrees(database):
    ensure_indexes(database)
    for name in ("sample_things", "sample_things_failures"):
        ensure_indexes(database, {name: (Index((("id", 1),), unique=True),)})
        database[name].create_index("id", unique=True)


def test_duplicates_under_a_unique_index_are_named(database):
    database["sample_things"].insert_many([{"id": "same"}, {"id": "same"}])
    with pytest.raises(InfrastructureError, match=r"two documents have the same \{'id': 'same'}"):
        ensure_indexes(database, {"sample_things": derived_indexes(SAMPLES)})
