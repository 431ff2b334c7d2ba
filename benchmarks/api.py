"""Answer times of the API's lists at 100,000 documents a collection, over HTTP, on the embedded server.

Each request has one or two filters with values drawn from the documents, and a sort key, both ways.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from benchmarks.comparison import Result, limited
from benchmarks.synthetic import synthetic_documents
from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.index_choice import IndexChoice
from sse_screen.database.indexes import derived_indexes, ensure_indexes
from sse_screen.database.queries import compile_query, find
from sse_screen.database.served import ServedCollection, served_collections
from sse_screen.database.stores import connect
from sse_screen.settings import Settings, load_settings

BATCH = 5000


def run(console: Console, *, quick: bool = False) -> Result:
    """Measure the two collections that are asked most.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        Two hundred documents and ten requests.

    Returns
    -------
    Result
        Percentiles of the answer times.
    """
    documents, requests = (200, 10) if quick else (100_000, 200)
    figures = measure(["diffusivity", "activation_energy"], documents, requests, 1.0, console)
    comparisons = []
    for name, by_filters in figures.items():
        for filters, found in by_filters.items():
            what = f"{name}, {documents} documents, {filters} and sort: p95"
            comparisons.append(limited(what, "ms", found["p95_ms"], 50.0))
            scans = f"{name}, {filters}: requests that scan the collection"
            comparisons.append(limited(scans, "1", found["collection_scans"], 0.0))
    return Result(comparisons, figures)


def measure(
    names: list[str], documents: int, requests: int, cache_GB: float, console: Console
) -> dict[str, Any]:
    """Fill, serve, ask.

    Parameters
    ----------
    names : list of str
        Collections.
    documents : int
        Documents in each.
    requests : int
        For each collection and number of filters.
    cache_GB : float
        Cache of the embedded server.
    console : Console
        Where progress goes.

    Returns
    -------
    dict
        By collection and number of filters, the percentiles.
    """
    folder = Path(tempfile.mkdtemp(prefix="sse-bench-"))
    settings = load_settings(data_directory=folder, embedded_cache_gb=cache_GB)
    server = EmbeddedServer.from_settings(settings)
    server.start()
    try:
        collections = {name: served_collections()[name] for name in names}
        return _measure(settings, collections, documents, requests, console)
    finally:
        server.stop()
        shutil.rmtree(folder)


def _measure(
    settings: Settings,
    collections: dict[str, ServedCollection],
    documents: int,
    requests: int,
    console: Console,
) -> dict[str, Any]:
    database = connect(settings)
    for name, collection in collections.items():
        started = time.perf_counter()
        generator = np.random.default_rng(0)
        source = synthetic_documents(collection.document, documents, generator)
        batch: list[dict[str, Any]] = []
        for document in source:
            batch.append(document)
            if len(batch) == BATCH:
                database[name].insert_many(batch, ordered=False)
                batch = []
        if batch:
            database[name].insert_many(batch, ordered=False)
        ensure_indexes(database, {name: derived_indexes(collection)})
        _say(console, f"{name}: {documents} documents in {time.perf_counter() - started:.0f} s")
    port = _free_port()
    command = [sys.executable, "-m", "sse_screen.cli", "serve", "--port", str(port)]
    api = subprocess.Popen(
        command, env={**os.environ, **settings.environment(), "SSE_SCREEN_LOG_LEVEL": "ERROR"}
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait(client)
            servers = [api.pid, int(database.command("serverStatus")["pid"])]
            return {
                name: _ask(client, database, collection, requests, servers, console)
                for name, collection in collections.items()
            }
    finally:
        api.terminate()
        api.wait()


def _ask(
    client: httpx.Client,
    database: Any,
    collection: ServedCollection,
    requests: int,
    servers: list[int],
    console: Console,
) -> dict[str, dict[str, float]]:
    generator = np.random.default_rng(1)
    samples = list(database[collection.name].aggregate([{"$sample": {"size": 200}}]))
    choice, figures = IndexChoice(database, collection), {}
    for n_filters in (1, 2):
        times, cpu_times, scans = [], [], 0
        worst: tuple[float, str] = (0.0, "")
        for _ in range(requests):
            parameters = _request(collection, samples, generator, n_filters)
            started, cpu_started = time.perf_counter(), _cpu_ms(servers)
            answer = client.get(collection.route, params=parameters)
            times.append(1000 * (time.perf_counter() - started))
            cpu_times.append(_cpu_ms(servers) - cpu_started)
            answer.raise_for_status()
            worst = max(worst, (times[-1], str(answer.url)))
            query = compile_query(collection, parameters)
            plan = find(database, query, choice.best(query)).explain()["queryPlanner"]
            scans += "COLLSCAN" in str(plan["winningPlan"])
        found = {
            "requests": requests,
            "median_ms": float(np.median(times)),
            "p95_ms": float(np.percentile(times, 95)),
            "max_ms": max(times),
            "p95_cpu_ms": float(np.percentile(cpu_times, 95)),
            "collection_scans": scans,
        }
        figures[f"{n_filters} filters"] = found
        _say(console, f"{collection.name}, {n_filters} filters and sort: " + _line(found))
        _say(console, f"  slowest: {worst[1]}")
    return figures


def _cpu_ms(pids: list[int]) -> float:
    """CPU time of API and database so far: what a busy machine's clock hides."""
    spent = 0
    for task in [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]:
        with contextlib.suppress(OSError):  # the thread has just ended
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e6


def _line(found: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in found.items())


def _request(
    collection: ServedCollection,
    samples: list[dict[str, Any]],
    generator: np.random.Generator,
    n_filters: int,
) -> list[tuple[str, str]]:
    fields = [field for field in collection.fields.values() if field.filterable]
    sample = samples[int(generator.integers(len(samples)))]
    chosen: dict[str, str] = {}
    while len(chosen) < n_filters:
        field = fields[int(generator.integers(len(fields)))]
        value = _at(sample, f"{field.path}.name" if field.kind == "potential" else field.path)
        value = value[0] if isinstance(value, list) and value else value
        if value is None or value == [] or field.name.endswith(".formula"):
            continue
        suffix = str(generator.choice(["", "_min", "_max"])) if field.ranged else ""
        chosen[field.name + suffix] = str(value).lower() if isinstance(value, bool) else str(value)
    sortable = [field.name for field in collection.fields.values() if field.sortable]
    sort = str(generator.choice(["", "-"])) + str(generator.choice(sortable))
    return [*chosen.items(), ("sort", sort)]


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[0] if isinstance(value, list) and value else value
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get("/health").raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _say(console: Console, text: str) -> None:
    console.print(f"  {text}", markup=False, soft_wrap=True)
