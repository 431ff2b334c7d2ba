"""Builder of vibrational free energies from batches of constant-energy runs and of phonons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, cast

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.vibration_batch import unpack_documents
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
        output = sources[0]["output"]
        numbered = [r for r in output["results"] if r["free_energy_eV_per_cell"] is not None]
        wanted = (key["configuration_id"], key["target_temperature_K"])
        place = next(
            i for i, r in enumerate(numbered) if (r["configuration_id"], r["temperature_K"]) == wanted
        )
        return VibrationalFreeEnergyDoc.model_validate_json(self._lines(output["documents"]["sha256"])[place])

    def _lines(self, sha256: str) -> list[bytes]:
        """Give the documents of a batch, kept for the other documents of it."""
        if _LAST.get("sha256") != sha256:
            _LAST.update(sha256=sha256, lines=unpack_documents(BlobStore(self.database).get(sha256)))
        return cast(list[bytes], _LAST["lines"])


#: the batch that this process read last
_LAST: dict[str, Any] = {}


def _key(output: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {
        "configuration_id": result["configuration_id"],
        "level_of_theory": output["relaxation_level"],
        "target_temperature_K": result["temperature_K"],
        "route": "phonons" if output["kind"] == "phonon_batch" else "constant_energy",
    }
