"""A campaign of tens of thousands of orderings: time to submit it, memory and time of its builders.

``python -m benchmarks.disorder [--batches N]``: submits all orderings of cubic LLZO with 12:44 and 11:45 ions
(70,583 of them), then stores synthetic results of as many (two temperatures with vibrations) and builds every
collection that comes of them, each in a process of its own. A private database is made and removed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.comparison import Comparison, Result, peak_memory_MB

BATCH_SIZE = 500
TEMPERATURES_K = (300.0, 1500.0)
POTENTIAL = {"name": "chgnet", "code": "chgnet", "code_version": "0.4.2", "weights_sha256": "a" * 64}
COLLECTIONS = ("configuration", "vibrational_free_energy", "configurational_free_energy")
ORDERINGS = [
    {
        "prototype": "llzo-cubic-disordered",
        "occupancy": {"24d": inner, "96h": 56 - inner},
        "exclusion_radius_A": 2.0,
        "maximum_configurations": 70000,
        "batch_size": BATCH_SIZE,
    }
    for inner in (12, 11)
]


def submit() -> dict[str, Any]:
    """Submit the whole list, from the campaign's text on.

    Returns
    -------
    dict
        Jobs and seconds.
    """
    from sse_screen.database.stores import connect, launchpad
    from sse_screen.settings import get_settings
    from sse_screen.workflows.campaign import Campaign
    from sse_screen.workflows.planning import plan_campaign
    from sse_screen.workflows.submission import submit_plan

    started = time.perf_counter()
    campaign = Campaign.model_validate({"name": "llzo-70k", "orderings": ORDERINGS})
    settings = get_settings()
    added = submit_plan(plan_campaign(campaign), connect(settings), launchpad(settings))
    return {"what": "submit", "n": added.n_jobs, "seconds": time.perf_counter() - started}


def store_results(n_batches: int) -> None:
    """Store outputs of relaxations and constant-energy runs as jobs leave them; their numbers mean nothing.

    Parameters
    ----------
    n_batches : int
        Batches of 500 orderings.
    """
    from sse_screen.database.blobs import BlobStore
    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings

    database = connect(get_settings())
    blobs, rng = BlobStore(database), np.random.default_rng(1)
    n_unique = n_batches * BATCH_SIZE
    for number in range(n_batches):
        relaxed = relaxed_batch(number, n_unique, rng)
        runs = run_batch(relaxed, blobs, rng)
        outputs = [
            {
                "uuid": f"{kind}{number:05d}",
                "index": 1,
                "completed_at": datetime.now(UTC).isoformat(),
                "output": output,
            }
            for kind, output in (("r", relaxed), ("v", runs))
        ]
        database.outputs.insert_many(outputs)


def relaxed_batch(number: int, n_unique: int, rng: np.random.Generator) -> dict[str, Any]:
    """Make the output of one batch of relaxations.

    Parameters
    ----------
    number : int
        Of the batch.
    n_unique : int
        Orderings in all batches.
    rng : numpy.random.Generator
        Source of energies.

    Returns
    -------
    dict
        As stored.
    """
    from sse_screen.documents.relaxation import ConfigurationBatchOutput, RelaxationProtocol

    names = [f"{number * BATCH_SIZE + i:064x}" for i in range(BATCH_SIZE)]
    configurations = [
        {
            "configuration_id": name,
            "degeneracy": 96,
            "weight": 96.0,
            "energy_eV_per_cell": float(energy),
            "maximum_force_eV_per_A": 0.05,
            "converged": True,
            "total_time_s": 3.0,
            "n_moved_ions": 0,
            "reached_id": name,
            "reached_degeneracy": 96,
        }
        for name, energy in zip(names, rng.normal(-1505.0, 0.11, BATCH_SIZE), strict=True)
    ]
    fields = {
        "calculation_key": f"relaxed {number}",
        "parent_id": "p" * 64,
        "parent_name": "llzo",
        "occupancy_class": "24d:96h = 11:45",
        "formula": "Li7La3Zr2O12",
        "chemical_system": "La-Li-O-Zr",
        "elements": ["La", "Li", "O", "Zr"],
        "n_atoms": 192,
        "n_labelled_total": 96 * n_unique,
        "n_unique_total": n_unique,
        "sampled": False,
        "temperatures_K": list(TEMPERATURES_K),
        "potential": POTENTIAL,
        "protocol": RelaxationProtocol(relax_cell=False),
        "configurations": configurations,
        "structures": {"sha256": "a" * 64, "size_bytes": 1},
        "potential_time_s": 1500.0,
        "total_time_s": 1500.0,
    }
    return ConfigurationBatchOutput.model_validate(fields).model_dump(mode="json")


def run_batch(relaxed: dict[str, Any], blobs: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Make the output of the constant-energy runs of a batch, and store their documents.

    Parameters
    ----------
    relaxed : dict
        From :func:`relaxed_batch`.
    blobs : BlobStore
        Where the documents go.
    rng : numpy.random.Generator
        Source of spectra.

    Returns
    -------
    dict
        As stored.
    """
    from sse_screen.documents.relaxation import relaxation_level
    from sse_screen.documents.vibration_batch import VibrationBatchOutput, VibrationResult, pack_documents
    from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
    from sse_screen.thermodynamics.vibrations import from_density

    level = relaxation_level(relaxed)
    grid = np.linspace(0.0, 30.0, 301)
    species = ("Li",) * 56 + ("La",) * 24 + ("Zr",) * 16 + ("O",) * 96
    parts = {name: species.count(name) * rng.random(301) / 10 for name in dict.fromkeys(species)}
    density = from_density(grid, parts)
    results, lines = [], []
    for temperature_K in TEMPERATURES_K:
        first = VibrationalFreeEnergyDoc.from_phonons(
            density.normalised(573.0),
            species,
            configuration_id="NAME",
            relaxed_energy_eV=0.0,
            target_temperature_K=temperature_K,
            level_of_theory=level,
        ).model_copy(update={"route": "constant_energy", "id": "NAME"})
        text = first.model_dump_json()
        same: dict[str, Any] = {"temperature_K": temperature_K, "usable": True, "flags": []}
        same |= {"total_time_s": 450.0, "entropy_eV_per_K_per_cell": first.entropy_eV_per_K_per_cell}
        for found in relaxed["configurations"]:
            name = found["configuration_id"]
            lines.append(text.replace("NAME", name))
            energy = found["energy_eV_per_cell"] + first.free_energy_eV_per_cell
            fields = {"configuration_id": name, "free_energy_eV_per_cell": energy}
            results.append(VibrationResult.model_validate(same | fields))
    shared = ("parent_id", "parent_name", "occupancy_class", "formula", "chemical_system", "elements")
    fields = {name: relaxed[name] for name in (*shared, "n_atoms", "potential")}
    fields |= {
        "calculation_key": relaxed["calculation_key"] + " vibrations",
        "protocol": {"ensemble": "nve", "store_velocities": True},
        "relaxation_level": level,
        "seed": 1,
        "results": results,
        "documents": blobs.put(pack_documents(lines)),
        "potential_time_s": 1.0,
        "total_time_s": 1.0,
    }
    return VibrationBatchOutput.model_validate(fields).model_dump(mode="json")


