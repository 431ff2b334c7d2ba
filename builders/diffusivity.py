"""Builder of diffusivities from molecular-dynamics runs."""

from __future__ import annotations

from typing import Any

from sse_screen.builders.trajectories import TrajectoryBuilder
from sse_screen.documents.diffusivity import DiffusivityDoc


class DiffusivityBuilder(TrajectoryBuilder):
    """Build ``diffusivity``; parameters are those of :meth:`DiffusivityDoc.from_trajectories`."""

    document = DiffusivityDoc

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> DiffusivityDoc:
        """Read the trajectories of one group and estimate."""
        return DiffusivityDoc.from_trajectories(*self.read_runs(sources), **self.parameters)
