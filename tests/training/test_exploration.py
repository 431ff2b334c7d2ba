"""Choices of frames, contacts through faces of the cell, disagreement, stationarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_screen.documents.base import Quantity
from sse_screen.documents.self_consistent import LoopDiffusivity
from sse_screen.training.exploration import (
    agree,
    closest_contact,
    compare_diffusivities,
    equidistant,
    largest_force_deviation,
)


@given(st.integers(0, 500), st.integers(1, 100))
def test_equidistant_frames_end_with_the_last(n_frames, n_wanted):
    chosen = equidistant(n_frames, n_wanted)
    assert len(chosen) == min(n_frames, n_wanted)
    assert chosen == sorted(set(chosen))
    if n_frames:
        assert chosen[-1] == n_frames - 1
        assert np.ptp(np.diff([-1, *chosen])) <= 1


def test_the_closest_contact_is_found_through_faces_and_for_unwrapped_ions():
    cell = np.array([[5.0, 0, 0], [1.0, 6, 0], [0, 0, 7]])
    positions = np.array([[0.1, 0.2, 0.1], [2.5, 3.0, 3.5], [0.1, 0.2, 6.6]])
    assert closest_contact(positions, cell) == pytest.approx(0.5)
    positions[2] += 3 * cell[0] - 2 * cell[1]
    assert closest_contact(positions, cell) == pytest.approx(0.5)
    assert closest_contact(positions[:1], cell) == np.inf


def test_the_deviation_is_that_of_the_worst_atom():
    forces = np.zeros((2, 3, 3))
    assert largest_force_deviation(forces) == 0
    forces[0, 1] = [0.3, 0, 0.4]
    forces[1, 1] = [-0.3, 0, -0.4]
    forces[:, 2] = 7.0  # all agree
    assert largest_force_deviation(forces) == pytest.approx(0.5)


def quantity(value, lower, upper, verdict="ok"):
    return Quantity(value=value, lower=lower, upper=upper, unit="cm^2/s", verdict=verdict)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (quantity(1.3, 1.0, 1.7), True),
        (quantity(1.8, 1.5, 2.2), False),
        (quantity(1.0, None, 2.0), False),
        (quantity(None, None, None, "refused"), False),
    ],
)
def test_two_diffusivities_agree_within_their_joint_interval(second, expected):
    first = quantity(1.0, 0.8, 1.25)
    assert agree(first, second) is expected
    assert agree(second, first) is expected


def at(temperature_K, *numbers):
    found = quantity(*numbers)
    return LoopDiffusivity(loop=1, temperature_K=temperature_K, diffusivity=found, potential_sha256="a" * 64)


NEAR, FAR, BETWEEN = (1.0, 0.8, 1.25), (2.0, 1.7, 2.35), (1.2, 1.0, 1.44)


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ([(*NEAR, "diffusive"), (*BETWEEN, "diffusive")], "agrees"),
        ([(*NEAR, "diffusive"), (*FAR, "diffusive")], "disagrees"),
        ([(*NEAR, "unresolved"), (*FAR, "diffusive")], "disagrees"),
        # an interval that is not to be trusted neither agrees nor disagrees
        ([(*NEAR, "diffusive"), (*FAR, "unresolved")], "unresolved"),
        ([(*NEAR, "diffusive"), (None, None, None, "refused")], "unresolved"),
    ],
)
def test_a_student_is_compared_with_its_teacher_at_all_temperatures(student, expected):
    teacher = [at(kelvin, *NEAR, "diffusive") for kelvin in (900.0, 800.0)]
    found = [at(kelvin, *numbers) for kelvin, numbers in zip((800.0, 900.0), student, strict=True)]
    assert compare_diffusivities(found, teacher) == expected
