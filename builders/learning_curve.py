"""Builder of learning curves from trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.learning_curve import LearningCurveDoc
from sse_screen.documents.training import TrainingOutput

_NOT_USED = {"kind", "versions", "total_time_s", "inputs"}


class LearningCurveBuilder(DerivedBuilder):
    """Build ``learning_curve``: trainings that differ in the number of structures and the seed only.

    Parameters are those of :meth:`LearningCurveDoc.from_trainings`.
    """

    document = LearningCurveDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": "training"}
    used_fields: ClassVar[tuple[str, ...]] = tuple(
        name for name in TrainingOutput.model_fields if name not in _NOT_USED
    )
    extra_fields: ClassVar[tuple[str, ...]] = tuple(sorted(_NOT_USED))

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Gather trainings that can be compared; a single size makes no curve."""
        for group in group_by((LearningCurveDoc.group_of(source["output"]), source) for source in sources):
            if len({member["output"]["n_training"] for member in group.members}) > 1:
                yield group

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> LearningCurveDoc:
        """Fit the curve of one group."""
        trainings = [TrainingOutput.model_validate(source["output"]) for source in sources]
        return LearningCurveDoc.from_trainings(trainings, **self.parameters)
