"""Sites of the mobile ion: from the structure, from the density, with their Wyckoff names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from sse_screen.exceptions import InputError
from sse_screen.transport.density import (
    DensityGrid,
    density_peaks,
    minimum_image_distances,
    minimum_image_vectors,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SiteSet:
    """Sites of the mobile ion in a periodic cell.

    Attributes
    ----------
    fractional : ndarray, shape (n_sites, 3)
        Fractional positions.
    cell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.
    types : tuple of str
        Name of each site's type, the same for sites that symmetry makes equal: ``24d``, ``96h``, ``i-48g``
        (``i-`` for interstitial sites found in the density), ``peak`` without any symmetry.
    """

    fractional: Array
    cell_A: Array
    types: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse sites without a type."""
        if self.fractional.shape != (len(self.types), 3):
            raise InputError(f"{self.fractional.shape} fractional positions for {len(self.types)} site types")

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.types)

    @property
    def type_names(self) -> tuple[str, ...]:
        """Distinct types in order of appearance."""
        return tuple(dict.fromkeys(self.types))

    @property
    def type_indices(self) -> Indices:
        """Index into `type_names` of every site, shape (n_sites,)."""
        return np.array([self.type_names.index(name) for name in self.types], dtype=np.int64)

    @property
    def nearest_neighbour_distances_A(self) -> Array:
        """Distance of every site to the nearest other site or own image, shape (n_sites,)."""
        tree, _, _ = _image_tree(self, float(np.linalg.norm(self.cell_A, axis=1).min()) + 1e-6)
        distances, _ = tree.query((self.fractional % 1.0) @ self.cell_A, k=2)
        return np.asarray(distances[:, 1])

    def join(self, other: SiteSet) -> SiteSet:
        """Add the sites of another set in the same cell."""
        return SiteSet(
            np.concatenate([self.fractional, other.fractional]), self.cell_A, self.types + other.types
        )


class NearestSites(NamedTuple):
    """Nearest site of many positions.

    Attributes
    ----------
    site : ndarray of int, shape (...)
        Index of the site, -1 where none is in reach.
    distance_A : ndarray, shape (...)
        Distance to it, inf where none is in reach.
    image : ndarray of int, shape (..., 3)
        Lattice translation of the site that the position is nearest to.
    """

    site: Indices
    distance_A: Array
    image: Indices


def _image_tree(sites: SiteSet, radius_A: float) -> tuple[Any, Indices, Indices]:
    """Build a tree of all site images within a radius of the cell, with their sites and translations."""
    padding = radius_A * np.linalg.norm(np.linalg.inv(sites.cell_A), axis=0)
    wrap = np.floor(sites.fractional)
    axes = [np.arange(-n, n + 1) for n in np.ceil(padding).astype(int)]
    shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    images = (sites.fractional - wrap)[:, None] + shifts
    inside = np.all((images >= -padding) & (images <= 1 + padding), axis=-1)
    site, shift = np.nonzero(inside)
    translations = (shifts[shift] - wrap[site]).astype(np.int64)
    return cKDTree(images[inside] @ sites.cell_A), site, translations


def nearest_sites(fractional: Array, sites: SiteSet, *, maximum_distance_A: float = 3.0) -> NearestSites:
    """Find the nearest site of every position in any periodic cell, by a k-d tree of site images.

    Parameters
    ----------
    fractional : ndarray, shape (..., 3)
        Fractional positions in the cell of the sites, wrapped or not.
    sites : SiteSet
        Sites.
    maximum_distance_A : float
        Positions farther than this from every site belong to none, Å.

    Returns
    -------
    NearestSites
        Sites, distances and images with the leading shape of `fractional`.
    """
    tree, site_of, translation_of = _image_tree(sites, maximum_distance_A)
    floors = np.floor(fractional)
    points = ((fractional - floors) @ sites.cell_A).reshape(-1, 3)
    distance, found = tree.query(points, distance_upper_bound=maximum_distance_A)
    missing = found == len(site_of)
    found = np.where(missing, 0, found)
    site = np.where(missing, -1, site_of[found])
    image = translation_of[found] + floors.reshape(-1, 3).astype(np.int64)
    shape = fractional.shape[:-1]
    return NearestSites(site.reshape(shape), distance.reshape(shape), image.reshape(*shape, 3))


