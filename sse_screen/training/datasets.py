"""Sets of labelled structures: one level of theory, one hash, splits from which nothing leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from sse_screen.exceptions import InputError
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory, common_level

SplitBy = Literal["parent", "run"]
_Item = TypeVar("_Item")


class LeakError(InputError):
    """What a model is tested on is also in what it is trained on."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled structures at one level of theory, each once.

    Parameters
    ----------
    structures : tuple of LabelledStructure
        An exact repetition (same content hash) is dropped.

    Raises
    ------
    LabelError
        If there is none, or two are at different levels of theory.
    """

    structures: tuple[LabelledStructure, ...]

    def __post_init__(self) -> None:
        """Drop repetitions and refuse to mix levels of theory."""
        once = {structure.content_hash: structure for structure in reversed(tuple(self.structures))}
        kept = tuple(reversed(once.values()))
        common_level(structure.level_of_theory for structure in kept)
        object.__setattr__(self, "structures", kept)

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.structures)

    def __iter__(self) -> Iterator[LabelledStructure]:
        """Go through the structures."""
        return iter(self.structures)

    @cached_property
    def level_of_theory(self) -> LevelOfTheory:
        """The level of all, with the pseudopotentials of all elements."""
        return common_level(structure.level_of_theory for structure in self.structures)

    @cached_property
    def dataset_hash(self) -> str:
        """Sha256 of the content hashes of all structures, whatever their order."""
        return dataset_hash(self.structures)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Elements that occur, alphabetical."""
        return tuple(sorted({symbol for structure in self.structures for symbol in structure.species}))

    @cached_property
    def parents(self) -> dict[str, int]:
        """Number of structures by parent configuration."""
        counts: dict[str, int] = {}
        for structure in self.structures:
            counts[structure.parent_configuration] = counts.get(structure.parent_configuration, 0) + 1
        return dict(sorted(counts.items()))


def dataset_hash(structures: Iterable[LabelledStructure]) -> str:
    """Hash a set of labelled structures.

    Parameters
    ----------
    structures : iterable of LabelledStructure
        In any order; repetitions count once.

    Returns
    -------
    str
        Hexadecimal sha256 of the sorted content hashes.
    """
    hashes = sorted({structure.content_hash for structure in structures})
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def composition_of(structure: LabelledStructure) -> str:
    """Give the reduced formula of a structure.

    Parameters
    ----------
    structure : LabelledStructure
        The structure.

    Returns
    -------
    str
        Such as Li3PS4, the same for every supercell.
    """
    from pymatgen.core import Composition

    symbols, numbers = np.unique(structure.species, return_counts=True)
    return Composition(dict(zip(symbols.tolist(), numbers.tolist(), strict=True))).reduced_formula


def run_of(structure: LabelledStructure) -> str:
    """Give the run that a structure was sampled from.

    Parameters
    ----------
    structure : LabelledStructure
        Its source is ``<run> frame <number>``, with what was done to it afterwards.

    Returns
    -------
    str
        What stands before the frame's number; the whole source where there is none.
    """
    return structure.source.split(" frame ", 1)[0]


def split_dataset(
    dataset: Dataset,
    fractions: Mapping[str, float],
    rng: np.random.Generator,
    *,
    by: SplitBy = "parent",
    unseen_compositions: Iterable[str] = (),
    with_all_elements: str | None = None,
) -> dict[str, Dataset]:
    """Split a set so that all frames of a parent configuration stay together.

    Parents that share a structure stay together too. Groups are dealt out in random order, each to the part
    that lacks most of its share; every part gets at least one.

    Parameters
    ----------
    dataset : Dataset
        What is split.
    fractions : mapping
        Share of the structures by name of the part, such as train 0.8, validation 0.1, test 0.1; they add up
        to one.
    rng : numpy.random.Generator
        Source of randomness; seed it and store the seed.
    by : {"parent", "run"}
        ``run`` keeps the frames of one run together instead: weaker, for the study of one crystal that has no
        second configuration.
    unseen_compositions : iterable of str
        Reduced formulas that go, all of them, into a part of their own named ``unseen``.
    with_all_elements : str, optional
        Part that gets groups first, until it has every element that occurs.

    Returns
    -------
    dict
        Set by name of the part.

    Raises
    ------
    InputError
        If the fractions are none, a composition does not occur, or there are too few groups for the parts.
    """
    _check_fractions(fractions)
    wanted = set(unseen_compositions)
    composition = {structure.content_hash: composition_of(structure) for structure in dataset}
    if missing := sorted(wanted - set(composition.values())):
        known = ", ".join(sorted(set(composition.values())))
        raise InputError(f"unseen composition {missing[0]}: not in the set, which has {known}")
    rest = [s for s in dataset if composition[s.content_hash] not in wanted]
    groups = _groups(rest, by)
    groups = [groups[i] for i in rng.permutation(len(groups))]
    n_first = 0
    if with_all_elements is not None:
        groups, n_first = covering_first(groups, lambda group: {e for s in group for e in s.species})
    if len(groups) - max(n_first, 1) < len(fractions) - 1:
        raise InputError(_too_few(len(groups), n_first, fractions, by, with_all_elements))
    dealt = {name: groups[:n_first] if name == with_all_elements else [] for name in fractions}
    parts = _deal(groups[n_first:], dealt, fractions)
    if wanted:
        parts["unseen"] = [s for s in dataset if composition[s.content_hash] in wanted]
    split = {name: Dataset(tuple(structures)) for name, structures in parts.items()}
    check_split(split, by=by)
    return split


