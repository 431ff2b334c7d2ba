"""Checks of a crystal before anything is calculated with it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

USUAL_OXIDATION_STATES: dict[str, int] = {
    "H": 1, "Li": 1, "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1,
    "Be": 2, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Cd": 2,
    "B": 3, "Al": 3, "Ga": 3, "In": 3, "Sc": 3, "Y": 3, "La": 3, "Nd": 3, "Sm": 3, "Gd": 3, "Dy": 3,
    "Ho": 3, "Er": 3, "Tm": 3, "Yb": 3, "Lu": 3, "Bi": 3,
    "C": 4, "Si": 4, "Ge": 4, "Sn": 4, "Ti": 4, "Zr": 4, "Hf": 4,
    "P": 5, "As": 5, "Sb": 5, "Nb": 5, "Ta": 5, "W": 6, "Mo": 6,
    "N": -3, "O": -2, "S": -2, "Se": -2, "Te": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1,
}  # fmt: skip
"""Oxidation states that are tried first: the usual ones in solid electrolytes."""

# Peroxides and disulfides.
_RARER_STATES: dict[str, tuple[int, ...]] = {"O": (-1,), "S": (-1,)}
_CHARGE_TOLERANCE = 1e-3


def is_disordered(structure: Structure) -> bool:
    """Return whether any site is partly occupied or shared by several elements.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.

    Returns
    -------
    bool
        True when an ordering rule is needed before it can be calculated.
    """
    return not structure.is_ordered


def check_mobile_ion(structure: Structure, ion: str, name: str = "structure") -> None:
    """Refuse a crystal without the ion that is to move.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    ion : str
        Symbol of the element, such as ``Li``.
    name : str, optional
        How the message calls the crystal (a file or prototype).

    Raises
    ------
    InputError
        If the ion is no element, or not in the crystal.
    """
    from pymatgen.core import Element

    if not Element.is_valid_symbol(ion):
        raise InputError(f"{name}: mobile ion {ion!r} is no element; write its symbol, such as 'Li'")
    present = sorted({element.symbol for element in structure.composition.elements})
    if ion not in present:
        raise InputError(
            f"{name}: no mobile ion {ion} in {structure.composition.reduced_formula}, which has "
            f"{', '.join(present)}; name one of these as mobile ion or take another crystal"
        )


def oxidation_states(
    composition: Composition, given: Mapping[str, int] | None = None, name: str = "structure"
) -> dict[str, int]:
    """Return one oxidation state per element that makes the composition neutral.

    The usual states are tried first, then every combination of pymatgen's common states (and -1 of oxygen and
    sulfur) with one state per element; of several neutral combinations the one with the fewest and smallest
    changes is taken.

    Parameters
    ----------
    composition : pymatgen.core.Composition
        Amounts of the elements.
    given : mapping of str to int, optional
        States that are fixed by the caller, by symbol.
    name : str, optional
        How the message calls the crystal.

    Returns
    -------
    dict of str to int
        Oxidation state by symbol; all zero for a pure element.

    Raises
    ------
    InputError
        If there is none; the message gives the charge with the usual states.
    """
    amounts = {element: float(n) for element, n in composition.get_el_amt_dict().items()}
    given = dict(given or {})
    if len(amounts) == 1 and not given:
        return dict.fromkeys(amounts, 0)
    usual = {el: given.get(el, USUAL_OXIDATION_STATES.get(el, 0)) for el in amounts}
    neutral = _neutral_combinations(amounts, usual, given)
    if not neutral:
        charge = sum(n * usual[el] for el, n in amounts.items())
        states = ", ".join(f"{el} {q:+d}" for el, q in usual.items())
        raise InputError(
            f"{name}: {composition.formula} is charged: {charge:+.3f} e per cell with {states}, and no other "
            "common oxidation states make it neutral; correct the composition or the occupancies, or give "
            "the oxidation states"
        )
    return min(
        neutral,
        key=lambda states: (
            sum(states[el] != usual[el] for el in states),
            sum(abs(states[el] - usual[el]) for el in states),
        ),
    )


def _neutral_combinations(
    amounts: Mapping[str, float], usual: Mapping[str, int], given: Mapping[str, int]
) -> list[dict[str, int]]:
    """Return every choice of one state per element, none of them zero, that sums to no charge."""
    from pymatgen.core import Element

    choices = [
        [given[el]]
        if el in given
        else sorted({usual[el], *Element(el).common_oxidation_states, *_RARER_STATES.get(el, ())})
        for el in amounts
    ]
    return [
        dict(zip(amounts, states, strict=True))
        for states in itertools.product(*choices)
        if abs(sum(n * q for n, q in zip(amounts.values(), states, strict=True))) < _CHARGE_TOLERANCE
        and 0 not in states
    ]


def check_neutral(
    structure: Structure, given: Mapping[str, int] | None = None, name: str = "structure"
) -> dict[str, int]:
    """Refuse a charged cell.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal; occupancies count. Oxidation states on its species, when all have one, are used.
    given : mapping of str to int, optional
        Oxidation states by symbol that are to be used.
    name : str, optional
        How the message calls the crystal.

    Returns
    -------
    dict of str to int
        The oxidation states with which it is neutral.

    Raises
    ------
    InputError
        If the cell is charged.
    """
    from pymatgen.core import Composition

    decorated = [(getattr(s, "oxi_state", None), n) for s, n in structure.composition.items()]
    if given is None and all(state is not None for state, _ in decorated):
        charge = sum(float(state) * n for state, n in decorated if state is not None)
        if abs(charge) > _CHARGE_TOLERANCE:
            raise InputError(
                f"{name}: the oxidation states on the sites sum to {charge:+.3f} e per cell; correct the "
                "occupancies or the states"
            )
    return oxidation_states(Composition(structure.composition.get_el_amt_dict()), given, name)
