"""Builder of self-consistent loops from the states that their steps leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.self_consistent import LoopState
from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc


class SelfConsistentLoopBuilder(DerivedBuilder):
    """Build ``self_consistent_loop``: one document a loop, of its latest state."""

    document = SelfConsistentLoopDoc
    source_filter: ClassVar[dict[str, Any]] = {
        "output.kind": "self_consistent_state",
        # states of earlier versions do not say what the teacher was
        "output.level_of_theory": {"$ne": None},
    }
    used_fields: ClassVar[tuple[str, ...]] = tuple(LoopState.model_fields)

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Take the latest state of each loop."""
        for group in group_by(({"loop_id": source["output"]["loop_id"]}, source) for source in sources):
            latest = max(
                group.members,
                key=lambda source: (len(source["output"]["history"]), len(source["output"]["diffusivities"])),
            )
            yield Group(group.key, [latest])

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> SelfConsistentLoopDoc:
        """Make the document of one loop."""
        return SelfConsistentLoopDoc.from_state(LoopState.model_validate(sources[0]["output"]))
