"""The structures of one training: what it learns from, what chooses the epoch, what it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sse_screen.documents.base import content_hash
from sse_screen.training.errors import TrainingInputError
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory, common_level
from sse_screen.training.metrics import formulas_of


@dataclass(frozen=True, eq=False)
class TrainingSets:
    """Labelled structures by their use, checked against one another.

    Parameters
    ----------
    training : tuple of LabelledStructure
        The loss is minimised on them.
    held_out : tuple of LabelledStructure
        Configurations kept apart; they choose the epoch and give the errors.
    unseen_composition : tuple of LabelledStructure
        Structures of compositions that are in neither of the others; may be empty.

    Raises
    ------
    TrainingInputError
        An empty set; a structure or a parent configuration in two sets; a composition that is not unseen.
    LabelError
        Two levels of theory.
    """

    training: tuple[LabelledStructure, ...]
    held_out: tuple[LabelledStructure, ...]
    unseen_composition: tuple[LabelledStructure, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sets that would make the errors look better than they are."""
        for name in ("training", "held_out"):
            if not getattr(self, name):
                raise TrainingInputError(f"{name}: no labelled structures")
        _check_apart("held_out", self.held_out, self.training)
        _check_apart("unseen_composition", self.unseen_composition, (*self.training, *self.held_out))
        seen = set(formulas_of((*self.training, *self.held_out)))
        if known := sorted(seen & set(formulas_of(self.unseen_composition))):
            raise TrainingInputError(f"unseen_composition: {known[0]} is a composition of the other sets")
        _ = self.level_of_theory

    @cached_property
    def level_of_theory(self) -> LevelOfTheory:
        """The one level of all labels."""
        everything = (*self.training, *self.held_out, *self.unseen_composition)
        return common_level(structure.level_of_theory for structure in everything)

    @property
    def elements(self) -> list[str]:
        """Elements of the structures learnt from, alphabetical."""
        return sorted({symbol for structure in self.training for symbol in structure.species})

    @cached_property
    def sha256(self) -> str:
        """Hash of all labels and of what each is used for, whatever their order."""
        names = ("training", "held_out", "unseen_composition")
        return content_hash({name: sorted(s.content_hash for s in getattr(self, name)) for name in names})


def _check_apart(name: str, tested: Sequence[LabelledStructure], learnt: Sequence[LabelledStructure]) -> None:
    """Refuse sets that share a structure or a parent configuration."""
    shared = {s.geometry_hash for s in tested} & {s.geometry_hash for s in learnt}
    if shared:
        source = next(s.source for s in tested if s.geometry_hash in shared)
        raise TrainingInputError(
            f"{name}: {len(shared)} of its structures are also learnt from (the first: {source}); their "
            "errors would say nothing: keep each structure in one set"
        )
    parents = {s.parent_configuration for s in tested} & {s.parent_configuration for s in learnt}
    if parents:
        raise TrainingInputError(
            f"{name}: frames of the configuration {min(parents)!r} are also learnt from; frames of one "
            "configuration are alike: split by parent configuration"
        )
