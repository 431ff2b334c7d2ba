"""The structures of one training: what it learns from, what chooses the epoch, what it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import SplitProtocol
from sse_screen.training.datasets import (
    Dataset,
    SplitBy,
    check_split,
    covering_first,
    dataset_hash,
    split_dataset,
)
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
    validation : tuple of LabelledStructure
        They choose the epoch, so that errors on them flatter.
    test : tuple of LabelledStructure
        Configurations that nothing looks at before the end; errors on them are the potential's. May be empty
        where errors are measured by other means.
    unseen_composition : tuple of LabelledStructure
        Structures of compositions that are in none of the others; may be empty.
    by : {"parent", "run"}
        What no two sets may share: a parent configuration, or only a run.

    Raises
    ------
    TrainingInputError
        An empty set; a composition that is not unseen; an element that is not learnt.
    LeakError
        A structure, a parent configuration (or a run) in two sets.
    LabelError
        Two levels of theory.
    """

    training: tuple[LabelledStructure, ...]
    validation: tuple[LabelledStructure, ...]
    test: tuple[LabelledStructure, ...] = ()
    unseen_composition: tuple[LabelledStructure, ...] = ()
    by: SplitBy = "parent"

    def __post_init__(self) -> None:
        """Refuse sets that would make the errors look better than they are."""
        for name in ("training", "validation"):
            if not getattr(self, name):
                raise TrainingInputError(f"{name}: no labelled structures")
        parts = {name: Dataset(found) for name, found in self._parts.items() if found}
        check_split(parts, by=self.by)
        for name in ("validation", "test"):
            elements = {symbol for structure in getattr(self, name) for symbol in structure.species}
            if unknown := sorted(elements - set(self.elements)):
                raise TrainingInputError(
                    f"{name}: has {', '.join(unknown)}, which no structure to learn from has; learn from "
                    "more structures, or name the composition under unseen_formulas"
                )
        seen = set(formulas_of((*self.training, *self.validation, *self.test)))
        if known := sorted(seen & set(formulas_of(self.unseen_composition))):
            raise TrainingInputError(f"unseen_composition: {known[0]} is a composition of the other sets")

    @property
    def _parts(self) -> dict[str, tuple[LabelledStructure, ...]]:
        names = ("training", "validation", "test", "unseen_composition")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def level_of_theory(self) -> LevelOfTheory:
        """The one level of all labels."""
        return common_level(s.level_of_theory for part in self._parts.values() for s in part)

    @property
    def elements(self) -> list[str]:
        """Elements of the structures learnt from, alphabetical."""
        return sorted({symbol for structure in self.training for symbol in structure.species})

    @cached_property
    def sha256(self) -> str:
        """Hash of all labels and of what each is used for, whatever their order."""
        return content_hash({name: dataset_hash(part) for name, part in self._parts.items()})


def split_labels(structures: Sequence[LabelledStructure], split: SplitProtocol) -> TrainingSets:
    """Divide labelled structures so that no configuration (or run) is in two sets.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        In any order; the same label twice counts once.
    split : SplitProtocol
        Shares of the sets, compositions to test on, number to learn from. Of the same data and seed, a
        smaller training set is part of a larger one, and validation and test set are the same.

    Returns
    -------
    TrainingSets
        The sets; every element that occurs is learnt.

    Raises
    ------
    InputError
        Fewer than three configurations, too few structures, no structure of an unseen composition.
    """
    ordered = sorted(structures, key=lambda structure: structure.content_hash)
    rng = np.random.default_rng(split.seed)
    apart = {"validation": split.validation_fraction, "test": split.test_fraction}
    fractions = {"training": 1 - sum(apart.values())} | apart
    unseen = [_reduced(formula) for formula in split.unseen_formulas]
    parts = split_dataset(
        Dataset(tuple(ordered)),
        fractions,
        rng,
        by=split.by,
        unseen_compositions=unseen,
        with_all_elements="training",
    )
    learnt = sorted(parts["training"], key=lambda structure: structure.content_hash)
    learnt = [learnt[i] for i in rng.permutation(len(learnt))]
    learnt, n_needed = covering_first(learnt, lambda structure: set(structure.species))
    wanted = split.n_training or max(n_needed, round(split.training_fraction * len(learnt)))
    if wanted > len(learnt):
        raise TrainingInputError(f"n_training {wanted}: there are {len(learnt)} to learn from")
    never = tuple(parts["unseen"]) if unseen else ()
    return TrainingSets(
        tuple(learnt[:wanted]), tuple(parts["validation"]), tuple(parts["test"]), never, split.by
    )


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition

    try:
        return str(Composition(formula).reduced_formula)
    except ValueError as error:
        raise TrainingInputError(f"unseen_formulas: {formula!r} is no formula ({error})") from None
