"""Builder of convex hulls from relaxed crystals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.relaxation import cell_formula, relaxation_level
from sse_screen.thermodynamics.composition_space import HullEntry
from sse_screen.thermodynamics.suspicious_entries import JumpThresholds

_ELEMENT = re.compile("[A-Z][a-z]?")


class ConvexHullBuilder(DerivedBuilder):
    """Build ``convex_hull``: one document a composition space and level of theory.

    The spaces are those that relaxations name in ``composition_spaces``: elements (``Li-P-S``) or end members
    (``Li2S-P2S5``). A hull over elements takes every converged relaxation within them, one over end members
    those that name it; phases that did not converge are left out with a warning that names them. Parameters
    are those of :class:`~sse_screen.thermodynamics.suspicious_entries.JumpThresholds`.
    """

    document = ConvexHullDoc
    source_filter: ClassVar[dict[str, Any]] = {
        "output.kind": "relaxation",
        "output.protocol.relax_cell": True,
    }
    used_fields: ClassVar[tuple[str, ...]] = (
        "calculation_key",
        "material_id",
        "formula",
        "elements",
        "n_atoms",
        "potential",
        "protocol",
        "energy_eV_per_atom",
        "maximum_force_eV_per_A",
        "converged",
        "composition_spaces",
    )

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Sort relaxations by level of theory, then into the spaces named at that level."""
        levels: dict[str, list[dict[str, Any]]] = {}
        for source in sources:
            levels.setdefault(relaxation_level(source["output"]), []).append(source)
        for level, members in levels.items():
            for group in group_by(_in_spaces(level, members)):
                converged = [m["output"] for m in group.members if m["output"]["converged"]]
                if len({output["formula"] for output in converged}) > 1:
                    yield group

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ConvexHullDoc:
        """Make the hull of one group."""
        # a crystal relaxed for two spaces is one phase
        every = {source["output"]["material_id"]: source["output"] for source in sources}
        by_material = {
            source["output"]["material_id"]: source["output"]
            for source in sources
            if source["output"]["converged"]
        }
        outputs = list(by_material.values())
        left_out = [output for material_id, output in every.items() if material_id not in by_material]
        entries = [
            HullEntry(
                formula=cell_formula(output["formula"], output["n_atoms"]),
                energy_eV_per_atom=output["energy_eV_per_atom"],
                entry_id=output["material_id"],
            )
            for output in outputs
        ]
        components = list(key["components"])
        return ConvexHullDoc.from_entries(
            entries,
            level_of_theory=key["level_of_theory"],
            potential=PotentialIdentity.model_validate(outputs[0]["potential"]),
            end_members=None if _are_elements(components) else components,
            thresholds=JumpThresholds(**self.parameters),
            not_converged=[
                f"{output['formula']} ({output['maximum_force_eV_per_A']:.2g} eV/angstrom)"
                for output in left_out
            ],
        )


def _in_spaces(level: str, members: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair each space that the members name with the members in it."""
    names = sorted({name for member in members for name in member["output"]["composition_spaces"]})
    for components in sorted({_components(name) for name in names}):
        key = {"components": components, "level_of_theory": level}
        for member in members:
            named = {_components(name) for name in member["output"]["composition_spaces"]}
            inside = _are_elements(components) and set(member["output"]["elements"]) <= set(components)
            if inside or components in named:
                yield key, member


def _components(space: str) -> tuple[str, ...]:
    return tuple(sorted(space.split("-")))


def _are_elements(components: Iterable[str]) -> bool:
    return all(_ELEMENT.fullmatch(component) for component in components)
