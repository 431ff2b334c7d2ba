"""Volumes of sites: what the ions visit, and what the framework leaves free."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from sse_screen.exceptions import InputError
from sse_screen.transport.density import grid_shape
from sse_screen.transport.jumps import Visits, unwrap_fractional
from sse_screen.transport.sites import NearestSites, SiteSet, nearest_sites

Array = NDArray[np.floating]


class AccessibleVolumes(NamedTuple):
    """Hulls of the positions visited while at a site.

    Attributes
    ----------
    volumes_A3 : ndarray, shape (n_sites,)
        Volume of the convex hull; 0 for sites with fewer than four positions.
    n_positions : ndarray of int, shape (n_sites,)
        Positions in it; a hull grows with their number, so compare sites at equal numbers.
    """

    volumes_A3: Array
    n_positions: NDArray[np.int64]


def hull_volume(points: Array) -> float:
    """Give the volume of the convex hull of points, shape (n, 3); 0 if they lie in a plane or are too few."""
    if len(points) < 4:
        return 0.0
    try:
        return float(ConvexHull(points).volume)
    except QhullError:
        return 0.0


def accessible_site_volumes(
    fractional: Array,
    visits: Visits,
    nearest: NearestSites,
    sites: SiteSet,
    *,
    share: float = 1.0,
) -> AccessibleVolumes:
    """Compute the volume that the ions reach while they are at each site.

    Parameters
    ----------
    fractional : ndarray, shape (n_frames, n_ions, 3)
        The positions that the visits were found from.
    visits : Visits
        Visits of this one trajectory.
    nearest : NearestSites
        Nearest sites as given with the visits.
    sites : SiteSet
        Sites.
    share : float
        Share of the positions to enclose, those nearest to their centre; below 1 the hull no longer hangs on
        single outliers.

    Returns
    -------
    AccessibleVolumes
        One per site.
    """
    if not 0 < share <= 1:
        raise InputError(f"share must lie in (0, 1], got {share}")
    unwrapped = unwrap_fractional(fractional)
    frame, ion, visit = _frames_at_site(visits, nearest)
    site = visits.site[visit]
    offsets = unwrapped[frame, ion] - sites.fractional[site] - visits.image[visit]
    cartesian = offsets @ sites.cell_A
    volumes = np.zeros(len(sites))
    counts = np.bincount(site, minlength=len(sites))
    for number in np.flatnonzero(counts):
        points = cartesian[site == number]
        if share < 1:
            distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
            points = points[distance <= np.quantile(distance, share)]
        volumes[number] = hull_volume(points)
    return AccessibleVolumes(volumes, counts)


def _frames_at_site(visits: Visits, nearest: NearestSites) -> tuple[NDArray, NDArray, NDArray]:
    """Frames, ions and visits of all positions within the outer radius of the site being visited."""
    length = visits.durations
    visit = np.repeat(np.arange(len(visits)), length)
    within = np.arange(len(visit)) - np.repeat(np.cumsum(length) - length, length)
    frame, ion = visits.start[visit] + within, visits.ion[visit]
    at_site = nearest.site[frame, ion] == visits.site[visit]
    at_site &= np.all(nearest.image[frame, ion] == visits.image[visit], axis=1)
    return frame[at_site], ion[at_site], visit[at_site]


def static_site_volumes(
    sites: SiteSet,
    framework_fractional: Array,
    framework_species: Sequence[str],
    radii_A: Mapping[str, float],
    *,
    probe_radius_A: float = 0.0,
    spacing_A: float = 0.1,
) -> Array:
    """Compute the void that the framework leaves around each site.

    A point of the void is farther from every framework atom than its radius plus the probe's, and belongs to
    the nearest site.

    Parameters
    ----------
    sites : SiteSet
        Sites.
    framework_fractional : ndarray, shape (n_framework, 3)
        Mean positions of the framework atoms.
    framework_species : sequence of str
        Their species.
    radii_A : mapping of str to float
        Radius of each species, such as Shannon's.
    probe_radius_A : float
        0 for the void itself, the radius of the mobile ion for the room of its centre.
    spacing_A : float
        Largest spacing of the grid on which the volume is counted.

    Returns
    -------
    ndarray, shape (n_sites,)
        Å^3.

    Raises
    ------
    InputError
        If a species has no radius.
    """
    missing = sorted(set(framework_species) - set(radii_A))
    if missing:
        raise InputError(f"radii_A has no radius for {', '.join(missing)}")
    shape = grid_shape(sites.cell_A, spacing_A)
    axes = [(np.arange(count) + 0.5) / count for count in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    names = np.array(framework_species)
    free = np.ones(len(points), dtype=bool)
    for name in sorted(set(framework_species)):
        atoms = np.asarray(framework_fractional)[names == name]
        sphere = SiteSet(atoms, sites.cell_A, ("",) * len(atoms))
        radius = radii_A[name] + probe_radius_A
        free[free] = nearest_sites(points[free], sphere, maximum_distance_A=radius).site < 0
    reach = float(np.linalg.norm(sites.cell_A, axis=1).sum())
    owner = nearest_sites(points[free], sites, maximum_distance_A=reach).site
    voxel = abs(float(np.linalg.det(sites.cell_A))) / len(points)
    return np.bincount(owner, minlength=len(sites)) * voxel


def ionic_radii(species: Sequence[str]) -> dict[str, float]:
    """Look up Shannon radii of the usual ions: the usual anions, cations in their highest usual state.

    Parameters
    ----------
    species : sequence of str
        Element symbols.

    Returns
    -------
    dict of str to float
        Radii in Å as tabulated by pymatgen; species without a tabulated ion are left out.
    """
    from pymatgen.core import Element

    anions = {"N": -3, "O": -2, "S": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1}
    radii = {}
    for name in dict.fromkeys(species):
        element = Element(name)
        state = anions.get(name) or max(element.common_oxidation_states, default=0)
        radius = element.ionic_radii.get(state)
        if radius is not None:
            radii[name] = float(radius)
    return radii
