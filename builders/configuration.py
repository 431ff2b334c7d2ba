"""Builder of single relaxed orderings from their batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.configuration import ConfigurationDoc
from sse_screen.documents.relaxation import relaxation_level

_COPIED = ("parent_name", "occupancy_class", "formula", "chemical_system", "elements", "n_atoms", "potential")


class ConfigurationBuilder(DerivedBuilder):
    """Build ``configuration``: one document an ordering and level of theory."""

    document = ConfigurationDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": "configuration_batch"}
    used_fields: ClassVar[tuple[str, ...]] = (
        "calculation_key",
        "parent_id",
        *_COPIED,
        "protocol",
        "configurations",
        "structures",
    )

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Give every ordering its own document; batches that share one are its members."""
        return group_by(
            (
                {
                    "configuration_id": found["configuration_id"],
                    "level_of_theory": relaxation_level(source["output"]),
                },
                source,
            )
            for source in sources
            for found in source["output"]["configurations"]
        )

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ConfigurationDoc:
        """Take one ordering out of its batch."""
        output = sources[0]["output"]
        found = next(c for c in output["configurations"] if c["configuration_id"] == key["configuration_id"])
        numbers = {
            name: found[name]
            for name in ("degeneracy", "energy_eV_per_cell", "maximum_force_eV_per_A", "converged")
        }
        return ConfigurationDoc(
            id=ConfigurationDoc.id_of(key),
            **key,
            **{name: output[name] for name in _COPIED},
            parent=output["parent_id"],
            **numbers,
            n_moved_ions=found.get("n_moved_ions"),
            reached_id=found.get("reached_id"),
            energy_eV_per_atom=found["energy_eV_per_cell"] / output["n_atoms"],
            structures=output["structures"],
        )
