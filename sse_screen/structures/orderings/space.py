"""The space of all orderings of one disordered crystal with given numbers of ions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.structures.orderings.bitmasks import BitLayout
from sse_screen.structures.orderings.charges import states_of_neutral_cell
from sse_screen.structures.orderings.counting import FrontierSum, OrderingCount, count
from sse_screen.structures.orderings.enumeration import Enumerator
from sse_screen.structures.orderings.occupancy import Occupancy, SitePool, resolve_occupancy
from sse_screen.structures.orderings.problem import OrderingProblem
from sse_screen.structures.orderings.sublattices import find_sublattices, site_permutations

if TYPE_CHECKING:
    from pymatgen.core import Structure

_CHUNK = 4096
_MOST_SPLITS = 2000
_MAX_WEIGHT_BITS = 1000


@dataclass(frozen=True)
class Ordering:
    """One ordering of a disordered crystal.

    Attributes
    ----------
    id : str
        Content id: a hash of the disordered crystal and of the ordering's representative, the same for all
        symmetry-equivalent orderings, however they were found.
    degeneracy : int
        Number of labelled orderings that symmetry makes equal to this one.
    weight : float
        What this entry stands for in a sum over labelled orderings: the degeneracy in an enumeration; in a
        sample, its share of the draws times the number of labelled orderings, so that the sum of
        weight x exp(-E/kT) is an unbiased estimate of the partition function.
    sites : dict of str to tuple of int
        Species to the sites of the disordered crystal that it takes (those with a choice only).
    ewald_energy_eV : float or None
        Electrostatic energy of the cell in eV, where it was asked for.
    """

    id: str
    degeneracy: int
    weight: float
    sites: dict[str, tuple[int, ...]]
    ewald_energy_eV: float | None = None
    parent: Structure | None = field(default=None, repr=False, compare=False)

    @property
    def structure(self) -> Structure:
        """The ordered crystal, in the order of the parent's sites.

        The site property ``parent_site`` holds the index of every site in the disordered crystal.
        """
        if self.parent is None:
            raise InputError(f"ordering {self.id} was made without its disordered crystal")
        return ordered_structure(self.parent, self.sites)


def ordered_structure(parent: Structure, sites: dict[str, tuple[int, ...]]) -> Structure:
    """Put species on the sites of a disordered crystal that have a choice.

    Parameters
    ----------
    parent : pymatgen.core.Structure
        The disordered crystal.
    sites : dict of str to tuple of int
        Species to the sites it takes; disordered sites that are not named stay empty.

    Returns
    -------
    pymatgen.core.Structure
        The ordered crystal, in the order of the parent's sites, with the site property ``parent_site``.
    """
    from pymatgen.core import Structure

    chosen = {site: species for species, indices in sites.items() for site in indices}
    kept = [index for index, site in enumerate(parent) if site.is_ordered or index in chosen]
    species = [parent[index].specie if parent[index].is_ordered else chosen[index] for index in kept]
    coordinates = parent.frac_coords[kept]
    return Structure(parent.lattice, species, coordinates, site_properties={"parent_site": kept})


class OrderingSpace:
    """All orderings of a disordered crystal with given numbers of ions.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        Crystal with partial occupancies; orderings are those of its cell.
    occupancy : mapping, optional
        Sublattice to number of ions, or to numbers by species; see
        :func:`~sse_screen.structures.orderings.occupancy.resolve_occupancy`.
    exclusion_radius_A : float
        Two ions on sublattices with vacancies are never closer than this (ångström); 0 for no exclusion.
    symprec_A : float
        Tolerance of the symmetry search in ångström.
    check_charge : bool
        Refuse numbers of ions that cannot be neutral.

    Raises
    ------
    InputError
        If the numbers do not fit the sites, or the cell cannot be neutral.
    """

    def __init__(
        self,
        structure: Structure,
        occupancy: Occupancy | None = None,
        exclusion_radius_A: float = 0.0,
        *,
        symprec_A: float = 0.01,
        check_charge: bool = True,
    ) -> None:
        if not (np.isfinite(exclusion_radius_A) and exclusion_radius_A >= 0):
            raise InputError(f"exclusion radius {exclusion_radius_A} Å: give a distance of 0 or more")
        self.structure = structure
        self.exclusion_radius_A = exclusion_radius_A
        self.pools = resolve_occupancy(find_sublattices(structure, symprec_A), occupancy)
        self.counts = self._composition()
        self.oxidation_states = states_of_neutral_cell(self.counts) if check_charge else None
        self._classes = self._choose_classes()
        self.vertex_sites = np.array([s for pool, _ in self._classes for s in pool.sites], dtype=np.int64)
        self.vertex_species = np.array(
            [name for pool, name in self._classes for _ in pool.sites], dtype=object
        )
        self.problem = self._build_problem(symprec_A)

    def _composition(self) -> dict[str, int]:
        counts: Counter[str] = Counter(str(site.specie) for site in self.structure if site.is_ordered)
        for pool in self.pools:
            counts.update(pool.counts)
        return dict(counts)

    def _choose_classes(self) -> list[tuple[SitePool, str]]:
        """Species with a choice of sites; the most frequent one of a full sublattice fills what is left."""
        classes = []
        for pool in self.pools:
            species = sorted(pool.counts, key=lambda name: (pool.counts[name], name))
            if pool.n_vacancies == 0:
                species = species[:-1]
            classes += [(pool, name) for name in species]
        # classes with few sites first: their symmetry does most of the reduction
        return sorted(
            classes, key=lambda item: (len(item[0].sites), item[0].sites, item[0].counts[item[1]], item[1])
        )

    def _build_problem(self, symprec_A: float) -> OrderingProblem:
        sizes = [len(pool.sites) for pool, _ in self._classes]
        classes = np.repeat(np.arange(len(sizes)), sizes)
        places = np.unique(self.vertex_sites)
        on_sites = site_permutations(self.structure, places, symprec_A)
        site_of = np.searchsorted(places, self.vertex_sites)
        vertex_of = np.full((len(sizes), len(places)), -1)
        vertex_of[classes, site_of] = np.arange(len(classes))
        permutations = vertex_of[classes[None, :], on_sites[:, site_of]]
        with_vacancies = np.repeat([pool.n_vacancies > 0 for pool, _ in self._classes], sizes).astype(bool)
        conflicts = self._too_close(places)[np.ix_(site_of, site_of)]
        conflicts &= with_vacancies[:, None] & with_vacancies[None, :]
        same_site = site_of[:, None] == site_of[None, :]
        conflicts |= same_site & ~np.eye(len(classes), dtype=bool)
        targets = tuple(pool.counts[name] for pool, name in self._classes)
        return OrderingProblem(classes, targets, conflicts, permutations)

    def _too_close(self, places: np.ndarray) -> np.ndarray:
        lattice, positions = self.structure.lattice, self.structure.frac_coords[places]
        if not len(places):
            return np.zeros((0, 0), dtype=bool)
        close = lattice.get_all_distances(positions, positions) < self.exclusion_radius_A
        shortest = min(lattice.get_lll_reduced_lattice().abc)
        np.fill_diagonal(close, shortest < self.exclusion_radius_A)
        return close

    @cached_property
    def layout(self) -> BitLayout:
        """Bits of the vertices in packed sets."""
        return BitLayout(self._parts)

    @cached_property
    def _parts(self) -> np.ndarray:
        """Class of every vertex when the sublattices of a pool are told apart, where that helps."""
        if not self._told_apart:
            return self.problem.classes
        part_of = {
            (number, site): part
            for number, (pool, _) in enumerate(self._classes)
            for part, sites in enumerate(pool.parts)
            for site in sites
        }
        keys = [
            (number, part_of[number, site])
            for number, site in zip(self.problem.classes.tolist(), self.vertex_sites.tolist(), strict=True)
        ]
        numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
        return np.array([numbers[key] for key in keys], dtype=np.int64)

    @cached_property
    def _told_apart(self) -> bool:
        """Whether there are few enough ways to share the ions of pools out over their sublattices."""
        splits = 1
        for pool, species in self._classes:
            wanted = pool.counts[species]
            ways = np.ones(1)
            for part in pool.parts:
                ways = np.convolve(ways, np.ones(min(len(part), wanted) + 1))[: wanted + 1]
            splits *= int(ways[wanted])
        return splits <= _MOST_SPLITS

    def _splits(self) -> Iterator[tuple[int, ...]]:
        """All ways to share the numbers of ions out over the sublattices of the pools."""
        if not self._told_apart:
            yield self.problem.targets
            return
        shares = []
        for pool, species in self._classes:
            sizes = [len(part) for part in pool.parts]
            heads = product(*(range(min(size, pool.counts[species]) + 1) for size in sizes[:-1]))
            found = [(*head, pool.counts[species] - sum(head)) for head in heads]
            shares.append([share for share in found if 0 <= share[-1] <= sizes[-1]])
        for choice in product(*shares):
            yield tuple(number for share in choice for number in share)

    @cached_property
    def key(self) -> str:
        """Hash of the disordered crystal, the sublattices with their numbers of ions, and the vertices."""
        parts = [
            np.round(self.structure.lattice.matrix, 4).tobytes(),
            np.round(self.structure.frac_coords, 4).tobytes(),
            "|".join(str(site.species.elements) for site in self.structure).encode(),
            repr([(pool.sites, sorted(pool.counts.items())) for pool in self.pools]).encode(),
        ]
        return hashlib.sha256(b"#".join(parts)).hexdigest()

    def count(self) -> OrderingCount:
        """Count all orderings exactly.

        Returns
        -------
        OrderingCount
            Labelled and unique.

        Raises
        ------
        InputError
            If there is none, because of the exclusion radius.
        """
        found = count(self.problem)
        if found.labelled == 0:
            raise InputError(self._why_empty())
        return found

    def count_labelled(self) -> int:
        """Count the labelled orderings exactly, without those that symmetry makes equal.

        Returns
        -------
        int
            The number; 0 when the exclusion radius leaves none.
        """
        return self._frontier_sum().total()

    def _frontier_sum(self) -> FrontierSum:
        ones = np.ones(self.problem.size, dtype=np.int64)
        return FrontierSum(self.problem.classes, ones, self.problem.conflicts, self.problem.targets)

    def _why_empty(self) -> str:
        lattice, positions = self.structure.lattice, self.structure.frac_coords[np.unique(self.vertex_sites)]
        distances = lattice.get_all_distances(positions, positions)
        shells = np.unique(np.round(distances[(distances > 1e-3) & (distances < self.exclusion_radius_A)], 2))
        numbers = ", ".join(
            f"{pool.label}={'+'.join(f'{n} {s}' for s, n in pool.counts.items())}" for pool in self.pools
        )
        return (
            f"no ordering has {numbers} with an exclusion radius of {self.exclusion_radius_A} Å: sites "
            f"are {', '.join(f'{shell:.2f}' for shell in shells[-6:])} Å apart below it; take a "
            "smaller radius or fewer ions"
        )

    def labelled_sets(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw labelled orderings uniformly and independently.

        Parameters
        ----------
        n_samples : int
            How many draws.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray of bool, shape (n_samples, n_vertices)
            Chosen vertices.
        """
        if self.problem.is_overfull:
            raise InputError(self._why_empty())
        sets = np.zeros((n_samples, self.problem.size), dtype=bool)
        drawn = self._frontier_sum().sample(n_samples, rng)
        sets[:, : drawn.shape[1]] = drawn
        return sets

    def canonical(self, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the representative of the orbit of every set, the one the enumeration yields.

        Parameters
        ----------
        sets : ndarray of bool, shape (m, n_vertices)
            Chosen vertices.

        Returns
        -------
        representatives : ndarray of bool, shape (m, n_vertices)
            Smallest image, class by class.
        degeneracies : ndarray of int64, shape (m,)
            Sizes of the orbits.
        """
        inverses = np.argsort(self.problem.permutations, axis=1)
        own_bits = [self.layout.pack((self._parts == part)[None])[0] for part in np.unique(self._parts)]
        representatives, degeneracies = np.empty_like(sets), np.empty(len(sets), dtype=np.int64)
        step = max(1, 2**24 // max(1, inverses.size))
        for start in range(0, len(sets), step):
            rows = sets[start : start + step]
            images = rows[:, inverses].reshape(len(rows) * len(inverses), self.problem.size)
            words = self.layout.pack(images).reshape(len(rows), len(inverses), -1)
            best = np.ones(words.shape[:2], dtype=bool)
            for own in own_bits:
                for word in reversed(np.flatnonzero(own)):
                    values = np.where(best, words[:, :, word] & own[word], np.uint64(2**64 - 1))
                    best &= values == values.min(axis=1, keepdims=True)
            smallest = np.arange(len(rows)) * len(inverses) + best.argmax(axis=1)
            representatives[start : start + step] = images[smallest]
            degeneracies[start : start + step] = len(inverses) // best.sum(axis=1)
        return representatives, degeneracies

    def enumerate(self, expected: OrderingCount | None = None) -> Iterator[Ordering]:
        """Enumerate the symmetry-unique orderings, streaming.

        Parameters
        ----------
        expected : OrderingCount, optional
            The exact count, to be compared with what was enumerated.

        Yields
        ------
        Ordering
            One for every orbit.

        Raises
        ------
        SseScreenError
            In the end, if the enumeration is not the expected one.
        """
        unique = labelled = 0
        for sets, degeneracies in self.enumerate_sets():
            unique += len(sets)
            labelled += int(degeneracies.sum())
            yield from self.orderings(sets, degeneracies, degeneracies.tolist())
        if expected is not None and (labelled, unique) != (expected.labelled, expected.unique):
            raise SseScreenError(
                f"{unique:,} orderings ({labelled:,} labelled) were enumerated, but Burnside's count is "
                f"{expected.unique:,} ({expected.labelled:,}): do not use them, and report this crystal"
            )

    def enumerate_sets(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Enumerate in chunks of arrays.

        Yields
        ------
        sets : ndarray of bool, shape (m, n_vertices)
            Representatives.
        degeneracies : ndarray of int64, shape (m,)
            Sizes of the orbits.
        """
        if self.problem.size == 0:
            yield np.zeros((1, 0), dtype=bool), np.ones(1, dtype=np.int64)
            return
        # symmetry keeps sublattices apart, so every split of a pool is a smaller problem of its own
        for targets in self._splits():
            problem = replace(self.problem, classes=self._parts, targets=targets)
            for words, degeneracies in Enumerator(problem).orbits():
                for start in range(0, len(words), _CHUNK):
                    part = slice(start, start + _CHUNK)
                    yield self.layout.unpack(words[part]), degeneracies[part]

    def sample(self, n_samples: int, rng: np.random.Generator) -> Iterator[Ordering]:
        """Draw labelled orderings uniformly; equivalent draws are merged and their weights added.

        Parameters
        ----------
        n_samples : int
            Number of draws.
        rng : numpy.random.Generator
            Source of randomness.

        Yields
        ------
        Ordering
            One for every orbit that was drawn, in the order of the first draws.
        """
        if n_samples < 1:
            raise InputError(f"{n_samples} samples: ask for at least one")
        labelled = self.count().labelled
        representatives, degeneracies = self.canonical(self.labelled_sets(n_samples, rng))
        packed = np.packbits(representatives, axis=1)
        _, first, draws = np.unique(packed, axis=0, return_index=True, return_counts=True)
        order = np.argsort(first)
        first, draws = first[order], draws[order]
        if labelled.bit_length() > _MAX_WEIGHT_BITS:
            raise InputError(
                f"about 10^{len(str(labelled)) - 1} labelled orderings give weights beyond the range of "
                "floats: take a smaller cell, or Monte Carlo (`sse-screen orderings anneal`)"
            )
        weights = [labelled * int(number) / n_samples for number in draws]
        yield from self.orderings(representatives[first], degeneracies[first], weights)

    def orderings(
        self, sets: np.ndarray, degeneracies: np.ndarray, weights: Sequence[float]
    ) -> Iterator[Ordering]:
        """Describe representatives as orderings.

        Parameters
        ----------
        sets : ndarray of bool, shape (m, n_vertices)
            Representatives.
        degeneracies : ndarray of int, shape (m,)
            Sizes of the orbits.
        weights : sequence of float, length m
            Weights in a sum over labelled orderings.

        Yields
        ------
        Ordering
            One for every row.
        """
        key = self.key.encode()
        packed = np.packbits(sets, axis=1)
        for row, bits, degeneracy, weight in zip(sets, packed, degeneracies, weights, strict=True):
            identity = hashlib.sha256(key + bits.tobytes()).hexdigest()[:24]
            yield Ordering(identity, int(degeneracy), float(weight), self._sites(row), None, self.structure)

    def _sites(self, row: np.ndarray) -> dict[str, tuple[int, ...]]:
        found: dict[str, list[int]] = {}
        for site, species in zip(self.vertex_sites[row].tolist(), self.vertex_species[row], strict=True):
            found.setdefault(species, []).append(site)
        taken = {site for sites in found.values() for site in sites}
        for pool, species in self._fillers:
            found.setdefault(species, []).extend(site for site in pool.sites if site not in taken)
        return {species: tuple(sorted(sites)) for species, sites in found.items()}

    @cached_property
    def _fillers(self) -> list[tuple[SitePool, str]]:
        return [
            (pool, species)
            for pool in self.pools
            for species in pool.counts
            if not any(pool is own and species == name for own, name in self._classes)
        ]
