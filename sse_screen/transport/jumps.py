"""Visits to sites and jumps between them, by a state machine with two radii."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.transport.sites import NearestSites, SiteSet, nearest_sites

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Visits:
    """Stays of ions at sites, ordered by ion and time; all arrays have shape (n_visits,) but `image`.

    Attributes
    ----------
    ion : ndarray of int
        Which ion; replicas are told apart by their ions.
    site : ndarray of int
        Which site.
    image : ndarray of int, shape (n_visits, 3)
        Lattice translation of the site that was visited.
    start, end : ndarray of int
        First frame at the site and first frame no longer there.
    truncated_start, truncated_end : ndarray of bool
        The visit was under way when the trajectory began or ended.
    last_frame : ndarray of int
        Number of frames of the trajectory the ion belongs to.
    n_ions : int
        Number of ions followed, those never at a site included.
    """

    ion: Indices
    site: Indices
    image: Indices
    start: Indices
    end: Indices
    truncated_start: NDArray[np.bool_]
    truncated_end: NDArray[np.bool_]
    last_frame: Indices
    n_ions: int

    def __len__(self) -> int:
        """Number of visits."""
        return len(self.ion)

    @property
    def durations(self) -> Indices:
        """Frames spent at the site, as far as seen, shape (n_visits,)."""
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class Jumps:
    """Changes of site, ordered by ion and time; all arrays have shape (n_jumps,) but those said otherwise.

    Attributes
    ----------
    ion, origin, destination : ndarray of int
        Which ion went from which site to which.
    image : ndarray of int, shape (n_jumps, 3)
        Lattice translation of the destination relative to the origin.
    frame : ndarray of int
        Frame of arrival.
    transit : ndarray of int
        Frames between leaving and arriving.
    vectors_A : ndarray, shape (n_jumps, 3)
        From site to site, Cartesian, Å.
    last_frame : ndarray of int
        Number of frames of the trajectory the ion belongs to.
    n_ions : int
        Number of ions followed, those that never jumped included.
    """

    ion: Indices
    origin: Indices
    destination: Indices
    image: Indices
    frame: Indices
    transit: Indices
    vectors_A: Array
    last_frame: Indices
    n_ions: int

    def __len__(self) -> int:
        """Number of jumps."""
        return len(self.ion)


@dataclass(frozen=True)
class SiteRadii:
    """Radii of the two-radius state machine.

    Attributes
    ----------
    inner_A : float
        An ion arrives at a site when it comes this close, Å.
    outer_A : float
        It has left the site when it is farther away than this, Å; it has jumped once it arrives elsewhere.
    """

    inner_A: float
    outer_A: float

    def __post_init__(self) -> None:
        """Refuse radii that are not 0 < inner <= outer."""
        if not 0 < self.inner_A <= self.outer_A:
            raise InputError(f"site radii need 0 < inner ({self.inner_A} Å) <= outer ({self.outer_A} Å)")


def default_radii(sites: SiteSet) -> SiteRadii:
    """Choose radii that cannot overlap: half and 0.3 of the distance between neighbouring sites.

    Parameters
    ----------
    sites : SiteSet
        Sites; split positions should have been merged, or they set the scale.

    Returns
    -------
    SiteRadii
        From the tenth percentile of the nearest-neighbour distances, at most 1.0 and 1.6 Å.
    """
    nearest = float(np.quantile(sites.nearest_neighbour_distances_A, 0.1))
    return SiteRadii(min(1.0, 0.3 * nearest), min(1.6, 0.5 * nearest))


def unwrap_fractional(fractional: Array) -> Array:
    """Follow ions across cell boundaries by minimum-image steps between frames.

    Parameters
    ----------
    fractional : ndarray, shape (n_frames, n_ions, 3)
        Fractional positions, wrapped or not.

    Returns
    -------
    ndarray, shape (n_frames, n_ions, 3)
        Continuous, starting where the ions were in the first frame.
    """
    hops = np.cumsum(np.round(np.diff(fractional, axis=0)), axis=0)
    unwrapped = np.array(fractional, dtype=float)
    unwrapped[1:] -= hops
    return unwrapped


def find_visits(
    fractional: Array,
    sites: SiteSet,
    radii: SiteRadii,
    *,
    minimum_residence_frames: int = 1,
) -> tuple[Visits, NearestSites]:
    """Turn positions into visits: in at the inner radius, gone only when it arrives at another site.

    An ion that leaves the inner or the outer sphere and comes back without having arrived anywhere else has
    not jumped (recrossing). Visits shorter than the minimal residence are passages and are taken out, and the
    visits to one site before and after them become one.

    Parameters
    ----------
    fractional : ndarray, shape (n_frames, n_ions, 3)
        Fractional positions in the cell of the sites, aligned with the framework, wrapped or not.
    sites : SiteSet
        Sites.
    radii : SiteRadii
        Inner and outer radius.
    minimum_residence_frames : int
        Least number of frames from arrival to the last frame in the inner sphere.

    Returns
    -------
    visits : Visits
        Ordered by ion and time.
    nearest : NearestSites
        Nearest site of every position within the outer radius, shape (n_frames, n_ions).
    """
    unwrapped = unwrap_fractional(fractional)
    n_frames, n_ions = unwrapped.shape[:2]
    nearest = nearest_sites(unwrapped, sites, maximum_distance_A=radii.outer_A)
    by_ion = NearestSites(
        nearest.site.T.ravel(), nearest.distance_A.T.ravel(), nearest.image.transpose(1, 0, 2).reshape(-1, 3)
    )
    key = _site_keys(by_ion, len(sites))
    first, last = _core_visits(key, by_ion.distance_A < radii.inner_A, n_frames, minimum_residence_frames)
    ion = first // n_frames
    same_as_next = np.append(ion[1:] == ion[:-1], False) if len(ion) else np.zeros(0, dtype=bool)
    follows = np.append(False, same_as_next[:-1]) if len(ion) else same_as_next
    horizon = np.where(same_as_next, np.append(first[1:], 0), (ion + 1) * n_frames)
    end = _last_at_site(key, first, last, horizon) + 1
    start = first - ion * n_frames
    visits = Visits(
        ion=ion,
        site=by_ion.site[first],
        image=by_ion.image[first],
        start=start,
        end=end - ion * n_frames,
        truncated_start=~follows,
        truncated_end=~same_as_next,
        last_frame=np.full(len(ion), n_frames, dtype=np.int64),
        n_ions=n_ions,
    )
    return visits, nearest


def _site_keys(nearest: NearestSites, n_sites: int) -> Indices:
    """One integer for each (site, image), -1 where there is none."""
    image = nearest.image - nearest.image.min(axis=0, initial=0)
    span = image.max(axis=0, initial=0) + 1
    key = ((image[:, 0] * span[1] + image[:, 1]) * span[2] + image[:, 2]) * n_sites + nearest.site
    return np.where(nearest.site < 0, -1, key)


def _core_visits(
    key: Indices, core: NDArray[np.bool_], n_frames: int, minimum_frames: int
) -> tuple[Indices, Indices]:
    """First and last core frame of every visit, as flat indices (ion-major)."""
    events = np.flatnonzero(core)
    first = last = events
    while len(first):
        ion, site = first // n_frames, key[first]
        begins = np.append(True, (ion[1:] != ion[:-1]) | (site[1:] != site[:-1]))
        starts = np.flatnonzero(begins)
        first, last = first[starts], last[np.append(starts[1:], len(last)) - 1]
        keep = last - first + 1 >= minimum_frames
        if keep.all():
            break
        first, last = first[keep], last[keep]
    return first, last


def _last_at_site(key: Indices, first: Indices, last: Indices, horizon: Indices) -> Indices:
    """Last frame within the outer radius of the site before the next visit (or the end) begins."""
    frames = np.flatnonzero(key >= 0)
    visit = np.searchsorted(first, frames, side="right") - 1
    valid = visit >= 0
    frames, visit = frames[valid], visit[valid]
    at_site = (frames < horizon[visit]) & (key[frames] == key[first[visit]])
    end = last.copy()
    np.maximum.at(end, visit[at_site], frames[at_site])
    return end


def pool_visits(visits: Sequence[Visits]) -> Visits:
    """Join the visits of replicas that share one set of sites.

    Parameters
    ----------
    visits : sequence of Visits
        One per trajectory.

    Returns
    -------
    Visits
        Ions are numbered on from one replica to the next.
    """
    offsets = np.cumsum([0, *(part.n_ions for part in visits)])
    moved = [replace(part, ion=part.ion + offset) for part, offset in zip(visits, offsets, strict=False)]
    names = ("ion", "site", "image", "start", "end", "truncated_start", "truncated_end", "last_frame")
    joined = {name: np.concatenate([getattr(part, name) for part in moved]) for name in names}
    return Visits(**joined, n_ions=int(offsets[-1]))


def jumps_between(visits: Visits, sites: SiteSet) -> Jumps:
    """List the jumps: every two consecutive visits of one ion.

    Parameters
    ----------
    visits : Visits
        Ordered by ion and time.
    sites : SiteSet
        The sites that were visited.

    Returns
    -------
    Jumps
        Ordered by ion and time.
    """
    before = np.flatnonzero(visits.ion[1:] == visits.ion[:-1])
    after = before + 1
    image = visits.image[after] - visits.image[before]
    origin, destination = visits.site[before], visits.site[after]
    vectors = (sites.fractional[destination] + image - sites.fractional[origin]) @ sites.cell_A
    return Jumps(
        ion=visits.ion[before],
        origin=origin,
        destination=destination,
        image=image,
        frame=visits.start[after],
        transit=visits.start[after] - visits.end[before],
        vectors_A=vectors,
        last_frame=visits.last_frame[before],
        n_ions=visits.n_ions,
    )


def jump_matrix(jumps: Jumps, n_sites: int) -> Indices:
    """Count the jumps from every site to every other.

    Parameters
    ----------
    jumps : Jumps
        Jumps.
    n_sites : int
        Number of sites.

    Returns
    -------
    ndarray of int, shape (n_sites, n_sites)
        Row: origin, column: destination.
    """
    flat = np.bincount(jumps.origin * n_sites + jumps.destination, minlength=n_sites * n_sites)
    return flat.reshape(n_sites, n_sites)


def site_occupancies(visits: Visits, n_sites: int, total_frames: int) -> Array:
    """Give the mean number of ions at every site.

    Parameters
    ----------
    visits : Visits
        Visits of one or several pooled trajectories.
    n_sites : int
        Number of sites.
    total_frames : int
        Frames of all trajectories together.

    Returns
    -------
    ndarray, shape (n_sites,)
        Their sum falls short of the number of ions by what is in transit.
    """
    return np.bincount(visits.site, weights=visits.durations, minlength=n_sites) / total_frames
