"""Builder of diffusivities from molecular-dynamics runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.diffusivity import DiffusivityDoc, group_of
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.trajectory_file import read_trajectory_file

_NOT_USED = {"kind", "structure", "inputs", "versions", "n_steps", "potential_time_s", "total_time_s"}


class DiffusivityBuilder(DerivedBuilder):
    """Build ``diffusivity``: one document a material, potential, mobile ion, protocol and temperature.

    Replicas are pooled. Of runs with the same seed, which begin alike, only the longest counts. Parameters
    are the keyword arguments of :meth:`DiffusivityDoc.from_trajectories`.
    """

    document = DiffusivityDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": "molecular_dynamics"}
    used_fields: ClassVar[tuple[str, ...]] = tuple(
        name for name in MolecularDynamicsOutput.model_fields if name not in _NOT_USED
    )
    extra_fields: ClassVar[tuple[str, ...]] = tuple(sorted(_NOT_USED))

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Gather the runs of each group, the longest of each seed."""
        for group in group_by((group_of(source["output"]), source) for source in sources):
            longest: dict[int, dict[str, Any]] = {}
            for member in sorted(group.members, key=_length):
                longest[member["output"]["seed"]] = member
            yield Group(group.key, list(longest.values()))

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> DiffusivityDoc:
        """Read the trajectories of one group and estimate."""
        blobs = BlobStore(self.database)
        outputs = [MolecularDynamicsOutput.model_validate(source["output"]) for source in sources]
        trajectories = [
            read_trajectory_file(blobs.get(output.trajectory.sha256), output.protocol.n_equilibration_frames)
            for output in outputs
        ]
        return DiffusivityDoc.from_trajectories(outputs, trajectories, **self.parameters)


def _length(source: dict[str, Any]) -> tuple[float, str]:
    return float(source["output"]["protocol"]["production_ps"]), source["uuid"]
