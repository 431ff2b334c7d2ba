"""Parts of the stored form of a site network, and how they come from an analysis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import BlobReference, Document, Quantity
from sse_screen.transport.density import share_above, volume_above
from sse_screen.transport.density_archive import StoredDensity, pack_density
from sse_screen.transport.jump_statistics import Estimate, jump_rates, poisson_interval, residence_times
from sse_screen.transport.jumps import site_occupancies
from sse_screen.transport.migration import isosurface_components, migration_paths, percolating_levels
from sse_screen.transport.network import network_components, percolation_thresholds
from sse_screen.transport.site_analysis import SiteAnalysis
from sse_screen.transport.site_volumes import ionic_radii, static_site_volumes

_NUMBER: JsonDict = {"unit": "1"}
_PICOSECONDS: JsonDict = {"unit": "ps"}
_ANGSTROM: JsonDict = {"unit": "angstrom"}
_VOLUME: JsonDict = {"unit": "angstrom^3"}
_DENSITY: JsonDict = {"unit": "angstrom^-3"}
_ENERGY: JsonDict = {"unit": "eV"}
_A2_PER_PS_IN_CM2_PER_S = 1e-4


class SiteTypeSummary(Document):
    """Sites that symmetry makes equal."""

    name: str = Field(description="Multiplicity and Wyckoff letter; i- for interstitial sites, or peak")
    n_sites: int = Field(description="Sites of this type in the cell", json_schema_extra=_NUMBER)
    occupancy: float = Field(description="Mean number of ions at a site", json_schema_extra=_NUMBER)
    residence_time: Quantity = Field(
        description="Mean time at a site, truncated visits included", json_schema_extra=_PICOSECONDS
    )
    median_residence_time_ps: float | None = Field(
        description="Median of the Kaplan-Meier curve; null when it stays above one half",
        json_schema_extra=_PICOSECONDS,
    )
    n_complete_visits: int = Field(description="Visits seen whole", json_schema_extra=_NUMBER)
    n_truncated_visits: int = Field(
        description="Visits cut by the start or end of a run", json_schema_extra=_NUMBER
    )
    accessible_volume_A3: float | None = Field(
        description="Mean hull of the positions visited at a site", json_schema_extra=_VOLUME
    )
    static_volume_A3: float | None = Field(
        description="Mean void that the framework's ions leave at a site", json_schema_extra=_VOLUME
    )


class SiteSummary(Document):
    """One site."""

    type: str = Field(description="Name of its type")
    fractional: list[float] = Field(description="Position in the mean cell", json_schema_extra=_NUMBER)
    occupancy: float = Field(description="Mean number of ions", json_schema_extra=_NUMBER)
    accessible_volume_A3: float = Field(
        description="Hull of the positions visited", json_schema_extra=_VOLUME
    )


class JumpRateSummary(Document):
    """Jumps from one type of site to another."""

    origin: str = Field(description="Type of site left")
    destination: str = Field(description="Type of site reached")
    count: int = Field(description="Jumps seen", json_schema_extra=_NUMBER)
    exposure_ps: float = Field(
        description="Time of all ions at the origin's type", json_schema_extra=_PICOSECONDS
    )
    rate: Quantity = Field(
        description="Jumps per ion and time at the origin, exact Poisson interval",
        json_schema_extra={"unit": "1/ps"},
    )
    mean_length_A: float | None = Field(description="From site to site", json_schema_extra=_ANGSTROM)


class JumpEdge(Document):
    """Jumps between two sites in one periodic image."""

    origin: int = Field(description="Index of the one site", json_schema_extra=_NUMBER)
    destination: int = Field(description="Index of the other site", json_schema_extra=_NUMBER)
    image: list[int] = Field(description="Lattice translation of the destination", json_schema_extra=_NUMBER)
    forward: int = Field(description="Jumps from origin to destination", json_schema_extra=_NUMBER)
    backward: int = Field(description="Jumps back", json_schema_extra=_NUMBER)


class Percolation(Document):
    """Directions in which something connects through the crystal."""

    dimension: int = Field(description="Number of independent directions, 0 to 3", json_schema_extra=_NUMBER)
    windings: list[list[int]] = Field(
        description="Lattice translations that span them", json_schema_extra=_NUMBER
    )
    along_a: bool = Field(description="Percolates along the first lattice vector alone")
    along_b: bool = Field(description="Percolates along the second lattice vector alone")
    along_c: bool = Field(description="Percolates along the third lattice vector alone")
    thresholds: list[float] = Field(
        description="For one, two, three directions: the most that every step can be asked to carry"
    )


class SuperbasinSummary(Document):
    """Sites among which ions jump far more often than they leave them."""

    sites: list[int] = Field(description="Indices of its sites", json_schema_extra=_NUMBER)
    internal_jumps: int = Field(description="Jumps inside", json_schema_extra=_NUMBER)
    escapes: int = Field(description="Jumps out of it", json_schema_extra=_NUMBER)


class MigrationBarrier(Document):
    """Paths along the density between two types of sites."""

    origin: str = Field(description="Type of the one site")
    destination: str = Field(description="Type of the other site")
    n_paths: int = Field(description="Paths in the cell", json_schema_extra=_NUMBER)
    lowest_barrier_eV: float = Field(
        description="Least free energy of a saddle above the origin", json_schema_extra=_ENERGY
    )
    mean_barrier_eV: float = Field(description="Mean over the paths", json_schema_extra=_ENERGY)
    mean_length_A: float = Field(description="Mean length of the paths", json_schema_extra=_ANGSTROM)
    mean_saddle_counts: float = Field(
        description="Mean visits of the saddle; below ten the barrier is of little worth",
        json_schema_extra=_NUMBER,
    )


class DensitySummary(Document):
    """Probability density of the mobile ion, normalised to one."""

    grid: list[int] = Field(description="Points along the lattice vectors", json_schema_extra=_NUMBER)
    maximum_per_A3: float = Field(description="Highest value", json_schema_extra=_DENSITY)
    isosurface_per_A3: float = Field(description="Level of the isosurface", json_schema_extra=_DENSITY)
    isosurface_share: float = Field(
        description="Share of the ions inside it, their mean over time", json_schema_extra=_NUMBER
    )
    isosurface_volume_A3: float = Field(description="Volume inside it", json_schema_extra=_VOLUME)
    isosurface: Percolation = Field(
        description="Where it percolates; thresholds are the highest levels in Å^-3 that do"
    )
    values: BlobReference | None = Field(
        None, description="Visits of every voxel and the mean framework; read by unpack_density"
    )


def quantity_of(estimate: Estimate, unit: str, confidence: float, reason: str) -> Quantity:
    """Give the stored form of an estimate; infinite ends become null.

    Parameters
    ----------
    estimate : Estimate
        Value and interval.
    unit : str
        Unit of both.
    confidence : float
        Of the intervals.
    reason : str
        Why there is no value, where there is none.

    Returns
    -------
    Quantity
        Unresolved where there is no value.
    """
    return Quantity(
        value=estimate.value,
        lower=estimate.lower if np.isfinite(estimate.lower) else None,
        upper=estimate.upper if np.isfinite(estimate.upper) else None,
        unit=unit,
        confidence=confidence,
        verdict="unresolved" if estimate.value is None else "ok",
        reasons=[reason] if estimate.value is None else [],
    )


def site_type_summaries(
    analysis: SiteAnalysis, radii_A: Mapping[str, float] | None, confidence: float
) -> list[SiteTypeSummary]:
    """Summarise the sites by type.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.
    radii_A : mapping of str to float, optional
        Radii of the framework's ions; Shannon's if left out.
    confidence : float
        Of the intervals.

    Returns
    -------
    list of SiteTypeSummary
        In order of the types.
    """
    sites, visits = analysis.sites, analysis.visits
    occupancies = site_occupancies(visits, len(sites), analysis.n_frames)
    species = analysis.framework.species
    radii = dict(radii_A) if radii_A is not None else ionic_radii(species)
    static = None
    if species and set(species) <= set(radii):
        static = static_site_volumes(sites, analysis.framework.fractional, species, radii, spacing_A=0.2)
    summaries = []
    for number, name in enumerate(sites.type_names):
        members = sites.type_indices == number
        residence = residence_times(visits, members[visits.site], analysis.time_step_ps, confidence)
        visited = members & (analysis.accessible.n_positions > 0)
        hulls = analysis.accessible.volumes_A3[visited]
        summaries.append(
            SiteTypeSummary(
                name=name,
                n_sites=int(members.sum()),
                occupancy=float(occupancies[members].mean()),
                residence_time=quantity_of(residence.mean_ps, "ps", confidence, "no departure was seen"),
                median_residence_time_ps=residence.median_ps,
                n_complete_visits=residence.n_complete,
                n_truncated_visits=residence.n_truncated,
                accessible_volume_A3=float(hulls.mean()) if len(hulls) else None,
                static_volume_A3=None if static is None else float(static[members].mean()),
            )
        )
    return summaries


def site_summaries(analysis: SiteAnalysis) -> list[SiteSummary]:
    """Summarise every site.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.

    Returns
    -------
    list of SiteSummary
        In order of the sites.
    """
    occupancies = site_occupancies(analysis.visits, len(analysis.sites), analysis.n_frames)
    return [
        SiteSummary(
            type=name,
            fractional=[round(float(x), 6) for x in analysis.sites.fractional[k] % 1.0],
            occupancy=float(occupancies[k]),
            accessible_volume_A3=float(analysis.accessible.volumes_A3[k]),
        )
        for k, name in enumerate(analysis.sites.types)
    ]


def rate_summaries(analysis: SiteAnalysis, confidence: float) -> list[JumpRateSummary]:
    """Summarise the jumps between types of sites.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.
    confidence : float
        Of the intervals.

    Returns
    -------
    list of JumpRateSummary
        All pairs of types; upper limits where no jump was seen.
    """
    names = analysis.sites.type_names
    found = jump_rates(
        analysis.jumps, analysis.visits, analysis.sites.type_indices, analysis.time_step_ps, confidence
    )
    return [
        JumpRateSummary(
            origin=names[rate.origin],
            destination=names[rate.destination],
            count=rate.count,
            exposure_ps=rate.exposure_ps,
            rate=rate_quantity(rate.rate_per_ps, confidence),
            mean_length_A=rate.mean_length_A,
        )
        for rate in found
    ]


def rate_quantity(rate_per_ps: Estimate, confidence: float) -> Quantity:
    """Give the stored form of a rate of jumps.

    Parameters
    ----------
    rate_per_ps : Estimate
        Jumps per ion and ps at the origin.
    confidence : float
        Of the interval.

    Returns
    -------
    Quantity
        An upper limit where no jump was seen, unresolved where no ion was at the origin.
    """
    if rate_per_ps.value == 0:
        return Quantity(
            lower=0.0,
            upper=rate_per_ps.upper,
            unit="1/ps",
            confidence=confidence,
            verdict="upper_limit",
            reasons=["no such jump was seen"],
        )
    return quantity_of(rate_per_ps, "1/ps", confidence, "no ion was at such a site")


def jump_edges(analysis: SiteAnalysis) -> list[JumpEdge]:
    """List the edges of the jump network.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.

    Returns
    -------
    list of JumpEdge
        Edges with at least one jump.
    """
    network = analysis.network
    columns = (network.origin, network.destination, network.image, network.forward, network.backward)
    return [
        JumpEdge(origin=i, destination=j, image=image, forward=forward, backward=backward)
        for i, j, image, forward, backward in zip(*(column.tolist() for column in columns), strict=True)
    ]


def random_walk_diffusivity(analysis: SiteAnalysis, confidence: float) -> Quantity:
    """Compute Σ u² / (6 N t) with the Poisson interval of the number of jumps.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.
    confidence : float
        Of the intervals.

    Returns
    -------
    Quantity
        In cm²/s; an upper limit without any jump.
    """
    jumps = analysis.jumps
    exposure = 6 * analysis.n_ions * analysis.n_frames * analysis.time_step_ps
    squared = float(np.sum(jumps.vectors_A**2)) / exposure * _A2_PER_PS_IN_CM2_PER_S
    lower, upper = poisson_interval(len(jumps), confidence)
    if not len(jumps):
        nearest = float(np.median(analysis.sites.nearest_neighbour_distances_A))
        limit = upper * nearest**2 / exposure * _A2_PER_PS_IN_CM2_PER_S
        return Quantity(
            lower=0.0,
            upper=limit,
            unit="cm2/s",
            confidence=confidence,
            verdict="upper_limit",
            reasons=["no jump was seen; the limit is that of jumps between nearest sites"],
        )
    share = squared / len(jumps)
    return Quantity(
        value=squared, lower=lower * share, upper=upper * share, unit="cm2/s", confidence=confidence
    )


def network_percolation(analysis: SiteAnalysis) -> Percolation:
    """Say where the jump network percolates.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.

    Returns
    -------
    Percolation
        Of its component of highest dimension.
    """
    best = network_components(analysis.network)[0]
    thresholds = percolation_thresholds(analysis.network, analysis.network.counts.astype(float))
    return _percolation(best.windings.tolist(), best.axes, thresholds)


def _percolation(
    windings: list[list[int]], axes: tuple[bool, bool, bool], thresholds: dict[int, float]
) -> Percolation:
    return Percolation(
        dimension=len(windings),
        windings=windings,
        along_a=axes[0],
        along_b=axes[1],
        along_c=axes[2],
        thresholds=[thresholds[dimension] for dimension in sorted(thresholds)],
    )


def packed_density(analysis: SiteAnalysis) -> bytes:
    """Pack the density and the mean framework for a blob store.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.

    Returns
    -------
    bytes
        Equal for equal analyses.
    """
    framework = analysis.framework
    return pack_density(
        StoredDensity(analysis.density, analysis.smoothing_A, framework.fractional % 1.0, framework.species)
    )


def density_summary(
    analysis: SiteAnalysis, level_per_A3: float, values: BlobReference | None = None
) -> DensitySummary:
    """Summarise the smoothed density.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.
    level_per_A3 : float
        Level of the isosurface, Å^-3.
    values : BlobReference, optional
        Where all of it is stored.

    Returns
    -------
    DensitySummary
        With the directions in which the isosurface percolates.
    """
    density = analysis.smooth_density
    parts = isosurface_components(density, level_per_A3)
    best = parts[0] if parts else None
    return DensitySummary(
        grid=list(density.shape),
        maximum_per_A3=float(density.values_per_A3.max()),
        isosurface_per_A3=level_per_A3,
        isosurface_share=share_above(density, level_per_A3),
        isosurface_volume_A3=volume_above(density, level_per_A3),
        isosurface=_percolation(
            best.windings.tolist() if best else [],
            best.axes if best else (False, False, False),
            percolating_levels(density),
        ),
        values=values,
    )


def migration_barriers(analysis: SiteAnalysis, temperature_K: float) -> list[MigrationBarrier]:
    """Gather the paths along the density by types of sites.

    Parameters
    ----------
    analysis : SiteAnalysis
        Sites and jumps.
    temperature_K : float
        Temperature.

    Returns
    -------
    list of MigrationBarrier
        Lowest first.
    """
    types = analysis.sites.types
    kinds: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for path in migration_paths(analysis.smooth_density, analysis.sites, temperature_K):
        ends = types[path.origin], types[path.destination]
        both = [(ends, path.barrier_eV), (ends[::-1], path.reverse_barrier_eV)]
        for kind, barrier in both if ends[0] != ends[1] else both[:1]:
            kinds.setdefault(kind, []).append((barrier, path.length_A, path.saddle_counts))
    found = []
    for (origin, destination), values in kinds.items():
        barriers, lengths, counts = np.array(values).T
        found.append(
            MigrationBarrier(
                origin=origin,
                destination=destination,
                n_paths=len(values),
                lowest_barrier_eV=float(barriers.min()),
                mean_barrier_eV=float(barriers.mean()),
                mean_length_A=float(lengths.mean()),
                mean_saddle_counts=float(counts.mean()),
            )
        )
    return sorted(found, key=lambda kind: kind.lowest_barrier_eV)
