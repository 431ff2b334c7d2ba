"""From trajectories to sites, jumps and their network in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.density import (
    DensityGrid,
    aligned_fractional_positions,
    probability_density,
    smooth,
)
from sse_screen.transport.displacements import common_time_step, continuous_pieces, split_species
from sse_screen.transport.jumps import (
    Jumps,
    SiteRadii,
    Visits,
    default_radii,
    find_visits,
    jumps_between,
    pool_visits,
)
from sse_screen.transport.network import JumpNetwork, jump_network
from sse_screen.transport.site_volumes import AccessibleVolumes, accessible_site_volumes
from sse_screen.transport.sites import (
    SiteSet,
    host_sites,
    interstitial_sites,
    merge_close_sites,
    name_by_symmetry,
    origin_shift,
    shifted,
    supercell_matrix,
    tile_sites,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SiteOptions:
    """Choices of a site analysis; the defaults suit ions that hop 2 to 4 Å.

    Attributes
    ----------
    spacing_A : float
        Largest spacing of the density's grid, Å.
    smoothing_A : float
        Width of the Gaussian that smooths the density in which sites and paths are looked for, Å.
    merge_distance_A : float
        Sites of the structure closer than this are split positions of one, Å.
    interstitial_distance_A : float
        Peaks of the density farther than this from every site are sites of their own, Å.
    minimum_occupancy : float
        Least mean number of ions at such a peak.
    radii : SiteRadii, optional
        Radii of the state machine; from the distances between sites if left out.
    minimum_residence_ps : float
        Shorter visits are passages, ps.
    symprec_A : float
        Tolerance of the symmetry search in the structure, Å.
    """

    spacing_A: float = 0.2
    smoothing_A: float = 0.25
    merge_distance_A: float = 1.0
    interstitial_distance_A: float = 1.0
    minimum_occupancy: float = 0.01
    radii: SiteRadii | None = None
    minimum_residence_ps: float = 0.0
    symprec_A: float = 0.05


class Framework(NamedTuple):
    """Mean positions of the framework.

    Attributes
    ----------
    fractional : ndarray, shape (n_framework, 3)
        Mean fractional positions.
    species : tuple of str
        Symbols.
    """

    fractional: Array
    species: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SiteAnalysis:
    """Sites, visits and jumps of one or several trajectories of one cell.

    Attributes
    ----------
    sites : SiteSet
        In the mean cell of the trajectories.
    density : DensityGrid
        Probability density of the mobile ions, not smoothed.
    smooth_density : DensityGrid
        The same, smoothed.
    smoothing_A : float
        By a Gaussian of this width, Å.
    visits : Visits
        Pooled over the trajectories.
    jumps : Jumps
        Pooled over the trajectories.
    network : JumpNetwork
        Their network.
    accessible : AccessibleVolumes
        Hulls of the positions at each site, over the trajectories the largest.
    framework : Framework
        Mean framework; empty where all atoms are mobile.
    radii : SiteRadii
        Radii that were used.
    time_step_ps : float
        Time between frames, ps.
    n_frames : int
        Frames of all trajectories together.
    n_ions : int
        Mobile ions in the cell.
    species : tuple of str
        Symbols of all atoms of the cell.
    n_trajectories : int
        Trajectories that were given; gaps and restarts divide them into more pieces.
    warnings : tuple of str
        What may make the numbers worth less.
    """

    sites: SiteSet
    density: DensityGrid
    smooth_density: DensityGrid
    smoothing_A: float
    visits: Visits
    jumps: Jumps
    network: JumpNetwork
    accessible: AccessibleVolumes
    framework: Framework
    radii: SiteRadii
    time_step_ps: float
    n_frames: int
    n_ions: int
    species: tuple[str, ...]
    n_trajectories: int = 1
    warnings: tuple[str, ...] = field(default=())

    @property
    def time_at_sites(self) -> float:
        """Share of the time of all ions that they are at a site, not on the way between two."""
        return _time_at_sites(self.visits, self.n_frames * self.n_ions)


def analyse_sites(
    trajectories: Sequence[Trajectory],
    mobile_ion: str,
    *,
    structure: Structure | None = None,
    framework_species: Sequence[str] | None = None,
    options: SiteOptions | None = None,
) -> SiteAnalysis:
    """Find the sites of the mobile ion and its jumps between them.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of one cell, with the atoms in the same order.
    mobile_ion : str
        Element symbol.
    structure : pymatgen Structure, optional
        Crystal of which the cell is a supercell, best the disordered parent; without it all sites are peaks
        of the density.
    framework_species : sequence of str, optional
        Species whose drift is removed; all others than the mobile ion if left out.
    options : SiteOptions, optional
        Choices.

    Returns
    -------
    SiteAnalysis
        Everything that documents, tables and figures need.

    Raises
    ------
    InputError
        If the trajectories do not belong together, or no site is found.
    """
    options = options or SiteOptions()
    step_ps = common_time_step(trajectories)
    pieces = [
        piece
        for trajectory in trajectories
        for piece in continuous_pieces(trajectory, mobile_ion, framework_species)
    ]
    cell, mobile, framework = _aligned(pieces, mobile_ion, framework_species)
    pooled = np.concatenate(mobile)
    sites, warnings = _sites(pooled, cell, framework, structure, mobile_ion, options)
    if not len(sites):
        raise InputError(f"no site of {mobile_ion} found: the density has no peak; lower minimum_occupancy")
    density = probability_density(pooled, cell, spacing_A=options.spacing_A)
    radii = options.radii or default_radii(sites)
    minimum_frames = max(1, round(options.minimum_residence_ps / step_ps))
    found = [find_visits(part, sites, radii, minimum_residence_frames=minimum_frames) for part in mobile]
    volumes = [
        accessible_site_volumes(part, visits, nearest, sites)
        for part, (visits, nearest) in zip(mobile, found, strict=True)
    ]
    visits = pool_visits([visits for visits, _ in found])
    jumps = jumps_between(visits, sites)
    return SiteAnalysis(
        sites=sites,
        density=density,
        smooth_density=smooth(density, options.smoothing_A),
        smoothing_A=options.smoothing_A,
        visits=visits,
        jumps=jumps,
        network=jump_network(jumps, len(sites)),
        accessible=AccessibleVolumes(
            np.max([part.volumes_A3 for part in volumes], axis=0),
            np.sum([part.n_positions for part in volumes], axis=0),
        ),
        framework=framework,
        radii=radii,
        time_step_ps=step_ps,
        n_frames=len(pooled),
        n_ions=pooled.shape[1],
        species=pieces[0].species,
        n_trajectories=len(trajectories),
        warnings=(
            *_notes(trajectories, len(pieces)),
            *([] if framework.species else ["no framework: a melt cannot be told from a crystal"]),
            *warnings,
            *_frame_warnings(visits, pooled.shape[0] * pooled.shape[1]),
        ),
    )


def _notes(trajectories: Sequence[Trajectory], n_pieces: int) -> list[str]:
    """Return what the readers found, and whether the runs break off within."""
    notes = [note for trajectory in trajectories for note in trajectory.notes]
    if n_pieces > len(trajectories):
        notes.append(
            f"gaps or restarts divide the runs into {n_pieces} pieces; no jump is counted across them"
        )
    return notes


def _aligned(
    trajectories: Sequence[Trajectory], mobile_ion: str, framework_species: Sequence[str] | None
) -> tuple[Array, list[Array], Framework]:
    """Mean cell, mobile fractions of each trajectory in the frame of the first, mean framework."""
    first = trajectories[0]
    moving, fixed = split_species(first, mobile_ion, framework_species)
    cell = np.mean([np.mean(part.cells, axis=0) for part in trajectories], axis=0)
    aligned: list[Array] = []
    reference = np.zeros((len(fixed), 3))
    for number, part in enumerate(trajectories):
        if part.species != first.species:
            raise InputError("the trajectories hold different atoms or another order of atoms")
        mobile = aligned_fractional_positions(part.positions, part.cells, moving, fixed)
        if len(fixed):
            frame = aligned_fractional_positions(part.positions, part.cells, fixed, fixed)
            offsets = frame - frame[0]
            mean = frame[0] + np.mean(offsets - np.round(offsets), axis=0)
            if number == 0:
                reference = mean
            shift = mean - reference
            mobile = mobile - np.mean(shift - np.round(shift), axis=0)
        aligned.append(mobile)
    return cell, aligned, Framework(reference, tuple(first.species[k] for k in fixed))


def _sites(
    fractional: Array,
    cell: Array,
    framework: Framework,
    structure: Structure | None,
    mobile_ion: str,
    options: SiteOptions,
) -> tuple[SiteSet, list[str]]:
    """Host sites of the structure with the interstitial ones that the ions were seen at."""
    if structure is None:
        return _peaks(fractional, cell, None, options), []
    matrix = supercell_matrix(np.array(structure.lattice.matrix), cell)
    shift = _shift(structure, framework, cell)
    host = host_sites(structure, mobile_ion, symprec_A=options.symprec_A)
    host = merge_close_sites(host, options.merge_distance_A)
    warnings = []
    if len(host.type_names) > max(6, len(host) // 4):
        warnings.append(
            f"the structure has {len(host.type_names)} symmetry-distinct sites; all are named 'host': give "
            "the disordered parent to have them told apart"
        )
        host = SiteSet(host.fractional, host.cell_A, ("host",) * len(host))
    # Folded into the cell of the structure, every copy of a place adds to the same peak.
    unit_cell = np.linalg.inv(matrix) @ cell
    folded = ((fractional - shift) @ matrix).reshape(len(fractional), -1, 3)
    extra = _peaks(
        folded,
        unit_cell,
        SiteSet(host.fractional, unit_cell, host.types),
        options,
        round(abs(np.linalg.det(matrix))),
    )
    if len(extra) and host.types[0] != "host":
        local = SiteSet(extra.fractional, np.array(structure.lattice.matrix), extra.types)
        extra = name_by_symmetry(local, structure, symprec_A=options.symprec_A)
    joined = SiteSet(np.concatenate([host.fractional, extra.fractional]), unit_cell, host.types + extra.types)
    return shifted(tile_sites(joined, cell), shift), warnings


def _peaks(
    fractional: Array, cell: Array, host: SiteSet | None, options: SiteOptions, copies: int = 1
) -> SiteSet:
    density = probability_density(fractional, cell, spacing_A=options.spacing_A, normalisation="number")
    return interstitial_sites(
        smooth(density, options.smoothing_A),
        host,
        minimum_distance_A=options.interstitial_distance_A,
        minimum_occupancy=options.minimum_occupancy * copies,
    )


def _shift(structure: Structure, framework: Framework, cell: Array) -> Array:
    """Where the trajectory's origin lies in the structure, by the most frequent framework species."""
    names = [
        name
        for name in dict.fromkeys(framework.species)
        if any(name in {species.symbol for species in site.species} for site in structure)
    ]
    if not names:
        return np.zeros(3)
    chosen = max(names, key=framework.species.count)
    atoms = [site.frac_coords for site in structure if chosen in {species.symbol for species in site.species}]
    unit = SiteSet(np.array(atoms), np.array(structure.lattice.matrix), (chosen,) * len(atoms))
    mine = framework.fractional[np.array(framework.species) == chosen]
    return origin_shift(mine, tile_sites(unit, cell).fractional, cell)


def _time_at_sites(visits: Visits, n_positions: int) -> float:
    return float(visits.durations.sum()) / n_positions


def _frame_warnings(visits: Visits, n_positions: int) -> list[str]:
    """Say when ions are mostly between sites or visits too short for the frames."""
    warnings = []
    at_sites = _time_at_sites(visits, n_positions)
    if at_sites < 0.8:
        warnings.append(f"ions are at a site only {at_sites:.0%} of the time: the sites do not describe them")
    whole = ~(visits.truncated_start | visits.truncated_end)
    brief = float(np.mean(visits.durations[whole] <= 1)) if whole.any() else 0.0
    if brief > 0.2:
        warnings.append(
            f"{brief:.0%} of the visits last a single frame: jumps are missed; store frames more often or "
            "ask for a minimal residence"
        )
    return warnings
