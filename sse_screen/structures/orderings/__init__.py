"""Orderings of a disordered crystal: count exactly, enumerate up to symmetry, or sample without bias."""

from sse_screen.structures.orderings.api import (
    TooManyOrderingsError,
    count_orderings,
    enumerate_orderings,
    require_at_most,
    sample_orderings,
)
from sse_screen.structures.orderings.counting import OrderingCount, TooManyStatesError
from sse_screen.structures.orderings.occupancy import Occupancy, parse_occupancy
from sse_screen.structures.orderings.space import Ordering, OrderingSpace, ordered_structure

__all__ = [
    "Occupancy",
    "Ordering",
    "OrderingCount",
    "OrderingSpace",
    "TooManyOrderingsError",
    "TooManyStatesError",
    "count_orderings",
    "enumerate_orderings",
    "ordered_structure",
    "parse_occupancy",
    "require_at_most",
    "sample_orderings",
]
