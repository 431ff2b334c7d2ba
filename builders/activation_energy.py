"""Builder of activation energies from diffusivities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import DerivedDocument
from sse_screen.documents.diffusivity import DiffusivityDoc

_BUILD_FIELDS = set(DerivedDocument.model_fields) - {"id", "stale"}
_NOT_USED = {"mean_squared_displacements", "tests", "fit_window", "slope", "tensor"}


class ActivationEnergyBuilder(DerivedBuilder):
    """Build ``activation_energy``: one document a material, potential, mobile ion and protocol.

    To be run after :class:`~sse_screen.builders.diffusivity.DiffusivityBuilder`. Parameters are the keyword
    arguments of :meth:`ActivationEnergyDoc.from_diffusivities`.
    """

    document = ActivationEnergyDoc
    source = DiffusivityDoc.collection
    source_filter: ClassVar[dict[str, Any]] = {"deprecated": False}
    used_fields: ClassVar[tuple[str, ...]] = tuple(
        name for name in DiffusivityDoc.model_fields if name not in _BUILD_FIELDS | _NOT_USED
    )
    extra_fields: ClassVar[tuple[str, ...]] = tuple(sorted(_BUILD_FIELDS | _NOT_USED))

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Gather the temperatures of each material and protocol."""
        names = self.document.group_fields
        return group_by(({name: source[name] for name in names}, source) for source in sources)

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ActivationEnergyDoc:
        """Fit one group."""
        diffusivities = [DiffusivityDoc.model_validate(source) for source in sources]
        return ActivationEnergyDoc.from_diffusivities(diffusivities, **self.parameters)