class _Symmetry(NamedTuple):
    rotations: NDArray[np.int64]
    translations: Array
    wyckoffs: list[str]
    orbits: Indices
    conventional_ratio: float


def _spglib_cell(structure: Structure) -> tuple[Any, Any, list[int]]:
    kinds = [str(site.species) for site in structure]
    numbers = [list(dict.fromkeys(kinds)).index(kind) + 1 for kind in kinds]
    return np.array(structure.lattice.matrix), np.array(structure.frac_coords), numbers


def _symmetry(cell: tuple[Any, Any, list[int]], symprec_A: float) -> _Symmetry:
    import spglib

    dataset = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    if dataset is None:
        raise InputError(f"no space group found within {symprec_A} Å; are two atoms on the same position?")
    ratio = abs(np.linalg.det(dataset.std_lattice)) / abs(np.linalg.det(cell[0]))
    return _Symmetry(
        np.array(dataset.rotations),
        np.array(dataset.translations),
        list(dataset.wyckoffs),
        np.array(dataset.crystallographic_orbits),
        ratio,
    )


def _type_names(names: list[str]) -> list[str]:
    """Number the orbits that share a Wyckoff position: 4c, 4c -> 4c.1, 4c.2."""
    repeated = {name for name in names if names.count(name) > 1}
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(f"{name}.{seen[name]}" if name in repeated else name)
    return result


def host_sites(structure: Structure, mobile_ion: str, *, symprec_A: float = 0.01) -> SiteSet:
    """Take the sites of the mobile ion from a structure, full or partial, named by Wyckoff position.

    Parameters
    ----------
    structure : pymatgen Structure
        Crystal, best the disordered parent whose symmetry is that of the time average.
    mobile_ion : str
        Element symbol.
    symprec_A : float
        Tolerance of the symmetry search, Å.

    Returns
    -------
    SiteSet
        In the cell of the structure; a type is multiplicity (of the conventional cell) and Wyckoff letter.

    Raises
    ------
    InputError
        If the structure has no such ion.
    """
    chosen = [
        k for k, site in enumerate(structure) if mobile_ion in {species.symbol for species in site.species}
    ]
    if not chosen:
        raise InputError(f"{structure.composition.reduced_formula} has no {mobile_ion}")
    symmetry = _symmetry(_spglib_cell(structure), symprec_A)
    orbits = list(dict.fromkeys(int(symmetry.orbits[k]) for k in chosen))
    names = []
    for orbit in orbits:
        count = float(np.count_nonzero(symmetry.orbits == orbit)) * symmetry.conventional_ratio
        names.append(f"{round(count)}{symmetry.wyckoffs[orbit]}")
    name_of = dict(zip(orbits, _type_names(names), strict=True))
    return SiteSet(
        np.array(structure.frac_coords)[chosen],
        np.array(structure.lattice.matrix),
        tuple(name_of[int(symmetry.orbits[k])] for k in chosen),
    )


def merge_close_sites(sites: SiteSet, distance_A: float) -> SiteSet:
    """Replace sites closer than a distance (split positions) by their centre.

    Parameters
    ----------
    sites : SiteSet
        Sites.
    distance_A : float
        Sites linked by steps shorter than this become one, Å.

    Returns
    -------
    SiteSet
        A merged site is named after its parts, such as ``24d`` or ``2x96h``.
    """
    offsets = sites.fractional[None] - sites.fractional[:, None]
    near = minimum_image_distances(offsets, sites.cell_A) < distance_A
    _, label = connected_components(coo_array(near), directed=False)
    fractional, types = [], []
    for cluster in range(label.max() + 1):
        members = np.flatnonzero(label == cluster)
        steps = minimum_image_vectors(sites.fractional[members] - sites.fractional[members[0]], sites.cell_A)
        fractional.append(sites.fractional[members[0]] + steps.mean(axis=0) @ np.linalg.inv(sites.cell_A))
        names = [sites.types[k] for k in members]
        parts = {name: names.count(name) for name in sorted(set(names))}
        types.append("+".join(name if count == 1 else f"{count}x{name}" for name, count in parts.items()))
    return SiteSet(np.array(fractional), sites.cell_A, tuple(types))


