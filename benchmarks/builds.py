"""Builders that have nothing to do, at 20,000 stored runs; CPU seconds of this process."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
from pymongo.database import Database
from rich.console import Console

from benchmarks.comparison import Result, limited
from sse_screen.builders.base import DerivedBuilder, fingerprint
from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.run import run_builder
from sse_screen.builders.site_network import SiteNetworkBuilder
from sse_screen.builders.sources import shared_reads
from sse_screen.builders.structure_function import StructureFunctionBuilder
from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.stores import connect
from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput, MolecularDynamicsProtocol
from sse_screen.settings import get_settings, load_settings

BUILDERS: tuple[type[DerivedBuilder], ...] = (
    DiffusivityBuilder,
    SiteNetworkBuilder,
    StructureFunctionBuilder,
)


def run(console: Console, *, quick: bool = False) -> Result:
    """Store runs and documents that are up to date, and look at them.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Two hundred runs instead of 20,000.

    Returns
    -------
    Result
        Seconds of one builder, and of the three that read the same runs.
    """
    import os

    n_runs = 200 if quick else 20_000
    with tempfile.TemporaryDirectory(prefix="sse-bench-") as folder:
        settings = load_settings(data_directory=Path(folder), embedded_cache_gb=1.0)
        server = EmbeddedServer.from_settings(settings)
        server.start()
        os.environ.update(settings.environment())
        get_settings.cache_clear()
        try:
            database = connect(settings)
            database.outputs.insert_many(list(_runs(n_runs)))
            for builder in BUILDERS:
                _store_current(database, builder())
            console.print(f"  {n_runs} runs and their documents stored")
            one = _timed([DiffusivityBuilder])
            three = _timed(list(BUILDERS))
        finally:
            server.stop()
    what = f"{n_runs} runs, nothing changed"
    return Result(
        [
            limited(f"{what}: diffusivity", "s", one, 3.0),
            limited(f"{what}: diffusivity, site_network, structure_function", "s", three, 5.0),
        ],
        {"one_s": one, "three_s": three, "n_runs": n_runs},
    )


def _timed(builders: list[type[DerivedBuilder]]) -> float:
    start = time.process_time()
    with shared_reads():
        reports = [run_builder(builder()) for builder in builders]
    spent = time.process_time() - start
    if any(report.built or report.failed for report in reports):
        raise RuntimeError(f"something was built: {reports}")
    return spent


def _runs(number: int) -> Any:
    potential = PotentialIdentity(name="p", code="p", code_version="1", weights_sha256="a" * 64)
    output = MolecularDynamicsOutput(
        calculation_key="k",
        material_id="m",
        material_name="m",
        formula="LiS",
        chemical_system="Li-S",
        elements=["Li", "S"],
        n_atoms=48,
        structure={},
        mobile_ion="Li",
        charge_number=1,
        potential=potential,
        protocol=MolecularDynamicsProtocol(),
        temperature_K=800.0,
        seed=1,
        trajectory=BlobReference(sha256="a" * 64, size_bytes=1),
        mean_temperature_K=800.0,
        mean_volume_A3=1700.0,
        n_steps=5000,
        potential_time_s=1.0,
        total_time_s=1.0,
    ).model_dump(mode="json")
    for i in range(number):
        changes = {"material_id": f"m{i // 20}", "temperature_K": 500.0 + i % 5, "seed": i % 20 // 5}
        yield {
            "uuid": f"s{i:05d}",
            "index": 1,
            "completed_at": "2026-01-01T00:00:00",
            "output": output | changes | {"calculation_key": f"k{i}"},
        }


def _store_current(database: Database[dict[str, Any]], builder: DerivedBuilder) -> None:
    """Store a document for every group that the builder takes for up to date."""
    builder.connect()
    sources, _ = builder.read_sources(builder.source_filter)
    documents = [
        {
            "id": builder.document.id_of(group.key),
            "inputs_fingerprint": fingerprint(builder.references(group.members)),
            "builder_version": builder.document.meaning_version,
            "parameters": {},
            "stale": False,
            "deprecated": False,
            "built_at": datetime.now(UTC),
        }
        for group in builder.group(sources)
    ]
    database[builder.collection].insert_many(documents)
    database[builder.collection].create_index([("id", pymongo.ASCENDING)], unique=True, name="id_1")
    builder.finish()
