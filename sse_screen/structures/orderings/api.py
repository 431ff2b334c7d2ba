"""Three calls for those who have a crystal and want its orderings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.counting import OrderingCount
from sse_screen.structures.orderings.occupancy import Occupancy
from sse_screen.structures.orderings.space import Ordering, OrderingSpace

if TYPE_CHECKING:
    from pymatgen.core import Structure

DEFAULT_LIMIT = 2_000_000


class TooManyOrderingsError(InputError):
    """There are more unique orderings than were asked for at most."""


def require_at_most(numbers: OrderingCount, limit: int) -> None:
    """Refuse to enumerate more orderings than a limit.

    Parameters
    ----------
    numbers : OrderingCount
        How many there are.
    limit : int
        How many are acceptable.

    Raises
    ------
    TooManyOrderingsError
        If there are more.
    """
    if limit < 1:
        raise InputError(f"limit {limit}: ask for at least one ordering")
    if numbers.unique > limit:
        raise TooManyOrderingsError(
            f"{numbers.unique:,} unique orderings ({numbers.labelled:,} labelled) are beyond the limit "
            f"of {limit:,}: raise the limit, or draw a sample (a seed here; `sse-screen orderings sample` "
            "in a shell)"
        )


def count_orderings(
    structure: Structure, occupancy: Occupancy | None = None, exclusion_radius_A: float = 0.0, **options: Any
) -> OrderingCount:
    """Count the orderings of a disordered crystal exactly.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Crystal with partial occupancies.
    occupancy : mapping, optional
        Sublattice to number of ions (``{"24d": 12, "96h": 44}``) or to numbers by species
        (``{"4a": {"S": 1, "Cl": 3}}``); the mean occupancies by default.
    exclusion_radius_A : float
        Shortest distance of two ions on sublattices with vacancies, in ångström.
    **options
        ``symprec_A`` and ``check_charge`` of :class:`~sse_screen.structures.orderings.OrderingSpace`.

    Returns
    -------
    OrderingCount
        ``labelled`` and ``unique``.
    """
    return OrderingSpace(structure, occupancy, exclusion_radius_A, **options).count()


def enumerate_orderings(
    structure: Structure,
    occupancy: Occupancy | None = None,
    exclusion_radius_A: float = 0.0,
    limit: int | None = DEFAULT_LIMIT,
    seed: int | None = None,
    **options: Any,
) -> Iterator[Ordering]:
    """Enumerate the orderings up to symmetry; beyond a limit, sample them without bias.

    Parameters
    ----------
    structure, occupancy, exclusion_radius_A, **options
        As for :func:`count_orderings`.
    limit : int, optional
        Most orderings to yield. They are counted first; None counts nothing and enumerates whatever there is.
    seed : int, optional
        With a seed, a space beyond the limit is sampled: ``limit`` uniform draws of labelled orderings, equal
        ones merged. Without, it is refused.

    Returns
    -------
    iterator of Ordering
        In a fixed order; ``weight`` is right for sums over labelled orderings in both cases.

    Raises
    ------
    TooManyOrderingsError
        If there are more than ``limit`` and no seed was given.
    """
    space = OrderingSpace(structure, occupancy, exclusion_radius_A, **options)
    if limit is None:
        return space.enumerate()
    if limit < 1:
        raise InputError(f"limit {limit}: ask for at least one ordering")
    numbers = space.count()
    if seed is None:
        require_at_most(numbers, limit)
    if numbers.unique <= limit:
        return space.enumerate(numbers)
    return space.sample(limit, np.random.default_rng(seed))


def sample_orderings(
    structure: Structure,
    occupancy: Occupancy | None = None,
    exclusion_radius_A: float = 0.0,
    *,
    n_samples: int,
    seed: int,
    **options: Any,
) -> Iterator[Ordering]:
    """Draw labelled orderings uniformly; equal ones are merged with their weights.

    Parameters
    ----------
    structure, occupancy, exclusion_radius_A, **options
        As for :func:`count_orderings`.
    n_samples : int
        Number of draws.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    iterator of Ordering
        One for every orbit that was drawn.
    """
    space = OrderingSpace(structure, occupancy, exclusion_radius_A, **options)
    return space.sample(n_samples, np.random.default_rng(seed))
