"""Jobs that relax batches of orderings of a disordered crystal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jobflow import Maker, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.relaxation import (
    ConfigurationBatchOutput,
    ConfigurationResult,
    RelaxationProtocol,
    relaxation_key,
)
from sse_screen.dynamics.batched import relax_together
from sse_screen.dynamics.relaxation import RelaxationResult, relax_structure
from sse_screen.exceptions import SseScreenError
from sse_screen.potentials.calculator import FastCHGNetCalculator
from sse_screen.structures.identity import structure_hash
from sse_screen.workflows.configuration_results import ConfigurationResults, result_key
from sse_screen.workflows.packing import pack_structures, unpack_orderings, where_ions_are
from sse_screen.workflows.relaxation import composition_fields
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker

JOURNAL = "configurations.jsonl"


@dataclass
class ConfigurationBatchMaker(Maker):
    """Relax a batch of orderings of one disordered parent, restartable in the middle.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    protocol : RelaxationProtocol
        Fixed cell unless it says otherwise.
    """

    potential: PotentialIdentity
    protocol: RelaxationProtocol = field(
        default_factory=lambda: RelaxationProtocol(relax_cell=False, maximum_force_eV_per_A=0.08)
    )
    name: str = "configurations"

    @job
    def make(
        self, batch: BlobReference, weights: dict[str, tuple[int, float]], parent: dict[str, Any]
    ) -> Response[ConfigurationBatchOutput]:
        """Relax all configurations of the batch that no batch has relaxed yet.

        Parameters
        ----------
        batch : BlobReference
            From :func:`sse_screen.workflows.packing.pack_orderings`.
        weights : dict
            Degeneracy and weight by configuration id.
        parent : dict
            The fields of :class:`ConfigurationBatchOutput` that describe parent and space.

        Returns
        -------
        Response
            A :class:`ConfigurationBatchOutput`.
        """
        tag = hashlib.sha256(json.dumps(parent, sort_keys=True).encode()).hexdigest()
        key = relaxation_key(batch.sha256 + tag, self.potential, self.protocol)

        def compute(folder: Path) -> ConfigurationBatchOutput:
            """Relax all that is not known yet and upload the cells."""
            packed = worker().blobs.get(batch.sha256)
            structures = unpack_orderings(packed)
            done = relax_each(structures, self, folder)
            relaxed = {name: Structure.from_dict(done[name]["structure"]) for name in sorted(structures)}
            reached = where_ions_are(packed, relaxed)
            results = [
                ConfigurationResult(
                    configuration_id=name,
                    degeneracy=weights[name][0],
                    weight=weights[name][1],
                    **done[name]["result"],
                    **reached[name],
                )
                for name in sorted(structures)
            ]
            return ConfigurationBatchOutput(
                calculation_key=key,
                **parent,
                **composition_fields(next(iter(structures.values()))),
                potential=self.potential,
                protocol=self.protocol,
                configurations=results,
                structures=worker().blobs.put(pack_structures(relaxed), "application/zstd+json"),
                n_reused=len(done.reused),
                potential_time_s=sum(d["potential_time_s"] for d in done.computed()),
                total_time_s=sum(d["result"]["total_time_s"] for d in done.computed()),
                versions=versions(),
            )

        return once(key, ConfigurationBatchOutput, compute)


def relax_each(
    structures: dict[str, Structure], maker: ConfigurationBatchMaker, folder: Path
) -> ConfigurationResults:
    """Relax what neither the folder's journal nor the database holds.

    Parameters
    ----------
    structures : dict
        Ordered crystal by name.
    maker : ConfigurationBatchMaker
        Potential and protocol.
    folder : Path
        The calculation's.

    Returns
    -------
    ConfigurationResults
        One result a structure.

    Raises
    ------
    SseScreenError
        The first failure, when the rest is done.
    """
    protocol = maker.protocol.model_dump(mode="json")
    keys = {
        name: result_key(
            "relaxed_configuration",
            maker.potential,
            structure=structure_hash(crystal),
            order=[[site.species_string, *np.round(site.frac_coords, 4).tolist()] for site in crystal],
            protocol=protocol,
        )
        for name, crystal in sorted(structures.items())
    }
    report = reporter(folder, maker.name)
    with ConfigurationResults(folder / JOURNAL, worker().database, keys) as done:

        def finished(name: str, result: RelaxationResult) -> None:
            """Write a relaxed configuration into the journal."""
            done.add(name, _configuration(result))
            report(len(done), len(structures))

        _relax_left({name: structures[name] for name in done.missing()}, maker, finished)
    return done


def _relax_left(
    structures: dict[str, Structure],
    maker: ConfigurationBatchMaker,
    finished: Callable[[str, RelaxationResult], None],
) -> None:
    """Relax in batches where the potential can, else one by one; raise a failure when the rest is done."""
    names = list(structures)
    crystals = [AseAtomsAdaptor.get_atoms(structure, msonable=False) for structure in structures.values()]
    calculator = calculator_for(maker.potential)
    if not isinstance(calculator, FastCHGNetCalculator):
        for name, atoms in zip(names, crystals, strict=True):
            finished(name, relax_structure(atoms, calculator, maker.protocol))
        return
    errors: list[SseScreenError] = []

    def one_finished(number: int, result: RelaxationResult | SseScreenError) -> None:
        """Pass a result on, keep a failure for the end."""
        if isinstance(result, SseScreenError):
            errors.append(result)
        else:
            finished(names[number], result)

    relax_together(crystals, calculator.engine, maker.protocol, on_finished=one_finished)
    if errors:
        raise errors[0]


def _configuration(result: RelaxationResult) -> dict[str, Any]:
    return {
        "result": {
            "energy_eV_per_cell": result.energy_eV,
            "maximum_force_eV_per_A": result.maximum_force_eV_per_A,
            "converged": result.converged,
            "total_time_s": result.total_time_s,
        },
        "structure": AseAtomsAdaptor.get_structure(result.atoms).as_dict(),
        "potential_time_s": result.potential_time_s,
    }
