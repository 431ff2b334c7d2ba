"""Orderings of a disordered crystal: count exactly, enumerate up to symmetry, or sample without bias."""

from sse_screen.structures.orderings.api import (
    TooManyOrderingsError,
    count_orderings,
    enumerate_orderings,
    require_at_most,
    sample_orderings,
)
from sse_screen.structures.orderings.counting import OrderingCount, TooManyStatesError
from sse_screen.structures.orderings.ewald import EwaldEnergy, lowest_ewald, with_ewald_energies
from sse_screen.structures.orderings.fingerprints import merge_by_fingerprint
from sse_screen.structures.orderings.occupancy import Occupancy, parse_occupancy
from sse_screen.structures.orderings.site_mapping import SiteMapping, identify, map_to_sites, merge_relaxed
from sse_screen.structures.orderings.space import Ordering, OrderingSpace, ordered_structure
from sse_screen.structures.orderings.supercells import repeat_sites, repeat_space

__all__ = [
    "EwaldEnergy",
    "Occupancy",
    "Ordering",
    "OrderingCount",
    "OrderingSpace",
    "SiteMapping",
    "TooManyOrderingsError",
    "TooManyStatesError",
    "count_orderings",
    "enumerate_orderings",
    "identify",
    "lowest_ewald",
    "map_to_sites",
    "merge_by_fingerprint",
    "merge_relaxed",
    "ordered_structure",
    "parse_occupancy",
    "repeat_sites",
    "repeat_space",
    "require_at_most",
    "sample_orderings",
    "with_ewald_energies",
]