def check_split(split: Mapping[str, Dataset], *, by: SplitBy = "parent") -> None:
    """Refuse parts that share a parent configuration or a structure.

    Parameters
    ----------
    split : mapping
        Set by name of the part.
    by : {"parent", "run"}
        What frames of one must not be in two parts.

    Raises
    ------
    LeakError
        If something leaks; the message names it and both parts.
    LabelError
        If the parts are at different levels of theory.
    """
    common_level(part.level_of_theory for part in split.values())
    places: dict[tuple[str, str], str] = {}
    for name, part in split.items():
        for structure in part:
            for what, key in (
                (f"structure {structure.geometry_hash[:12]}", structure.geometry_hash),
                _group_of(structure, by),
            ):
                other = places.setdefault((what, key), name)
                if other != name:
                    raise LeakError(
                        f"{what} is in {other} and in {name}: a model tested on {name} would have seen it; "
                        "split the set again, by parent configuration"
                    )


def _check_fractions(fractions: Mapping[str, float]) -> None:
    wrong = any(not 0 < share < 1 for share in fractions.values())
    if len(fractions) < 2 or wrong or abs(sum(fractions.values()) - 1) > 1e-6:
        given = ", ".join(f"{name} {share:g}" for name, share in fractions.items())
        raise InputError(f"fractions {given or 'none'}: give two or more between 0 and 1 that add up to 1")


def _group_of(structure: LabelledStructure, by: SplitBy) -> tuple[str, str]:
    key = structure.parent_configuration if by == "parent" else run_of(structure)
    return f"{'parent configuration' if by == 'parent' else 'run'} {key}", key


def _groups(structures: list[LabelledStructure], by: SplitBy) -> list[list[LabelledStructure]]:
    """Gather structures by parent (or run), and merge groups that share a geometry."""
    members: dict[str, list[LabelledStructure]] = {}
    leader: dict[str, str] = {}  # of a group or a geometry, by hash or name

    def find(name: str) -> str:
        """Return the leader of a group."""
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for structure in structures:
        leader[find(structure.geometry_hash)] = find("group " + _group_of(structure, by)[1])
    for structure in structures:
        members.setdefault(find(structure.geometry_hash), []).append(structure)
    return sorted(members.values(), key=lambda group: min(structure.content_hash for structure in group))


def covering_first(
    items: Sequence[_Item], elements_of: Callable[[_Item], set[str]]
) -> tuple[list[_Item], int]:
    """Put items first that together have every element, each time the one that brings most new ones.

    Parameters
    ----------
    items : sequence
        Structures, or groups of them; of equal ones the earlier is taken.
    elements_of : callable
        Gives the elements of an item.

    Returns
    -------
    items : list
        All of them; the others keep their order.
    n_first : int
        How many have every element.
    """
    first: list[int] = []
    missing = {element for item in items for element in elements_of(item)}
    while missing:
        first.append(max(range(len(items)), key=lambda i: (len(missing & elements_of(items[i])), -i)))
        missing -= elements_of(items[first[-1]])
    order = [*first, *(i for i in range(len(items)) if i not in first)]
    return [items[i] for i in order], len(first)


def _too_few(
    n_groups: int, n_first: int, fractions: Mapping[str, float], by: SplitBy, with_all_elements: str | None
) -> str:
    kind = "parent configurations" if by == "parent" else "runs"
    way_out = "label more configurations" + (", or split by run" if by == "parent" else " and runs")
    names = ", ".join(fractions)
    reason = f"{n_groups} {kind} cannot be split into {len(fractions)} parts ({names})"
    if n_first > 1:
        reason += f", of which {with_all_elements} has every element (that takes {n_first} of them) and"
    else:
        reason += " of which"
    return f"{reason} none knows the others' structures: {way_out}"


def _deal(
    groups: list[list[LabelledStructure]],
    dealt: Mapping[str, list[list[LabelledStructure]]],
    fractions: Mapping[str, float],
) -> dict[str, list[LabelledStructure]]:
    """Deal groups to parts, some of which have got others before."""
    parts = {name: [structure for group in got for structure in group] for name, got in dealt.items()}
    total = sum(map(len, groups)) + sum(map(len, parts.values()))
    for number, group in enumerate(groups):
        empty = [name for name, part in parts.items() if not part]
        # the last groups are for parts that would stay empty
        names = empty if len(groups) - number <= len(empty) else list(parts)
        lacking = {name: fractions[name] * total - len(parts[name]) for name in names}
        parts[max(lacking, key=lambda name: lacking[name])] += group
    return parts
