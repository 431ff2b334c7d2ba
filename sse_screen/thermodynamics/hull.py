"""Lower convex hull of energy over composition, for all entries at once.

The hull is built by Qhull over (composition, energy); because a lower convex hull is the maximum over the
planes of its facets, the distance of every entry to it is one matrix product. The construction and the words
are those of Ong et al., Chem. Mater. 20, 1798 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from sse_screen.exceptions import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_COMPOSITION_DECIMALS = 9
_MIN_DOWNWARD_NORMAL = 1e-9
_CHUNK_ELEMENTS = 5_000_000
_POINTS_IN_BOX = 64
_PLANES_IN_BOX = 64
_ROUNDING_EV = 1e-11


class HullError(InputError):
    """A convex hull could not be built from the entries given."""


@dataclass(frozen=True)
class LowerHull:
    """A lower convex hull over compositions.

    Attributes
    ----------
    origin : numpy.ndarray
        Composition (n_components,) that the reduced coordinates are measured from.
    axes : numpy.ndarray
        Orthonormal directions (rank, n_components) that the entries' compositions span.
    planes : numpy.ndarray
        One row (rank + 1) a lower facet: slopes along ``axes``, then the offset, in eV per component unit.
    simplices : numpy.ndarray
        Entry indices (n_facets, rank + 1) of the corners of each lower facet.
    vertices : numpy.ndarray
        Sorted indices of the entries that are corners of the hull.
    baseline : numpy.ndarray
        Linear energy (n_components,) that was subtracted before building, in eV per component unit.
    """

    origin: FloatArray
    axes: FloatArray
    planes: FloatArray
    simplices: IntArray
    vertices: IntArray
    baseline: FloatArray

    def energies_at(self, fractions: FloatArray) -> FloatArray:
        """Evaluate the hull's energy at compositions.

        Parameters
        ----------
        fractions : numpy.ndarray
            Mole fractions of the components (n_points, n_components), rows summing to one.

        Returns
        -------
        numpy.ndarray
            Energies (n_points,) of the hull, eV per component unit.

        Raises
        ------
        HullError
            If a composition lies outside the line, plane or space that the hull's entries span.
        """
        fractions = np.asarray(fractions, dtype=float)
        shifted = fractions - self.origin
        coordinates = shifted @ self.axes.T
        outside = np.abs(shifted - coordinates @ self.axes).max(axis=1, initial=0.0) > 1e-6
        if outside.any():
            raise HullError(f"{int(outside.sum())} compositions lie outside the space that the hull spans")
        return _highest_plane(coordinates, self.planes) + fractions @ self.baseline


def lowest_entries(fractions: FloatArray, energies: FloatArray) -> IntArray:
    """Find the entry of lowest energy at every distinct composition.

    Parameters
    ----------
    fractions : numpy.ndarray
        Mole fractions (n_entries, n_components).
    energies : numpy.ndarray
        Energies (n_entries,), eV per component unit.

    Returns
    -------
    numpy.ndarray
        Sorted indices of the lowest entries; the first of equal ones wins.
    """
    keys = np.round(fractions, _COMPOSITION_DECIMALS) + 0.0
    order = np.lexsort((energies, *keys.T))
    sorted_keys = keys[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (sorted_keys[1:] != sorted_keys[:-1]).any(axis=1)
    return np.sort(order[is_first]).astype(np.int64)


def lower_hull(fractions: FloatArray, energies: FloatArray) -> LowerHull:
    """Build the lower convex hull of energy over composition.

    Parameters
    ----------
    fractions : numpy.ndarray
        Mole fractions of the components (elements or end members) (n_entries, n_components), rows summing to
        one.
    energies : numpy.ndarray
        Energies (n_entries,), eV per component unit (per atom when the components are elements).

    Returns
    -------
    LowerHull
        The hull; compositions that span less than the whole space give a hull over what they span.

    Raises
    ------
    HullError
        If a number is not finite, or all entries have one composition.
    """
    fractions, energies = np.asarray(fractions, dtype=float), np.asarray(energies, dtype=float)
    if fractions.ndim != 2 or energies.shape != (len(fractions),):
        raise HullError(f"fractions {fractions.shape} and energies {energies.shape} do not belong together")
    if not (np.isfinite(fractions).all() and np.isfinite(energies).all()):
        raise HullError("compositions and energies must be finite numbers")
    lowest = lowest_entries(fractions, energies)
    if len(lowest) < 2:
        raise HullError(
            "all entries have one composition: a convex hull needs at least two; add elements or end members"
        )
    baseline = _baseline(fractions[lowest], energies[lowest])
    reduced_energies = energies - fractions @ baseline
    origin = fractions[lowest].mean(axis=0)
    axes = _spanned_axes(fractions[lowest] - origin)
    coordinates = (fractions[lowest] - origin) @ axes.T
    keep = _hull_candidates(fractions[lowest], reduced_energies[lowest])
    simplices, planes = _lower_facets(coordinates[keep], reduced_energies[lowest][keep])
    indices = lowest[keep][simplices]
    return LowerHull(
        origin=origin,
        axes=axes,
        planes=planes,
        simplices=indices,
        vertices=np.unique(indices),
        baseline=baseline,
    )


def energies_above_hull(fractions: FloatArray, energies: FloatArray, hull: LowerHull) -> FloatArray:
    """Give the distance of every entry to the hull.

    Parameters
    ----------
    fractions : numpy.ndarray
        Mole fractions (n_entries, n_components).
    energies : numpy.ndarray
        Energies (n_entries,), eV per component unit.
    hull : LowerHull
        The hull.

    Returns
    -------
    numpy.ndarray
        Distances (n_entries,), eV per component unit; rounding errors below 1e-11 are zero, an entry below a
        hull that it was left out of is negative.
    """
    distances = energies - hull.energies_at(fractions)
    distances[np.abs(distances) < _ROUNDING_EV] = 0.0
    return distances


def decomposition(
    hull: LowerHull, fractions: FloatArray, vertex_fractions: FloatArray
) -> list[tuple[int, float]]:
    """Find the phases into which a composition decomposes.

    Parameters
    ----------
    hull : LowerHull
        The hull.
    fractions : numpy.ndarray
        Mole fractions (n_components,) of the composition.
    vertex_fractions : numpy.ndarray
        Mole fractions (n_entries, n_components) of the entries that the hull was built from.

    Returns
    -------
    list of (int, float)
        Index of each phase and its share in component units; the shares sum to one.

    Raises
    ------
    HullError
        If the composition is outside the hull.
    """
    coordinates = hull.axes @ (fractions - hull.origin)
    heights = hull.planes[:, :-1] @ coordinates + hull.planes[:, -1]
    best: tuple[float, IntArray, FloatArray] | None = None
    for facet in np.flatnonzero(heights > heights.max() - 1e-7):
        corners = hull.simplices[facet]
        system = np.vstack([hull.axes @ (vertex_fractions[corners] - hull.origin).T, np.ones(len(corners))])
        shares = np.linalg.lstsq(system, np.append(coordinates, 1.0), rcond=None)[0]
        if best is None or shares.min() > best[0]:
            best = (float(shares.min()), corners, shares)
        if best[0] >= -1e-9:
            break
    if best is None or best[0] < -1e-6:
        raise HullError("the composition is outside the hull")
    shares = np.clip(best[2], 0.0, None)
    shares /= shares.sum()
    return [(int(i), float(s)) for i, s in zip(best[1], shares, strict=True) if s > 1e-9]


def _highest_plane(points: FloatArray, planes: FloatArray) -> FloatArray:
    """Give the height of the highest plane over each point (n_points,).

    The points are split into boxes; a plane that at all corners of a box is below the one that is highest at
    its centre is below it in the whole box, since their difference is linear, and is not tried there.
    """
    heights = np.empty(len(points))
    pending = [(np.arange(len(points)), planes)] if len(points) else []
    while pending:
        members, near = pending.pop()
        inside = points[members]
        low, high = inside.min(axis=0), inside.max(axis=0)
        one_point = float((high - low).max()) < 1e-9
        if one_point or len(members) <= _POINTS_IN_BOX or len(near) <= _PLANES_IN_BOX:
            step = max(1, _CHUNK_ELEMENTS // len(near))
            for start in range(0, len(members), step):
                block = inside[start : start + step] @ near[:, :-1].T + near[:, -1]
                heights[members[start : start + step]] = block.max(axis=1)
            continue
        best = near[np.argmax(near[:, :-1] @ (0.5 * (low + high)) + near[:, -1])]
        # The largest value of a linear function in a box is that at its centre plus slopes times half widths.
        difference = near - best
        largest = difference[:, :-1] @ (0.5 * (low + high)) + difference[:, -1]
        largest += np.abs(difference[:, :-1]) @ (0.5 * (high - low))
        kept = near[largest >= -_ROUNDING_EV]
        axis = int(np.argmax(high - low))
        upper = inside[:, axis] > 0.5 * (low[axis] + high[axis])
        pending += [(members[half], kept) for half in (upper, ~upper) if half.any()]
    return heights


def _baseline(fractions: FloatArray, energies: FloatArray) -> FloatArray:
    """Give a linear energy close to the data, so that the numbers that Qhull sees are small.

    With all pure components there it is the plane through them (energies become formation energies).
    """
    pure = fractions.max(axis=1) > 1.0 - 10.0 ** (-_COMPOSITION_DECIMALS)
    if pure.sum() == fractions.shape[1]:
        baseline = np.empty(fractions.shape[1])
        baseline[fractions[pure].argmax(axis=1)] = energies[pure]
        return baseline
    return np.asarray(np.linalg.lstsq(fractions, energies, rcond=None)[0], dtype=np.float64)


def _spanned_axes(centred: FloatArray) -> FloatArray:
    """Give orthonormal directions (rank, n_components) that hold all compositions."""
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    rank = int((singular > 1e-8 * max(1.0, singular[0])).sum())
    return directions[:rank]


def _hull_candidates(fractions: FloatArray, formation: FloatArray) -> IntArray:
    """Leave out what cannot be a corner: compounds above the plane of the pure components."""
    pure = fractions.max(axis=1) > 1.0 - 10.0 ** (-_COMPOSITION_DECIMALS)
    if pure.sum() < fractions.shape[1]:
        return np.arange(len(fractions))
    return np.flatnonzero(pure | (formation < 0.0))


def _lower_facets(coordinates: FloatArray, energies: FloatArray) -> tuple[IntArray, FloatArray]:
    """Run Qhull with an apex above all points and keep the facets that look down.

    Returns
    -------
    simplices : numpy.ndarray
        Indices (n_facets, rank + 1) into the points.
    planes : numpy.ndarray
        Slopes and offset (n_facets, rank + 1).
    """
    scale = max(1e-3, float(np.ptp(energies)))
    apex = np.append(coordinates.mean(axis=0), energies.max() + scale)
    points = np.vstack([np.column_stack([coordinates, energies]), apex])
    try:
        hull = ConvexHull(points)
    except QhullError as error:
        raise HullError(f"Qhull cannot build the hull: {str(error).splitlines()[0]}") from error
    down = (hull.equations[:, -2] < -_MIN_DOWNWARD_NORMAL) & (hull.simplices != len(energies)).all(axis=1)
    equations = hull.equations[down]
    planes = -np.delete(equations, -2, axis=1) / equations[:, -2:-1]
    return hull.simplices[down].astype(np.int64), planes
