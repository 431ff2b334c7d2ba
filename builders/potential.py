"""Builder of the registry of potentials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.potential import PotentialAlias, PotentialDoc, PotentialRegistration
from sse_screen.documents.potential_gates import PotentialGatesOutput
from sse_screen.documents.self_consistent import LoopPotential
from sse_screen.documents.training import TrainingOutput
from sse_screen.potentials.registration import register_bundled

_MADE: dict[str, type[TrainingOutput] | type[PotentialRegistration] | type[LoopPotential]] = {
    "training": TrainingOutput,
    "self_consistent_potential": LoopPotential,
    "potential_registration": PotentialRegistration,
}


class PotentialBuilder(DerivedBuilder):
    """Build ``potential``: one document a hash of weights, of what made it, its gates and its names."""

    document = PotentialDoc
    source_filter: ClassVar[dict[str, Any]] = {
        "output.kind": {"$in": [*_MADE, "potential_gates", "potential_alias"]}
    }
    used_fields: ClassVar[tuple[str, ...]] = ("kind", "calculation_key")
    optional_fields: ClassVar[tuple[str, ...]] = tuple(
        sorted(
            {
                name
                for model in (*_MADE.values(), PotentialGatesOutput, PotentialAlias)
                for name in model.model_fields
            }
            - {"kind", "calculation_key", "total_time_s", "inputs"}
        )
    )
    extra_fields: ClassVar[tuple[str, ...]] = ("total_time_s", "inputs")

    def connect(self) -> None:
        """Connect, and register the potentials that come with the packages."""
        super().connect()
        register_bundled(self.database, BlobStore(self.database))

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Gather what concerns one hash; a hash that nothing made or registered makes no document."""
        keyed = (({"weights_sha256": _weights_of(source["output"])}, source) for source in sources)
        for group in group_by(keyed):
            if any(member["output"]["kind"] in _MADE for member in group.members):
                yield group

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> PotentialDoc:
        """Make the document of one potential."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for source in sources:
            by_kind.setdefault(source["output"]["kind"], []).append(source["output"])
        kind = next(kind for kind in _MADE if kind in by_kind)
        return PotentialDoc.from_sources(
            _MADE[kind].model_validate(by_kind[kind][0]),
            [PotentialGatesOutput.model_validate(found) for found in by_kind.get("potential_gates", [])],
            [PotentialAlias.model_validate(found) for found in by_kind.get("potential_alias", [])],
        )


def _weights_of(output: dict[str, Any]) -> str:
    if output["kind"] == "potential_gates":
        return str(output["weights_sha256"])
    return str(output["weights"]["sha256"])