def supercell_matrix(cell_A: Array, supercell_A: Array, *, tolerance: float = 0.05) -> NDArray[np.int64]:
    """Find the integer matrix that makes a supercell from a cell, up to strain and a common rotation.

    Parameters
    ----------
    cell_A, supercell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.
    tolerance : float
        Largest strain allowed, as a fraction of the lengths.

    Returns
    -------
    ndarray of int, shape (3, 3)
        M with supercell ≈ M @ cell.

    Raises
    ------
    InputError
        If no integer matrix fits.
    """
    exact = supercell_A @ np.linalg.inv(cell_A)
    lengths, super_lengths = np.linalg.norm(cell_A, axis=1), np.linalg.norm(supercell_A, axis=1)
    for trial in (exact, np.diag(super_lengths / lengths)):
        matrix = np.rint(trial).astype(np.int64)
        if abs(np.linalg.det(matrix)) < 0.5:
            continue
        built = matrix @ cell_A
        # Rotations leave the metric alone, so that cells set up in another orientation still match.
        metric, target = built @ built.T, supercell_A @ supercell_A.T
        scale = np.outer(super_lengths, super_lengths)
        if np.abs((metric - target) / scale).max() < 2 * tolerance:
            return matrix
    raise InputError(
        f"the trajectory's cell ({_lengths(supercell_A)} Å) is no supercell of the structure's "
        f"({_lengths(cell_A)} Å); give the structure that the run was made from"
    )


def _lengths(cell_A: Array) -> str:
    return " x ".join(f"{length:.3f}" for length in np.linalg.norm(cell_A, axis=1))


