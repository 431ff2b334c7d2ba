"""The crystals of a campaign, built from the library or from files."""

from __future__ import annotations

from pymatgen.core import Structure

from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_neutral, is_disordered
from sse_screen.structures.loading import load_structure
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.prototypes import build_prototype
from sse_screen.structures.substitution import substitute_species
from sse_screen.workflows.crystal_source import CrystalSource


def build_crystal(source: CrystalSource) -> Structure:
    """Build the crystal of a source, its disorder as it is.

    Parameters
    ----------
    source : CrystalSource
        Of the campaign file.

    Returns
    -------
    Structure
        The crystal, substituted and repeated as asked for.

    Raises
    ------
    InputError
        As of the library or the file.
    """
    if source.prototype is not None:
        structure = build_prototype(source.prototype)
    else:
        assert source.file is not None  # one of the two is given
        structure = load_structure(source.file)
    if source.substitute:
        structure = substitute_species(structure, source.substitute, source.label)
    return (
        structure if source.repeat == (1, 1, 1) else structure.make_supercell(source.repeat, in_place=False)
    )


def build_ordered(source: CrystalSource, seed: int, *, ionic: bool) -> Structure:
    """Build the ordered crystal of a source.

    Parameters
    ----------
    source : CrystalSource
        Of the campaign file.
    seed : int
        Seed of a random order.
    ionic : bool
        Whether it must be neutral.

    Returns
    -------
    Structure
        Without partial occupancies and oxidation states, atoms sorted by element.

    Raises
    ------
    InputError
        If it is not neutral, or disordered and the source does not say how to order it.
    """
    structure = build_crystal(source)
    if ionic:  # a hull has metals and intermetallics too
        check_neutral(structure, name=source.label)
    if is_disordered(structure):
        if source.order is None:
            raise InputError(
                f"{source.label} has partial occupancies ({structure.composition.reduced_formula}); say how "
                "it is to be ordered (order: ewald or order: random), or list it under orderings"
            )
        structure = order_structure(structure, source.order, seed=seed, name=source.label)
    structure.remove_oxidation_states()
    return Structure.from_sites(structure.get_sorted_structure().sites)
