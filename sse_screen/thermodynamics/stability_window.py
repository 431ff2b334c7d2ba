"""Electrochemical stability window of an electrolyte against the metal of its mobile ion.

The grand potential phase diagram, open to the mobile element, gives the potentials between which the
composition neither takes up nor loses it (Ong et al., Chem. Mater. 20, 1798 (2008); Richards et al., Chem.
Mater. 28, 266 (2016)); pymatgen does the geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sse_screen.thermodynamics.composition_space import HullEntry, element_amounts, single_level_of_theory
from sse_screen.thermodynamics.hull import HullError

_NO_EXCHANGE = 1e-6


@dataclass(frozen=True)
class StabilityWindow:
    """Potentials between which a composition exchanges none of its mobile element.

    Attributes
    ----------
    reduction_V : float
        Potential against the metal below which it is reduced.
    oxidation_V : float or None
        Potential above which it is oxidised; None when nothing oxidises it within the hull.
    reduction_reaction, oxidation_reaction : str or None
        What happens beyond the ends.
    energy_above_hull_eV_per_atom : float
        Distance of the composition's lowest entry to the hull: above zero the window is that of its
        decomposition products.
    """

    reduction_V: float
    oxidation_V: float | None
    reduction_reaction: str | None
    oxidation_reaction: str | None
    energy_above_hull_eV_per_atom: float

    @property
    def width_V(self) -> float | None:
        """Width of the window; None when it has no upper end.

        Returns
        -------
        float or None
            Width, V.
        """
        return None if self.oxidation_V is None else self.oxidation_V - self.reduction_V


def stability_window(
    entries: Sequence[HullEntry], formula: str, *, mobile_element: str, charge: int
) -> StabilityWindow:
    """Compute the stability window of a composition.

    Parameters
    ----------
    entries : sequence of HullEntry
        Competing phases of one level of theory, all elements and the composition itself among them.
    formula : str
        The electrolyte's formula.
    mobile_element : str
        Element of the mobile ion, such as Li.
    charge : int
        Charge of the mobile ion in elementary charges (1 for Li+), never guessed.

    Returns
    -------
    StabilityWindow
        Potentials against the metal, with the reactions at both ends.

    Raises
    ------
    HullError
        If levels of theory are mixed, the element is not in the formula, an element has no entry, the
        composition has none, or the charge is zero.
    """
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition, Element

    single_level_of_theory([entry.level_of_theory for entry in entries])
    amounts = dict(element_amounts(formula))
    if mobile_element not in amounts:
        raise HullError(f"{formula} holds no {mobile_element}: it has no window against it")
    if charge == 0:
        raise HullError("the mobile ion's charge must not be zero")
    _check_entries(entries, formula, amounts)
    computed = [
        PDEntry(Composition(entry.formula), entry.energy_eV_per_atom * Composition(entry.formula).num_atoms)
        for entry in entries
        if {symbol for symbol, _ in element_amounts(entry.formula)} <= set(amounts)
    ]
    diagram = PhaseDiagram(computed)
    composition = Composition(formula).reduced_composition
    same = [entry for entry in computed if entry.composition.reduced_composition.almost_equals(composition)]
    profile = diagram.get_element_profile(Element(mobile_element), composition)
    volts = np.array(
        [-(step["chempot"] - step["element_reference"].energy_per_atom) / charge for step in profile]
    )
    exchanged = np.array([step["evolution"] for step in profile])
    reduced = np.flatnonzero(exchanged > _NO_EXCHANGE)
    oxidised = np.flatnonzero(exchanged < -_NO_EXCHANGE)
    neutral = np.flatnonzero(np.abs(exchanged) <= _NO_EXCHANGE)
    start = neutral[0] if neutral.size else oxidised[0] if oxidised.size else len(volts) - 1
    return StabilityWindow(
        reduction_V=float(volts[start]),
        oxidation_V=float(volts[oxidised[0]]) if oxidised.size else None,
        reduction_reaction=str(profile[reduced[-1]]["reaction"]) if reduced.size else None,
        oxidation_reaction=str(profile[oxidised[0]]["reaction"]) if oxidised.size else None,
        energy_above_hull_eV_per_atom=min(float(diagram.get_e_above_hull(entry) or 0.0) for entry in same),
    )


def _check_entries(entries: Sequence[HullEntry], formula: str, amounts: dict[str, float]) -> None:
    """Refuse a set without the composition itself or without one of its elements."""
    from pymatgen.core import Composition

    wanted = Composition(formula).reduced_composition
    present = [Composition(entry.formula) for entry in entries]
    if not any(composition.reduced_composition.almost_equals(wanted) for composition in present):
        raise HullError(f"there is no entry of composition {formula}")
    elements = {str(c.elements[0]) for c in present if c.is_element}
    missing = sorted(set(amounts) - elements)
    if missing:
        raise HullError(
            f"a stability window needs an entry of every element; {', '.join(missing)} is missing"
        )