def tile_sites(sites: SiteSet, supercell_A: Array) -> SiteSet:
    """Repeat the sites of a unit cell over a supercell of it.

    Parameters
    ----------
    sites : SiteSet
        In the unit cell.
    supercell_A : ndarray, shape (3, 3)
        Lattice vectors of the supercell as rows, Å; strained as far as `supercell_matrix` allows.

    Returns
    -------
    SiteSet
        In the supercell, fractions in [0, 1).
    """
    matrix = supercell_matrix(sites.cell_A, supercell_A)
    count = round(abs(np.linalg.det(matrix)))
    corners = np.array(list(np.ndindex(2, 2, 2))) @ matrix
    axes = [np.arange(low, high + 1) for low, high in zip(corners.min(0), corners.max(0), strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inverse = np.linalg.inv(matrix)
    folded = points @ inverse
    inside = points[np.all((folded > -1e-9) & (folded < 1 - 1e-9), axis=1)]
    if len(inside) != count:
        raise InputError(f"found {len(inside)} of {count} unit cells in the supercell {matrix.tolist()}")
    fractional = (sites.fractional[:, None] + inside) @ inverse
    types = tuple(name for name in sites.types for _ in range(count))
    return SiteSet(fractional.reshape(-1, 3) % 1.0, np.array(supercell_A, dtype=float), types)


def origin_shift(fractional: Array, reference: Array, cell_A: Array) -> Array:
    """Find the translation that brings framework atoms onto their reference positions.

    Parameters
    ----------
    fractional : ndarray, shape (n, 3)
        Mean fractional positions of the framework atoms of one species.
    reference : ndarray, shape (m, 3)
        Positions of that species in the structure tiled to the same cell.
    cell_A : ndarray, shape (3, 3)
        Lattice vectors as rows, Å.

    Returns
    -------
    ndarray, shape (3,)
        To be added to the reference (and the sites) to meet the trajectory; right for shifts that are short
        against the distances between the atoms.
    """
    target = SiteSet(np.asarray(reference), cell_A, ("",) * len(reference))
    found = nearest_sites(fractional, target, maximum_distance_A=float(np.linalg.norm(cell_A, axis=1).max()))
    offsets = fractional - (target.fractional[found.site] + found.image)
    return np.asarray(np.median(offsets, axis=0))


def interstitial_sites(
    density: DensityGrid,
    host: SiteSet | None,
    *,
    minimum_distance_A: float = 1.0,
    minimum_occupancy: float = 0.01,
) -> SiteSet:
    """Find the places that ions visit and that are not host sites, as peaks of the density.

    Parameters
    ----------
    density : DensityGrid
        Density normalised to the number of ions, in the cell of the host sites, smoothed by about 0.25 Å.
    host : SiteSet, optional
        Known sites; None takes all peaks.
    minimum_distance_A : float
        Peaks closer than this to a host site or a higher peak belong to it, Å.
    minimum_occupancy : float
        Least mean number of ions within half that distance of the peak.

    Returns
    -------
    SiteSet
        Named ``interstitial`` (``peak`` without host sites), highest first; may be empty.
    """
    peaks = density_peaks(density, minimum_separation_A=minimum_distance_A)
    keep = peaks.occupancies >= minimum_occupancy
    if host is not None and len(host):
        near = nearest_sites(peaks.fractional, host, maximum_distance_A=minimum_distance_A)
        keep &= near.site < 0
    found = peaks.fractional[keep]
    return SiteSet(found, density.cell_A, ("peak" if host is None else "interstitial",) * len(found))


def name_by_symmetry(
    sites: SiteSet, structure: Structure, *, symprec_A: float = 0.01, tolerance_A: float = 0.5
) -> SiteSet:
    """Move sites found in a density onto the symmetry of the structure and name them by Wyckoff position.

    Parameters
    ----------
    sites : SiteSet
        In the cell of the structure.
    structure : pymatgen Structure
        Crystal whose space group is used.
    symprec_A : float
        Tolerance of the symmetry search in the structure, Å.
    tolerance_A : float
        Peaks whose images come this close to each other are the same site, Å.

    Returns
    -------
    SiteSet
        Whole orbits, each the mean of its peaks, with types such as ``i-48g``.
    """
    cell, atoms, numbers = _spglib_cell(structure)
    symmetry = _symmetry((cell, atoms, numbers), symprec_A)
    left = list(range(len(sites)))
    orbits, names = [], []
    while left:
        seed = sites.fractional[left[0]]
        images = symmetry.rotations @ seed + symmetry.translations
        orbit = _distinct(_snap(seed, images, cell, tolerance_A), symmetry, cell)
        distances = minimum_image_distances(orbit[:, None] - sites.fractional[left], cell).min(axis=0)
        left = [
            k for k, distance in zip(left, distances, strict=True) if distance > tolerance_A and k != left[0]
        ]
        extended = (cell, np.concatenate([atoms, orbit]), numbers + [max(numbers) + 1] * len(orbit))
        letter = _symmetry(extended, symprec_A).wyckoffs[-1]
        orbits.append(orbit)
        names.append(f"i-{round(len(orbit) * symmetry.conventional_ratio)}{letter}")
    types = [name for name, orbit in zip(_type_names(names), orbits, strict=True) for _ in range(len(orbit))]
    fractional = np.concatenate(orbits) if orbits else np.zeros((0, 3))
    return SiteSet(fractional, cell, tuple(types))


def _snap(position: Array, images: Array, cell: Array, tolerance_A: float) -> Array:
    """Mean of those symmetry images that fall close to the position: the special position next to it."""
    vectors = minimum_image_vectors(images - position, cell)
    near = np.linalg.norm(vectors, axis=1) <= tolerance_A
    return np.asarray(position + vectors[near].mean(axis=0) @ np.linalg.inv(cell))


def _distinct(position: Array, symmetry: _Symmetry, cell: Array) -> Array:
    images = (symmetry.rotations @ position + symmetry.translations) % 1.0
    kept: list[Array] = []
    for image in images:
        if not kept or minimum_image_distances(np.array(kept) - image, cell).min() > 1e-3:
            kept.append(image)
    return np.array(kept)


def shifted(sites: SiteSet, fractional_shift: Array) -> SiteSet:
    """Move all sites by one fractional vector, shape (3,)."""
    return replace(sites, fractional=sites.fractional + np.asarray(fractional_shift))
