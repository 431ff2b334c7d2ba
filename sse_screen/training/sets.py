"""The structures of one training: what it learns from, what chooses the epoch, what it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import SplitProtocol
from sse_screen.training.datasets import Dataset, SplitBy, check_split, dataset_hash, split_dataset
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
    by : {"parent", "run"}
        What no two sets may share: a parent configuration, or only a run.

    Raises
    ------
    TrainingInputError
        An empty set; a composition that is not unseen.
    LeakError
        A structure, a parent configuration (or a run) in two sets.
    LabelError
        Two levels of theory.
    """

    training: tuple[LabelledStructure, ...]
    held_out: tuple[LabelledStructure, ...]
    unseen_composition: tuple[LabelledStructure, ...] = ()
    by: SplitBy = "parent"

    def __post_init__(self) -> None:
        """Refuse sets that would make the errors look better than they are."""
        for name in ("training", "held_out"):
            if not getattr(self, name):
                raise TrainingInputError(f"{name}: no labelled structures")
        parts = {name: Dataset(found) for name, found in self._parts.items() if found}
        check_split(parts, by=self.by)
        seen = set(formulas_of((*self.training, *self.held_out)))
        if known := sorted(seen & set(formulas_of(self.unseen_composition))):
            raise TrainingInputError(f"unseen_composition: {known[0]} is a composition of the other sets")

    @property
    def _parts(self) -> dict[str, tuple[LabelledStructure, ...]]:
        names = ("training", "held_out", "unseen_composition")
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

    @cached_property
    def held_out_sha256(self) -> str:
        """Hash of the held-out labels: errors of trainings that share it can be compared."""
        return dataset_hash(self.held_out)


def split_labels(structures: Sequence[LabelledStructure], split: SplitProtocol) -> TrainingSets:
    """Divide labelled structures so that no configuration (or run) is in two sets.

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
    InputError
        Fewer than two configurations, too few structures, no structure of an unseen composition.
    """
    ordered = sorted(structures, key=lambda structure: structure.content_hash)
    rng = np.random.default_rng(split.seed)
    fractions = {"training": 1 - split.held_out_fraction, "held_out": split.held_out_fraction}
    unseen = [_reduced(formula) for formula in split.unseen_formulas]
    parts = split_dataset(Dataset(tuple(ordered)), fractions, rng, by=split.by, unseen_compositions=unseen)
    learnt = sorted(parts["training"], key=lambda structure: structure.content_hash)
    learnt = [learnt[i] for i in rng.permutation(len(learnt))]
    wanted = split.n_training or max(1, round(split.training_fraction * len(learnt)))
    if wanted > len(learnt):
        raise TrainingInputError(f"n_training {wanted}: there are {len(learnt)} to learn from")
    judged, never = parts["held_out"], parts["unseen"] if unseen else ()
    return TrainingSets(tuple(learnt[:wanted]), tuple(judged), tuple(never), split.by)


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition

    try:
        return str(Composition(formula).reduced_formula)
    except ValueError as error:
        raise TrainingInputError(f"unseen_formulas: {formula!r} is no formula ({error})") from None
