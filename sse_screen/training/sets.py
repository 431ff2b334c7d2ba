"""The structures of one training: what it learns from, what chooses the epoch, what it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import SplitProtocol
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


def split_by_configuration(structures: Sequence[LabelledStructure], split: SplitProtocol) -> TrainingSets:
    """Divide labelled structures so that no configuration is in two sets.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        In any order; the same label twice counts once.
    split : SplitProtocol
        Share held out, compositions to test on, number to learn from. Of the same data and seed, a smaller
        training set is part of a larger one, and the held-out set is the same.

    Returns
    -------
    TrainingSets
        The sets.

    Raises
    ------
    TrainingInputError
        Fewer than two configurations, too few structures, no structure of an unseen composition.
    """
    unique = sorted({s.content_hash: s for s in structures}.values(), key=lambda s: s.content_hash)
    wanted = {_reduced(formula) for formula in split.unseen_formulas}
    formula_of = {id(s): formulas_of([s])[0] for s in unique}
    if missing := sorted(wanted - set(formula_of.values())):
        raise TrainingInputError(f"unseen_formulas: no labelled structure of {', '.join(missing)}")
    unseen = tuple(s for s in unique if formula_of[id(s)] in wanted)
    seen = [s for s in unique if formula_of[id(s)] not in wanted]
    parents = sorted({s.parent_configuration for s in seen})
    if len(parents) < 2:
        raise TrainingInputError(
            f"the {len(seen)} labelled structures are of {len(parents)} configuration(s); at least two are "
            "needed to keep one apart: label frames of several orderings, crystals or runs"
        )
    rng = np.random.default_rng(split.seed)
    n_held_out = min(max(1, round(split.held_out_fraction * len(parents))), len(parents) - 1)
    held_out = {parents[i] for i in rng.permutation(len(parents))[:n_held_out]}
    learnt = [s for s in seen if s.parent_configuration not in held_out]
    learnt = [learnt[i] for i in rng.permutation(len(learnt))]
    if split.n_training is not None:
        if split.n_training > len(learnt):
            raise TrainingInputError(f"n_training {split.n_training}: there are {len(learnt)} to learn from")
        learnt = learnt[: split.n_training]
    judged = tuple(s for s in seen if s.parent_configuration in held_out)
    return TrainingSets(tuple(learnt), judged, unseen)


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition

    try:
        return str(Composition(formula).reduced_formula)
    except ValueError as error:
        raise TrainingInputError(f"unseen_formulas: {formula!r} is no formula ({error})") from None
