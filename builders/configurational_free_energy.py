"""Builder of configurational free energies from batches of relaxed orderings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group
from sse_screen.builders.level_of_theory import relaxation_level
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.configurational_free_energy import (
    ConfigurationalFreeEnergyDoc,
    ConfigurationEnergy,
)
from sse_screen.documents.relaxation import cell_formula
from sse_screen.exceptions import InputError


class ConfigurationalFreeEnergyBuilder(DerivedBuilder):
    """Build ``configurational_free_energy``: one document a parent, class, level of theory and temperature.

    All batches of a parent are merged, each ordering counted once. Parameters are the keyword arguments of
    :meth:`ConfigurationalFreeEnergyDoc.from_configurations`: ``convention``, ``noise_eV_per_cell``, ``seed``.
    """

    document = ConfigurationalFreeEnergyDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": "configuration_batch"}
    used_fields: ClassVar[tuple[str, ...]] = (
        "calculation_key",
        "parent_id",
        "parent_name",
        "occupancy_class",
        "formula",
        "n_atoms",
        "n_labelled_total",
        "n_unique_total",
        "sampled",
        "temperatures_K",
        "potential",
        "protocol",
        "configurations",
    )

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Merge the batches of each parent, and repeat them for every temperature that any batch asks for."""
        parents: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for source in sources:
            output = source["output"]
            parent = (output["parent_id"], output["occupancy_class"], relaxation_level(output))
            parents.setdefault(parent, []).append(source)
        for (parent_id, occupancy_class, level), members in parents.items():
            for temperature_K in sorted(
                {t for member in members for t in member["output"]["temperatures_K"]}
            ):
                key = {
                    "parent": parent_id,
                    "occupancy_class": occupancy_class,
                    "level_of_theory": level,
                    "temperature_K": temperature_K,
                    "convention": self.parameters.get("convention", "physical"),
                    "with_vibrations": False,
                }
                yield Group(key, members)

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ConfigurationalFreeEnergyDoc:
        """Sum over the orderings of one group."""
        outputs = [source["output"] for source in sources]
        first = outputs[0]
        for name in ("formula", "n_atoms", "n_labelled_total", "n_unique_total"):
            if len({output[name] for output in outputs}) > 1:
                raise InputError(
                    f"{first['parent_name']}: batches of {key['occupancy_class']} differ in {name}; the "
                    "cells of one parent and class must be the same"
                )
        orderings = {
            found["configuration_id"]: ConfigurationEnergy(
                configuration_id=found["configuration_id"],
                energy_eV_per_cell=found["energy_eV_per_cell"],
                degeneracy=found["weight"],
            )
            for output in outputs
            for found in output["configurations"]
            if found["converged"]
        }
        sampled = any(output["sampled"] for output in outputs)
        found_labelled = sum(ordering.degeneracy for ordering in orderings.values())
        complete = not sampled and round(found_labelled) == first["n_labelled_total"]
        # The published convention counts every symmetry-unique ordering once.
        total = "n_unique_total" if key["convention"] == "per_atom" else "n_labelled_total"
        document = ConfigurationalFreeEnergyDoc.from_configurations(
            list(orderings.values()),
            parent=key["parent"],
            occupancy_class=key["occupancy_class"],
            cell_formula=cell_formula(first["formula"], first["n_atoms"]),
            temperature_K=key["temperature_K"],
            potential=PotentialIdentity.model_validate(first["potential"]),
            level_of_theory=key["level_of_theory"],
            total_orderings=None if complete else first[total],
            **self.parameters,
        )
        warnings = list(document.warnings)
        missing = first["n_unique_total"] - len(orderings)
        if missing > 0 and not sampled:
            warnings.append(
                f"{missing} of {first['n_unique_total']} orderings are missing (not converged, failed or not "
                "yet run); the others were taken as a random sample of all"
            )
        return document.model_copy(update={"parent_name": first["parent_name"], "warnings": warnings})
