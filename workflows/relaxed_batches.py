"""What jobs on batches of relaxed configurations share, whichever route to vibrations they take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobflow import Maker

from sse_screen.documents.base import Document, PotentialIdentity, content_hash
from sse_screen.documents.relaxation import ConfigurationBatchOutput
from sse_screen.documents.vibration_batch import VibrationResult, pack_documents
from sse_screen.workflows.runtime import versions, worker

_COPIED = frozenset(
    ("parent_id", "parent_name", "occupancy_class", "formula", "chemical_system", "elements", "n_atoms")
)


@dataclass
class RelaxedBatchMaker(Maker):
    """Base of the makers.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    temperatures_K : tuple of float
        Temperatures of the runs or sums.
    """

    potential: PotentialIdentity
    temperatures_K: tuple[float, ...]

    def key(self, kind: str, batch: ConfigurationBatchOutput, protocol: Document, **more: Any) -> str:
        """Give the idempotency key of a batch.

        Parameters
        ----------
        kind : str
            Of the output.
        batch : ConfigurationBatchOutput
            Its structures count.
        protocol : Document
            How it is done.
        **more : Any
            All else that fixes the result, JSON-like.

        Returns
        -------
        str
            Hexadecimal sha256.
        """
        content = {
            "kind": kind,
            "structures": batch.structures.sha256,
            "potential": [self.potential.code, self.potential.weights_sha256],
            "protocol": protocol.model_dump(mode="json"),
            "temperatures_K": [float(t) for t in self.temperatures_K],
        }
        return content_hash(content | more)

    def fields(
        self,
        batch: ConfigurationBatchOutput,
        level: str,
        runs: Sequence[dict[str, Any]],
        inputs: list[str] | None,
    ) -> dict[str, Any]:
        """Store the documents of a batch, and give what its output has in common with other routes.

        Parameters
        ----------
        batch : ConfigurationBatchOutput
            Relaxed configurations.
        level : str
            Their level of theory.
        runs : sequence of dict
            ``result`` and ``document`` (or None) of each configuration and temperature.
        inputs : list of str or None
            uuids of the jobs that the configurations are from.

        Returns
        -------
        dict
            Fields of the output.
        """
        packed = pack_documents(json.dumps(run["document"]) for run in runs if run["document"])
        return {
            **batch.model_dump(include=set(_COPIED)),
            "potential": self.potential,
            "relaxation_level": level,
            "results": [VibrationResult.model_validate(run["result"]) for run in runs],
            "documents": worker().blobs.put(packed, "application/zstd+json"),
            "inputs": inputs or [],
            "versions": versions(),
        }
