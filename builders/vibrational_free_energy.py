"""Builder of vibrational free energies from batches of constant-energy runs and of phonons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

import zstandard

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc


class VibrationalFreeEnergyBuilder(DerivedBuilder):
    """Build ``vibrational_free_energy``: one document a configuration, level, temperature and route.

    The runs computed their documents where the velocities were; the builder takes them over with provenance.
    """

    document = VibrationalFreeEnergyDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": {"$in": ["vibration_batch", "phonon_batch"]}}
    used_fields: ClassVar[tuple[str, ...]] = (
        "kind",
        "calculation_key",
        "relaxation_level",
        "results",
        "documents",
    )

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Give every run that succeeded its own document; batches that share one are its members."""
        return group_by(
            (_key(source["output"], result), source)
            for source in sources
            for result in source["output"]["results"]
            if result["free_energy_eV_per_cell"] is not None
        )

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> VibrationalFreeEnergyDoc:
        """Take the document of one run over."""
        packed = BlobStore(self.database).get(sources[0]["output"]["documents"]["sha256"])
        for content in json.loads(zstandard.decompress(packed)):
            document = VibrationalFreeEnergyDoc.model_validate(content)
            if all(getattr(document, name) == value for name, value in key.items()):
                return document
        raise LookupError(f"no run of {key} in the blob of its batch")


def _key(output: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {
        "configuration_id": result["configuration_id"],
        "level_of_theory": output["relaxation_level"],
        "target_temperature_K": result["temperature_K"],
        "route": "phonons" if output["kind"] == "phonon_batch" else "constant_energy",
    }
