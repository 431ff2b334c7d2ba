"""The derived collections that can be queried, each told by its document class alone."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

from sse_screen.database.errors import QueryError
from sse_screen.database.fields import DocumentField, document_fields, units
from sse_screen.documents.base import DerivedDocument

#: one line a collection: module and class of its documents; imported when first asked for
DOCUMENT_CLASSES: tuple[str, ...] = (
    "sse_screen.documents.activation_energy:ActivationEnergyDoc",
    "sse_screen.documents.candidate:CandidateDoc",
    "sse_screen.documents.configuration:ConfigurationDoc",
    "sse_screen.documents.configurational_free_energy:ConfigurationalFreeEnergyDoc",
    "sse_screen.documents.convex_hull:ConvexHullDoc",
    "sse_screen.documents.diffusivity:DiffusivityDoc",
    "sse_screen.documents.jump_barrier:JumpBarrierDoc",
    "sse_screen.documents.labelled_structure:LabelledStructureDoc",
    "sse_screen.documents.learning_curve:LearningCurveDoc",
    "sse_screen.documents.potential:PotentialDoc",
    "sse_screen.documents.self_consistent_loop:SelfConsistentLoopDoc",
    "sse_screen.documents.site_network:SiteNetworkDoc",
    "sse_screen.documents.structure_function:StructureFunctionDoc",
    "sse_screen.documents.vibrational_free_energy:VibrationalFreeEnergyDoc",
)


@dataclass(frozen=True)
class ServedCollection:
    """A derived collection that can be queried.

    Attributes
    ----------
    document : type
        Class of its documents.
    """

    document: type[DerivedDocument]

    @property
    def name(self) -> str:
        """Name of the collection in the database."""
        return self.document.collection

    @property
    def route(self) -> str:
        """Path in the API."""
        return "/" + self.name.replace("_", "-")

    @cached_property
    def fields(self) -> dict[str, DocumentField]:
        """Fields by their name in queries."""
        return document_fields(self.document)

    @cached_property
    def units(self) -> dict[str, str]:
        """Units by field name."""
        return units(self.fields)


@lru_cache(maxsize=1)
def served_collections() -> dict[str, ServedCollection]:
    """Give all collections that can be queried.

    Returns
    -------
    dict
        Collections by name, in alphabetical order.
    """
    found = []
    for line in DOCUMENT_CLASSES:
        module, name = line.split(":")
        found.append(ServedCollection(getattr(importlib.import_module(module), name)))
    return {collection.name: collection for collection in sorted(found, key=lambda item: item.name)}


def served_collection(name: str) -> ServedCollection:
    """Give one collection by name.

    Parameters
    ----------
    name : str
        Name, with underscores or dashes.

    Returns
    -------
    ServedCollection
        The collection.

    Raises
    ------
    QueryError
        When there is none of that name; the message lists all.
    """
    found = served_collections().get(name.replace("-", "_"))
    if found is None:
        raise QueryError(f"unknown collection {name!r}; there are: {', '.join(served_collections())}")
    return found
