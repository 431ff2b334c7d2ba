"""Crystals of another composition: elements replaced, wholly or in part, on the sites they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

Substitutions = Mapping[str, Mapping[str, float]]
_TOLERANCE = 1e-6


def substitute_species(
    structure: Structure, substitutions: Substitutions, name: str = "crystal"
) -> Structure:
    """Replace elements, such as Cl by half Cl and half Br; the cell keeps its size.

    Parameters
    ----------
    structure : Structure
        Crystal; its partial occupancies stay, shared out among the new elements.
    substitutions : mapping
        By element of the crystal, the fraction of each element that takes its sites; they add up to 1.
    name : str
        What a message is about.

    Returns
    -------
    Structure
        A new crystal without oxidation states.

    Raises
    ------
    InputError
        If an element is not in the crystal or no element, or fractions do not add up to 1.
    """
    from pymatgen.core import Element

    present = {element.symbol for element in structure.composition.elements}
    for element, shares in substitutions.items():
        if element not in present:
            raise InputError(
                f"{name}: substitute: {element} is not in it; it has {', '.join(sorted(present))}"
            )
        unknown = [symbol for symbol in shares if not Element.is_valid_symbol(symbol)]
        if unknown:
            raise InputError(f"{name}: substitute.{element}: {', '.join(unknown)} is no element")
        if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > _TOLERANCE:
            given = ", ".join(f"{symbol} {share:g}" for symbol, share in shares.items())
            raise InputError(f"{name}: substitute.{element}: the fractions must add up to 1 (given: {given})")
    replaced = structure.copy()
    replaced.remove_oxidation_states()
    wanted: dict[Any, Any] = {
        element: {symbol: share for symbol, share in shares.items() if share > 0}
        for element, shares in substitutions.items()
    }
    return replaced.replace_species(wanted, in_place=False)
