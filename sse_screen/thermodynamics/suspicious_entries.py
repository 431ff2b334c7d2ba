"""Entries that lie so far below everything known that an error is likelier than a discovery.

A potential that leaves the range it was trained in, or a relaxation that collapsed, gives energies far too
low; such an entry would become a corner of the hull and falsify every neighbour's distance. It is flagged
instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.thermodynamics.composition_space import CompositionSpace
from sse_screen.thermodynamics.hull import HullError, decomposition, energies_above_hull, lower_hull

FloatArray = NDArray[np.float64]

_MANY_CORNERS = 200


@dataclass(frozen=True)
class JumpThresholds:
    """How far below the rest an entry may lie.

    Attributes
    ----------
    below_same_composition_eV_per_atom : float
        Depth below the hull of all others that is suspicious when another entry has the same composition:
        polymorphs of one compound differ by less.
    below_other_compounds_eV_per_atom : float
        Depth below the hull of all others that is suspicious when compounds compete: the strongest acid-base
        reactions of solids (Li2O with P2O5) release 0.6 eV per atom.
    formation_eV_per_atom : float
        Formation energy from the elements that no crystal is known to exceed (LaF3 has -4.4 eV per atom).
    """

    below_same_composition_eV_per_atom: float = 0.5
    below_other_compounds_eV_per_atom: float = 1.0
    formation_eV_per_atom: float = -6.0


def suspicious_entries(
    space: CompositionSpace, energies_eV_per_atom: FloatArray, thresholds: JumpThresholds | None = None
) -> dict[int, str]:
    """Find entries far below everything else.

    The deepest one is taken out, and the search starts again without it, so that one wrong entry neither
    hides nor incriminates another. A compound that competes with nothing but the pure components is judged by
    its formation energy only.

    Parameters
    ----------
    space : CompositionSpace
        Compositions of the entries.
    energies_eV_per_atom : numpy.ndarray
        Energies (n_entries,).
    thresholds : JumpThresholds, optional
        Limits; the defaults if left out.

    Returns
    -------
    dict of int to str
        Index of each suspicious entry and the reason.
    """
    limits = thresholds or JumpThresholds()
    energies = np.asarray(energies_eV_per_atom, dtype=float) / space.units_per_atom
    kept = np.ones(len(energies), dtype=bool)
    found: dict[int, str] = {}
    while True:
        worst = _deepest(space, energies, kept, limits)
        if worst is None:
            return found
        index, reason = worst
        found[index] = reason
        kept[index] = False


def _deepest(
    space: CompositionSpace, energies: FloatArray, kept: NDArray[np.bool_], limits: JumpThresholds
) -> tuple[int, str] | None:
    """Find the entry that lies deepest beyond a limit, with the reason."""
    members = np.flatnonzero(kept)
    try:
        hull = lower_hull(space.fractions[members], energies[members])
    except HullError:
        return None
    corners = members[hull.vertices]
    if len(corners) > _MANY_CORNERS:
        corners = corners[_may_be_deep(space, energies, members, corners, limits)]
    # A corner's rivals that matter are the other corners and the entries of its own composition, so a bound
    # on its depth needs no more than those; only candidates over the limit are measured against all.
    worst: tuple[float, int, str] | None = None
    for index in corners:
        fractions = space.fractions[index]
        same = members[np.abs(space.fractions[members] - fractions).max(axis=1) < 1e-9]
        rivals = np.union1d(corners, same)
        judged = _judge(space, energies, int(index), rivals[rivals != index], same, limits)
        if judged is not None:
            judged = _judge(space, energies, int(index), members[members != index], same, limits)
        if judged is not None and (worst is None or judged[0] > worst[0]):
            worst = (judged[0], int(index), judged[1])
    return None if worst is None else worst[1:]


def _may_be_deep(
    space: CompositionSpace,
    energies: FloatArray,
    members: NDArray[np.int64],
    corners: NDArray[np.int64],
    limits: JumpThresholds,
) -> NDArray[np.bool_]:
    """Tell which corners may be beyond a limit; the hull without corners bounds their depth from above."""
    pure = space.fractions[members].max(axis=1) > 1.0 - 1e-9
    layer = members[pure | ~np.isin(members, corners)]
    try:
        bound = lower_hull(space.fractions[layer], energies[layer]).energies_at(space.fractions[corners])
    except HullError:
        return np.ones(len(corners), dtype=bool)
    depth = (bound - energies[corners]) * space.units_per_atom[corners]
    smallest = min(limits.below_same_composition_eV_per_atom, limits.below_other_compounds_eV_per_atom)
    may: NDArray[np.bool_] = depth > min(smallest, -limits.formation_eV_per_atom)
    return may


def _judge(
    space: CompositionSpace,
    energies: FloatArray,
    index: int,
    rivals: NDArray[np.int64],
    same: NDArray[np.int64],
    limits: JumpThresholds,
) -> tuple[float, str] | None:
    """Give the depth of an entry beyond its limit and the reason, None when it is within."""
    fractions = space.fractions[index : index + 1]
    per_atom = float(space.units_per_atom[index])
    try:
        hull = lower_hull(space.fractions[rivals], energies[rivals])
        depth = -float(energies_above_hull(fractions, energies[index : index + 1], hull)[0]) * per_atom
        competing = decomposition(hull, fractions[0], space.fractions[rivals])
    except HullError:  # nothing else can make up this composition, so there is nothing to judge it by
        return None
    pure = space.fractions[rivals].max(axis=1) > 1.0 - 1e-9
    if len(same) > 1:
        limit, what = limits.below_same_composition_eV_per_atom, "all else of its composition"
    elif not all(pure[rival] for rival, _ in competing):
        limit, what = limits.below_other_compounds_eV_per_atom, "all competing phases"
    else:
        limit, what = -limits.formation_eV_per_atom, "its elements"
    if depth <= limit:
        return None
    return (
        depth - limit,
        f"{depth:.2f} eV/atom below {what} (limit {limit:g}): wrong energy or collapsed cell?",
    )
