"""Builder of jump barriers from site networks."""

from __future__ import annotations

from typing import Any

from sse_screen.builders.temperature_series import TemperatureSeriesBuilder, fields_of
from sse_screen.documents.jump_barrier import JumpBarrierDoc
from sse_screen.documents.site_network import SiteNetworkDoc

_NOT_USED = {
    "sites",
    "edges",
    "correlation_factor",
    "random_walk_diffusivity",
    "percolation",
    "superbasins",
    "density",
    "migration_barriers",
}


class JumpBarrierBuilder(TemperatureSeriesBuilder):
    """Build ``jump_barrier``: one document a material, potential, mobile ion and protocol.

    To be run after :class:`~sse_screen.builders.site_network.SiteNetworkBuilder`. Parameters are the keyword
    arguments of :meth:`JumpBarrierDoc.from_networks`.
    """

    document = JumpBarrierDoc
    source = SiteNetworkDoc.collection
    used_fields, extra_fields = fields_of(SiteNetworkDoc, _NOT_USED)

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> JumpBarrierDoc:
        """Fit one group."""
        networks = [SiteNetworkDoc.model_validate(source) for source in sources]
        return JumpBarrierDoc.from_networks(networks, **self.parameters)