def build(collection: str) -> dict[str, Any]:
    """Build one collection here.

    Parameters
    ----------
    collection : str
        Its name.

    Returns
    -------
    dict
        Documents, seconds, peak memory of this process.
    """
    from sse_screen.builders.pipeline import select_builders
    from sse_screen.builders.run import run_builder

    started = time.perf_counter()
    (builder,) = select_builders([collection])
    report = run_builder(builder(), 1)
    if report.failed:
        raise RuntimeError(next(iter(report.failures.values())))
    peak_MB = peak_memory_MB()
    seconds = time.perf_counter() - started
    return {"what": f"build {collection}", "n": report.built, "seconds": seconds, "peak_MB": peak_MB}


def measure(n_batches: int, *, with_submission: bool = True) -> Iterator[dict[str, Any]]:
    """Run all parts in processes of their own on a private database.

    Parameters
    ----------
    n_batches : int
        Batches of 500 synthetic results.
    with_submission : bool
        Submit the whole list of orderings as well.

    Yields
    ------
    dict
        What, number, seconds, peak memory in MB.
    """
    from sse_screen.database.embedded import EmbeddedServer
    from sse_screen.settings import Settings

    with tempfile.TemporaryDirectory(prefix="sse-disorder-") as folder:
        settings = Settings(
            database_uri=None, data_directory=Path(folder), work_directory=Path(folder) / "work"
        )
        server = EmbeddedServer.from_settings(settings)
        server.start()
        try:
            environment = os.environ | settings.environment()
            calls = [f"store_results({n_batches})", *(f"build({c!r})" for c in COLLECTIONS)]
            for call in ["submit()", *calls] if with_submission else calls:
                code = f"import json\nfrom benchmarks.disorder import *\nprint(json.dumps({call}))"
                done = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise RuntimeError(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                if found is not None:
                    yield found
        finally:
            server.stop()


def run(console: Console, *, quick: bool = False) -> Result:
    """Measure for the table of all benchmarks.

    Parameters
    ----------
    console : Console
        Where progress goes.
    quick : bool
        One batch of synthetic results and no submission, instead of 71,000 orderings.

    Returns
    -------
    Result
        Seconds, and peak memory where a builder of its own process was measured.
    """
    rows, comparisons = [], []
    for found in measure(1 if quick else 142, with_submission=not quick):
        rows.append(found)
        console.print(f"  {found['what']}: {found['n']} in {found['seconds']:.1f} s")
        what = f"{found['what']}, {found['n']} {'jobs' if found['what'] == 'submit' else 'documents'}"
        comparisons.append(Comparison(what, "s", found["seconds"]))
        if "peak_MB" in found:
            comparisons.append(Comparison(f"{what}: peak memory", "MB", found["peak_MB"]))
    return Result(comparisons, {"rows": rows})


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disorder", description=__doc__)
    parser.add_argument("--batches", type=int, default=142)
    for found in measure(parser.parse_args().batches):
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
