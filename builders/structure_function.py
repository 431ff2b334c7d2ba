"""Builder of pair distributions and vibrational spectra from molecular-dynamics runs."""

from __future__ import annotations

from typing import Any

from sse_screen.builders.trajectories import TrajectoryBuilder
from sse_screen.documents.structure_function import StructureFunctionDoc


class StructureFunctionBuilder(TrajectoryBuilder):
    """Build ``structure_function``; parameters are those of :meth:`StructureFunctions.of`."""

    document = StructureFunctionDoc

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> StructureFunctionDoc:
        """Read the trajectories of one group and compute all functions."""
        return StructureFunctionDoc.from_trajectories(*self.read_runs(sources), **self.parameters)
