"""What builders of documents from molecular-dynamics trajectories share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.database.trajectories import used_frames
from sse_screen.documents.diffusivity import group_of
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.trajectory import Trajectory

_NOT_USED = {
    "kind",
    "purpose",
    "structure",
    "inputs",
    "reused_from",
    "versions",
    "n_steps",
    "n_continued_steps",
    "potential_time_s",
    "total_time_s",
}


class TrajectoryBuilder(DerivedBuilder):
    """One document a material, potential, mobile ion, protocol and temperature.

    Replicas are pooled. Of runs with the same seed, which begin alike, only the longest counts.
    """

    source_filter: ClassVar[dict[str, Any]] = {
        "output.kind": "molecular_dynamics",
        "output.purpose": {"$ne": "sampling"},
    }
    # the structure is fixed by the calculation's key
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

    def read_runs(
        self, sources: list[dict[str, Any]]
    ) -> tuple[list[MolecularDynamicsOutput], list[Trajectory]]:
        """Read the runs of one group with their trajectories.

        Parameters
        ----------
        sources : list of dict
            Members of the group.

        Returns
        -------
        outputs : list of MolecularDynamicsOutput
            The runs.
        trajectories : list of Trajectory
            Their production parts, in the same order.
        """
        outputs = [MolecularDynamicsOutput.model_validate(source["output"]) for source in sources]
        return outputs, [used_frames(BlobStore(self.database), output) for output in outputs]


def _length(source: dict[str, Any]) -> tuple[float, str]:
    output = source["output"]
    n_frames = output.get("n_frames") or round(
        output["protocol"]["production_ps"] * 1000 / output["protocol"]["frame_interval_fs"]
    )
    return float(n_frames), source["uuid"]
