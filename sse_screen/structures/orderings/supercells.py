"""Orderings of a cell repeated into a supercell, where there are too many to enumerate."""

from __future__ import annotations

from sse_screen.exceptions import InputError
from sse_screen.structures.orderings.space import OrderingSpace


def repeat_space(space: OrderingSpace, repetitions: tuple[int, int, int]) -> OrderingSpace:
    """Make the space of orderings of a supercell with the same composition.

    Parameters
    ----------
    space : OrderingSpace
        Orderings of a cell.
    repetitions : tuple of int
        Cells along the three lattice vectors.

    Returns
    -------
    OrderingSpace
        Same exclusion radius, numbers of ions multiplied.

    Raises
    ------
    InputError
        If a repetition is below one.
    """
    if len(repetitions) != 3 or min(repetitions) < 1:
        raise InputError(f"supercell {repetitions}: give three whole numbers of at least 1")
    n_cells = repetitions[0] * repetitions[1] * repetitions[2]
    occupancy = {
        pool.label: {species: n_cells * number for species, number in pool.counts.items()}
        for pool in space.pools
    }
    return OrderingSpace(
        space.structure * repetitions,
        occupancy,
        space.exclusion_radius_A,
        check_charge=space.oxidation_states is not None,
    )


def repeat_sites(
    sites: dict[str, tuple[int, ...]], repetitions: tuple[int, int, int]
) -> dict[str, tuple[int, ...]]:
    """Repeat an ordering of a cell in every cell of a supercell.

    Parameters
    ----------
    sites : dict of str to tuple of int
        Species to the sites of the cell that it takes.
    repetitions : tuple of int
        Cells along the three lattice vectors.

    Returns
    -------
    dict of str to tuple of int
        Species to sites of the supercell, in the order of sites that multiplying a pymatgen structure gives
        (all images of the first site, then of the second, ...).
    """
    n_cells = repetitions[0] * repetitions[1] * repetitions[2]
    return {
        species: tuple(site * n_cells + image for site in indices for image in range(n_cells))
        for species, indices in sites.items()
    }
