"""Datasets: one hash whatever the order, levels never mixed, splits from which nothing leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_samples import LEVEL, frame

from sse_screen.exceptions import InputError
from sse_screen.training.datasets import (
    Dataset,
    LeakError,
    check_split,
    composition_of,
    dataset_hash,
    run_of,
    split_dataset,
)
from sse_screen.training.labelled import LabelError

THREE = {"train": 0.8, "validation": 0.1, "test": 0.1}


def twenty_parents(frames=5):
    return Dataset(tuple(frame(100 * p + f, parent=f"p{p}") for p in range(20) for f in range(frames)))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=4))
def test_the_hash_knows_neither_order_nor_repetitions(order, repeated):
    frames = [frame(seed) for seed in range(8)]
    shuffled = Dataset(tuple(frames[i] for i in [*order, *repeated]))
    assert len(shuffled) == 8
    assert shuffled.dataset_hash == Dataset(tuple(frames)).dataset_hash == dataset_hash(frames)


def test_one_frame_more_or_another_number_is_another_set():
    frames = [frame(seed) for seed in range(4)]
    hashes = {
        dataset_hash(frames),
        dataset_hash(frames[:3]),
        dataset_hash([*frames[:3], frame(3, energy_eV=-8.0)]),
    }
    assert len(hashes) == 3


def test_levels_are_never_mixed():
    other = LEVEL.model_copy(update={"functional": "other"})
    with pytest.raises(LabelError, match="two levels of theory in one set: ase toy, depth 1 and ase other"):
        Dataset((frame(1), frame(2, level_of_theory=other)))
    with pytest.raises(LabelError, match="no labelled structures"):
        Dataset(())
    split = {"train": Dataset((frame(1),)), "test": Dataset((frame(2, parent="q", level_of_theory=other),))}
    with pytest.raises(LabelError, match="two levels of theory"):
        check_split(split)


def test_what_a_set_says_of_itself():
    dataset = Dataset((frame(1, "a"), frame(2, "b"), frame(3, "a", species=("Li", "Cl"))))
    assert dataset.elements == ("Cl", "Li", "S")
    assert dataset.parents == {"a": 2, "b": 1}
    assert dataset.level_of_theory == LEVEL
    assert [composition_of(structure) for structure in dataset] == ["Li2S", "Li2S", "LiCl"]
    assert run_of(frame(1, source="outputs/x frame 12 strained 3")) == "outputs/x"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_no_parent_is_in_two_parts_and_nothing_is_lost(seed):
    dataset = twenty_parents()
    parts = split_dataset(dataset, THREE, np.random.default_rng(seed))
    assert sum(len(part) for part in parts.values()) == len(dataset)
    parents = [set(part.parents) for part in parts.values()]
    assert not parents[0] & parents[1]
    assert not parents[0] & parents[2]
    assert not parents[1] & parents[2]
    assert [len(part) for part in parts.values()] == [80, 10, 10]


def test_a_split_depends_on_its_seed_alone():
    dataset = twenty_parents()
    turned = Dataset(dataset.structures[::-1])
    one, same = (split_dataset(d, THREE, np.random.default_rng(3)) for d in (dataset, turned))
    other = split_dataset(dataset, THREE, np.random.default_rng(4))
    assert {n: p.dataset_hash for n, p in one.items()} == {n: p.dataset_hash for n, p in same.items()}
    assert one["test"].dataset_hash != other["test"].dataset_hash


def test_parents_that_share_a_structure_stay_together():
    twin = frame(1, "a", energy_eV=-9.0)
    frames = [twin, frame(2, "a"), frame(1, "b", energy_eV=-9.1), frame(3, "b"), frame(4, "c")]
    for seed in range(10):
        parts = split_dataset(Dataset(tuple(frames)), {"x": 0.5, "y": 0.5}, np.random.default_rng(seed))
        assert {frozenset(part.parents) for part in parts.values()} == {frozenset("ab"), frozenset("c")}


def test_unseen_compositions_are_a_part_of_their_own():
    frames = [frame(i, f"p{i}") for i in range(6)] + [frame(9, "q", species=("Li", "Cl"))]
    dataset, halves, rng = Dataset(tuple(frames)), {"train": 0.5, "test": 0.5}, np.random.default_rng(1)
    parts = split_dataset(dataset, halves, rng, unseen_compositions=["LiCl"])
    assert parts["unseen"].elements == ("Cl", "Li")
    assert [len(parts[name]) for name in ("train", "test")] == [3, 3]
    with pytest.raises(InputError, match="unseen composition NaCl: not in the set, which has Li2S, LiCl"):
        split_dataset(dataset, halves, rng, unseen_compositions=["NaCl"])


def test_one_crystal_can_be_split_by_run_only():
    frames = [frame(10 * run + f, "p", f"outputs/{run} frame {f}") for run in range(4) for f in range(5)]
    dataset = Dataset(tuple(frames))
    with pytest.raises(InputError, match=r"1 parent configurations cannot be split into 2.*split by run"):
        split_dataset(dataset, {"train": 0.75, "test": 0.25}, np.random.default_rng(1))
    parts = split_dataset(dataset, {"train": 0.75, "test": 0.25}, np.random.default_rng(1), by="run")
    assert [len(part) for part in parts.values()] == [15, 5]
    assert len({run_of(structure) for structure in parts["test"]}) == 1
    with pytest.raises(LeakError):
        check_split(parts)  # by parent it leaks


def test_a_leak_is_found_and_named():
    train = Dataset((frame(1, "a"), frame(2, "b")))
    with pytest.raises(LeakError, match="parent configuration b is in train and in test"):
        check_split({"train": train, "test": Dataset((frame(3, "b"),))})
    with pytest.raises(LeakError, match=r"structure [0-9a-f]{12} is in train and in test"):
        check_split({"train": train, "test": Dataset((frame(1, "c", energy_eV=0.0),))})
    check_split({"train": train, "test": Dataset((frame(3, "c"),))})


@pytest.mark.parametrize("fractions", [{}, {"all": 1.0}, {"a": 0.5, "b": 0.6}, {"a": 1.2, "b": -0.2}])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(InputError, match="give two or more between 0 and 1 that add up to 1"):
        split_dataset(twenty_parents(1), fractions, np.random.default_rng(1))
