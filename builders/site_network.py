"""Builder of site networks from molecular-dynamics runs."""

from __future__ import annotations

from typing import Any

from sse_screen.builders.trajectories import TrajectoryBuilder
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.site_network import SiteNetworkDoc


class SiteNetworkBuilder(TrajectoryBuilder):
    """Build ``site_network``; parameters are those of :meth:`SiteNetworkDoc.from_trajectories`."""

    document = SiteNetworkDoc

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> SiteNetworkDoc:
        """Read the trajectories of one group, find sites and jumps; the density goes to the blobs."""
        store = BlobStore(self.database).put
        return SiteNetworkDoc.from_trajectories(*self.read_runs(sources), store=store, **self.parameters)
