"""Which species, and how many of each, go on which sites."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.sublattices import Sublattice

Occupancy = Mapping[str, int | Mapping[str, int]]

# occupancies of CIF files are rounded to three decimals; more than this is not rounding
_ROUNDING = 6e-4


@dataclass(frozen=True)
class SitePool:
    """Sites among which a fixed number of each species is distributed.

    Attributes
    ----------
    label : str
        Name of the sublattice, or of several joined by ``+``.
    sites : tuple of int
        Indices in the structure.
    counts : dict of str to int
        Species to number, vacancies excluded.
    parts : tuple of tuple of int
        The same sites, sublattice by sublattice, small ones first.
    """

    label: str
    sites: tuple[int, ...]
    counts: dict[str, int]
    parts: tuple[tuple[int, ...], ...]

    @property
    def n_vacancies(self) -> int:
        """Number of empty sites."""
        return len(self.sites) - sum(self.counts.values())


def parse_occupancy(text: str) -> dict[str, int | dict[str, int]]:
    """Read an occupancy class as written on the command line.

    Parameters
    ----------
    text : str
        Sublattices with their numbers of ions in the cell: ``24d=12,96h=44``; with several species
        ``4a=S1Cl3,4d=S3Cl1``; several sublattices sharing one total ``4a+4d=S4Cl4``.

    Returns
    -------
    dict
        Sublattice to number, or to numbers by species.

    Raises
    ------
    InputError
        If the text cannot be read.

    Examples
    --------
    >>> parse_occupancy("24d=12,96h=44")
    {'24d': 12, '96h': 44}
    >>> parse_occupancy("4a=S1Cl3")
    {'4a': {'S': 1, 'Cl': 3}}
    """
    result: dict[str, int | dict[str, int]] = {}
    for part in text.split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not name or not sign or not value:
            raise InputError(
                f"--occupancy {part!r}: write SUBLATTICE=NUMBER, such as 24d=12,96h=44 or 4a=S1Cl3"
            )
        if name in result:
            raise InputError(f"--occupancy: sublattice {name} is given twice")
        if value.isdigit():
            result[name] = int(value)
            continue
        species = re.findall(r"([A-Z][a-z]?)(\d+)", value)
        if "".join(element + number for element, number in species) != value:
            raise InputError(
                f"--occupancy {part!r}: {value!r} is neither a number nor species with numbers (S1Cl3)"
            )
        result[name] = {element: int(number) for element, number in species}
    return result


def resolve_occupancy(
    sublattices: tuple[Sublattice, ...], occupancy: Occupancy | None
) -> tuple[SitePool, ...]:
    """Turn mean occupancies, or an occupancy class, into exact numbers of ions.

    Parameters
    ----------
    sublattices : tuple of Sublattice
        Sublattices of the crystal.
    occupancy : mapping, optional
        Sublattice (label or alias, or several joined by ``+``) to number of ions, or to numbers by species.
        Sublattices that are left out, or all, get the nearest integers to their mean occupancies.

    Returns
    -------
    tuple of SitePool
        One for every sublattice or group of sublattices, in the order of the sites.

    Raises
    ------
    InputError
        If there is no such sublattice or species, the numbers do not fit, or a mean occupancy is not a whole
        number of ions in this cell.
    """
    if not sublattices:
        raise InputError(
            "no site of this crystal has a partial or mixed occupancy: there is nothing to order"
        )
    pools = []
    named: set[str] = set()
    for name, value in (occupancy or {}).items():
        group = [_find(sublattices, part.strip()) for part in name.split("+")]
        for sublattice in group:
            if sublattice.label in named:
                raise InputError(f"occupancy: sublattice {sublattice.label} is given twice")
            named.add(sublattice.label)
        pools.append(_pool(group, value))
    pools += [_pool_from_mean(sub) for sub in sublattices if sub.label not in named]
    return tuple(sorted(pools, key=lambda pool: pool.sites))


def _find(sublattices: tuple[Sublattice, ...], name: str) -> Sublattice:
    for sublattice in sublattices:
        if name == sublattice.label or name in sublattice.aliases:
            return sublattice
    known = ", ".join(f"{sub.label} ({_describe(sub)})" for sub in sublattices)
    raise InputError(f"occupancy: no disordered sublattice is called {name!r}; this crystal has {known}")


def _describe(sublattice: Sublattice) -> str:
    names = f" alias {'/'.join(sublattice.aliases)}" if sublattice.aliases else ""
    species = " ".join(f"{name} {x:.3g}" for name, x in sublattice.occupancies.items())
    return f"{len(sublattice.sites)} sites: {species}{names}"


def _element(species: str) -> str:
    return re.sub(r"[^A-Za-z].*", "", species)


def _pool(group: list[Sublattice], value: int | Mapping[str, int]) -> SitePool:
    label = "+".join(sub.label for sub in group)
    sites = tuple(sorted(site for sub in group for site in sub.sites))
    known = list(dict.fromkeys(species for sub in group for species in sub.occupancies))
    if isinstance(value, int):
        if len(known) != 1:
            raise InputError(
                f"occupancy of {label}: it holds {', '.join(known)}, so say how many of each, such as "
                f"{label}={''.join(f'{_element(species)}1' for species in known)}"
            )
        value = {known[0]: value}
    counts: dict[str, int] = {}
    for name, number in value.items():
        matches = [species for species in known if name in (species, _element(species))]
        if len(matches) != 1:
            raise InputError(f"occupancy of {label}: species {name!r} is not one of {', '.join(known)}")
        if number < 0:
            raise InputError(f"occupancy of {label}: {number} {name} is negative")
        counts[matches[0]] = int(number)
    if sum(counts.values()) > len(sites):
        raise InputError(
            f"occupancy of {label}: {sum(counts.values())} ions do not fit on {len(sites)} sites"
        )
    vacancies = len(sites) - sum(counts.values())
    if vacancies and not any(sub.has_vacancies for sub in group):
        raise InputError(
            f"occupancy of {label}: {sum(counts.values())} ions on {len(sites)} sites leave "
            f"{vacancies} empty, but this sublattice is full in the crystal; the numbers "
            "must add up to the number of sites"
        )
    parts = tuple(sorted((sub.sites for sub in group), key=lambda part: (len(part), part)))
    return SitePool(label, sites, {species: number for species, number in counts.items() if number}, parts)


def _pool_from_mean(sublattice: Sublattice) -> SitePool:
    n_sites = len(sublattice.sites)
    exact = {species: x * n_sites for species, x in sublattice.occupancies.items()}
    counts = {species: round(number) for species, number in exact.items()}
    full = not sublattice.has_vacancies
    wrong = any(abs(exact[species] - counts[species]) > _ROUNDING * n_sites for species in exact)
    if wrong or sum(counts.values()) > n_sites or (full and sum(counts.values()) != n_sites):
        numbers = ", ".join(f"{species} {number:.3f}" for species, number in exact.items())
        nearest = "".join(f"{_element(species)}{number}" for species, number in counts.items())
        raise InputError(
            f"occupancy of {sublattice.label}: its mean occupancy is {numbers} ions on {n_sites} sites, "
            f"not whole numbers: choose them (such as --occupancy {sublattice.label}={nearest}) "
            "or take a larger cell"
        )
    counts = {name: number for name, number in counts.items() if number}
    return SitePool(sublattice.label, sublattice.sites, counts, (sublattice.sites,))
