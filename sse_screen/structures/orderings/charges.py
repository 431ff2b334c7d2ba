"""Oxidation states of an ordering, and whether they add up to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Element, Species

_MAX_CHARGE = 1e-6
# below this Pauling electronegativity there is no anion: an alloy, neutral atom by atom
_LEAST_ANION = 2.1


def oxidation_states(counts: Mapping[str, int]) -> dict[str, float]:
    """Find oxidation states that make a cell neutral.

    Species that carry states keep them. Otherwise every element gets one of its common states: elements more
    electronegative than all cations are anions with their lowest state, as in an ionic crystal.

    Parameters
    ----------
    counts : mapping of str to int
        Species (as pymatgen writes them) to number in the cell.

    Returns
    -------
    dict of str to float
        Species to oxidation state; the cell is neutral with them.

    Raises
    ------
    InputError
        If the cell cannot be neutral.
    """
    from pymatgen.core import get_el_sp

    species = {name: get_el_sp(name) for name in counts}
    formula = " ".join(f"{name}{number}" for name, number in counts.items())
    states_given = {name: getattr(item, "oxi_state", None) for name, item in species.items()}
    given = {name: float(state) for name, state in states_given.items() if state is not None}
    if len(given) == len(species):
        total = sum(counts[name] * state for name, state in given.items())
        if abs(total) > _MAX_CHARGE:
            raise InputError(
                f"{formula} has a charge of {total:+g}: choose other numbers of ions, or allow it explicitly "
                "(--allow-charged)"
            )
        return given
    if given:
        raise InputError(f"{formula}: give oxidation states to all species or to none")
    if all(item.X < _LEAST_ANION for item in species.values()):
        return dict.fromkeys(counts, 0.0)
    for states in product(*(_candidates(item) for item in species.values())):
        neutral = abs(sum(n * q for n, q in zip(counts.values(), states, strict=True))) < _MAX_CHARGE
        if neutral and _is_ionic([item.X for item in species.values()], states):
            return dict(zip(counts, map(float, states), strict=True))
    raise InputError(
        f"{formula} is not neutral with the common oxidation states of its elements: choose other numbers of "
        "ions, write the oxidation states into the structure, or allow it explicitly (--allow-charged)"
    )


def _candidates(element: Element | Species) -> list[int]:
    states = sorted(element.common_oxidation_states, key=abs)
    negative = [state for state in states if state < 0]
    return ([min(negative)] if negative else []) + [state for state in states if state > 0]


def _is_ionic(electronegativities: list[float], states: tuple[int, ...]) -> bool:
    anions = [x for x, state in zip(electronegativities, states, strict=True) if state < 0]
    cations = [x for x, state in zip(electronegativities, states, strict=True) if state > 0]
    return bool(anions) and bool(cations) and min(anions) > max(cations)
