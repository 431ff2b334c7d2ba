"""Builder of activation energies from diffusivities."""

from __future__ import annotations

from typing import Any

from sse_screen.builders.temperature_series import TemperatureSeriesBuilder, fields_of
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.diffusivity import DiffusivityDoc

_NOT_USED = {"mean_squared_displacements", "tests", "fit_window", "slope", "tensor"}


class ActivationEnergyBuilder(TemperatureSeriesBuilder):
    """Build ``activation_energy``: one document a material, potential, mobile ion and protocol.

    To be run after :class:`~sse_screen.builders.diffusivity.DiffusivityBuilder`. Parameters are the keyword
    arguments of :meth:`ActivationEnergyDoc.from_diffusivities`.
    """

    document = ActivationEnergyDoc
    source = DiffusivityDoc.collection
    used_fields, extra_fields = fields_of(DiffusivityDoc, _NOT_USED)

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ActivationEnergyDoc:
        """Fit one group."""
        diffusivities = [DiffusivityDoc.model_validate(source) for source in sources]
        return ActivationEnergyDoc.from_diffusivities(diffusivities, **self.parameters)
