"""Oxidation states of an ordering, and whether they add up to nothing."""

from __future__ import annotations

from collections.abc import Mapping

from sse_screen.exceptions import InputError
from sse_screen.structures.checks import oxidation_states

_MAX_CHARGE = 1e-6
# below this Pauling electronegativity there is no anion: an alloy, neutral atom by atom
_LEAST_ANION = 2.1
_WAY_OUT = "choose other numbers of ions, or allow a charged cell explicitly (--allow-charged)"


def states_of_neutral_cell(counts: Mapping[str, int]) -> dict[str, float]:
    """Find oxidation states that make a cell neutral.

    Species that carry states keep them; without, every element gets one state
    (:func:`sse_screen.structures.checks.oxidation_states`). Alloys have none.

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
    from pymatgen.core import Composition, get_el_sp

    species = {name: get_el_sp(name) for name in counts}
    formula = " ".join(f"{name}{number}" for name, number in counts.items())
    states_given = {name: getattr(item, "oxi_state", None) for name, item in species.items()}
    given = {name: float(state) for name, state in states_given.items() if state is not None}
    if len(given) == len(species):
        total = sum(counts[name] * state for name, state in given.items())
        if abs(total) > _MAX_CHARGE:
            raise InputError(f"{formula} has a charge of {total:+g} e: {_WAY_OUT}")
        return given
    if given:
        raise InputError(f"{formula}: give oxidation states to all species or to none")
    if all(item.X < _LEAST_ANION for item in species.values()):
        return dict.fromkeys(counts, 0.0)
    try:
        found = oxidation_states(Composition(dict(counts)), name="ordering")
    except InputError as error:
        raise InputError(f"{formula} is not neutral: {_WAY_OUT}. {error}") from error
    return {name: float(found[name]) for name in counts}
