"""Stability windows against exact two-phase voltages and pymatgen's own chemical-potential ranges."""

import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from sse_screen.thermodynamics.composition_space import HullEntry
from sse_screen.thermodynamics.hull import HullError
from sse_screen.thermodynamics.stability_window import stability_window

ENERGIES = {
    "Li": -1.9,
    "P": -5.4,
    "S": -4.13,
    "Li2S": -4.0,
    "P2S5": -4.55,
    "Li3PS4": -4.46,
    "Li7PS6": -4.33,
    "Li4P2S6": -4.45,
    "Li3P": -3.4,
}
ENTRIES = [HullEntry(formula, energy) for formula, energy in ENERGIES.items()]


def test_binary_salt_is_oxidised_at_its_formation_energy():
    entries = [HullEntry("Li", -1.9), HullEntry("S", -4.13), HullEntry("Li2S", -4.0)]
    found = stability_window(entries, "Li2S", mobile_element="Li", charge=1)
    assert found.reduction_V == pytest.approx(0.0)
    # Li2S -> 2 Li + S: V = -(3 E(Li2S) - 2 E(Li) - E(S)) / 2
    assert found.oxidation_V == pytest.approx(-(3 * -4.0 + 2 * 1.9 + 4.13) / 2)
    assert found.reduction_reaction is None
    assert "Li2S -> " in found.oxidation_reaction
    magnesium = [HullEntry("Mg", -1.5), HullEntry("S", -4.13), HullEntry("MgS", -5.0)]
    divalent = stability_window(magnesium, "MgS", mobile_element="Mg", charge=2)
    assert divalent.oxidation_V == pytest.approx((10.0 - 1.5 - 4.13) / 2)


def test_window_of_a_thiophosphate_is_that_of_pymatgen():
    found = stability_window(ENTRIES, "Li24P8S32", mobile_element="Li", charge=1)
    diagram = PhaseDiagram([PDEntry(f, e * Composition(f).num_atoms) for f, e in ENERGIES.items()])
    ranges = diagram.get_chempot_range_stability_phase(Composition("Li3PS4"), Element("Li"))
    low, high = sorted(ranges[Element("Li")])
    assert found.reduction_V == pytest.approx(-(high + 1.9))
    assert found.oxidation_V == pytest.approx(-(low + 1.9))
    assert found.width_V == pytest.approx(high - low)
    assert "Li7PS6" in found.reduction_reaction
    assert "P2S5" in found.oxidation_reaction
    assert found.energy_above_hull_eV_per_atom == pytest.approx(0.0, abs=1e-12)


def test_metastable_composition_has_the_window_of_its_products():
    found = stability_window(ENTRIES, "Li4P2S6", mobile_element="Li", charge=1)
    assert found.energy_above_hull_eV_per_atom > 0.01
    assert found.reduction_V <= found.oxidation_V


@pytest.mark.parametrize(
    ("entries", "formula", "options", "message"),
    [
        (ENTRIES, "P2S5", {}, "holds no Li"),
        (ENTRIES, "Li2S", {"charge": 0}, "charge"),
        (ENTRIES, "Li5PS5", {}, "no entry of composition"),
        (ENTRIES[2:], "Li3PS4", {}, "Li, P is missing"),
        ([*ENTRIES, HullEntry("Li", -1.8, "x", "SCAN")], "Li2S", {}, "one level of theory"),
    ],
)
def test_bad_input_is_refused(entries, formula, options, message):
    with pytest.raises(HullError, match=message):
        stability_window(entries, formula, **{"mobile_element": "Li", "charge": 1, **options})
