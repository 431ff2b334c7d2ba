"""Documents of hulls and configurational free energies: contents, units, ids, refusals."""

import numpy as np
import pytest

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.configurational_free_energy_parts import ConfigurationEnergy
from sse_screen.documents.convex_hull import ConvexHullDoc, reduced_formula
from sse_screen.thermodynamics.composition_space import HullEntry
from sse_screen.thermodynamics.hull import HullError
from sse_screen.thermodynamics.partition_function import FreeEnergyError

POTENTIAL = PotentialIdentity(name="chgnet", code="chgnet", code_version="0.4.2", weights_sha256="a" * 64)

ENTRIES = [
    HullEntry("Li2", -1.90, "li"),
    HullEntry("P4", -5.40, "p"),
    HullEntry("S32", -4.13, "s"),
    HullEntry("Li8S4", -4.00, "li2s"),
    HullEntry("P8S20", -4.55, "p2s5"),
    HullEntry("Li12P4S16", -4.45, "beta"),
    HullEntry("Li6P2S8", -4.46, "gamma"),
]


def test_hull_document():
    document = ConvexHullDoc.from_entries(ENTRIES, potential=POTENTIAL)
    assert document.chemical_system == "Li-P-S"
    assert document.level_of_theory == "chgnet aaaaaaaaaaaa"
    assert document.n_entries == 7
    gamma, beta = document.entries_of("Li3PS4")
    assert (gamma.entry_id, beta.entry_id) == ("gamma", "beta")
    assert gamma.stable
    assert not beta.stable
    assert beta.energy_above_hull_eV_per_atom == pytest.approx(0.01)
    assert beta.energy_above_hull_eV_per_formula_unit == pytest.approx(0.08)
    assert beta.energy_above_hull_eV_per_cell == pytest.approx(0.32)
    assert [(p.formula, p.atom_fraction) for p in beta.decomposition] == [("Li3PS4", pytest.approx(1.0))]
    assert "Li3PS4" in document.stable_formulas
    assert document.warnings == []
    assert ConvexHullDoc.model_validate_json(document.model_dump_json()) == document


def test_hull_document_does_not_depend_on_the_order_of_entries():
    first = ConvexHullDoc.from_entries(ENTRIES, potential=POTENTIAL)
    second = ConvexHullDoc.from_entries(ENTRIES[::-1], potential=POTENTIAL)
    assert first.model_dump(exclude={"built_at"}) == second.model_dump(exclude={"built_at"})


def test_suspicious_entry_is_flagged_and_not_served():
    document = ConvexHullDoc.from_entries(
        [*ENTRIES, HullEntry("Li7PS6", -9.0, "collapsed")], potential=POTENTIAL
    )
    assert document.suspicious_entry_ids == ["collapsed"]
    assert "Li7PS6" not in document.stable_formulas
    flagged = document.entries_of("Li7PS6")[0]
    assert flagged.suspicious
    assert flagged.energy_above_hull_eV_per_atom < -4
    assert any("suspicious" in warning for warning in document.warnings)


def test_pseudo_binary_document_has_its_own_id():
    entries = [entry for entry in ENTRIES if entry.entry_id in ("li2s", "p2s5", "beta", "gamma")]
    document = ConvexHullDoc.from_entries(entries, potential=POTENTIAL, end_members=["Li2S", "P2S5"])
    assert document.components == ["Li2S", "P2S5"]
    assert document.id != ConvexHullDoc.from_entries(ENTRIES, potential=POTENTIAL).id
    assert document.entries_of("Li3PS4")[0].component_fractions == pytest.approx([0.75, 0.25])
    expected = -4.46 - (9 * -4.00 + 7 * -4.55) / 16
    assert document.entries_of("Li3PS4")[0].formation_energy_eV_per_atom == pytest.approx(expected)


def test_missing_references_are_said():
    entries = [entry for entry in ENTRIES if entry.entry_id in ("li2s", "p2s5", "gamma")]
    document = ConvexHullDoc.from_entries(entries, potential=POTENTIAL)
    assert "no entry for Li, P, S" in document.warnings[0]
    assert document.entries[0].formation_energy_eV_per_atom is None


def test_mixed_levels_and_single_composition_are_refused():
    with pytest.raises(HullError, match="one level of theory"):
        ConvexHullDoc.from_entries([HullEntry("Li", -1.9, "a", "PBE"), HullEntry("S", -4.1, "b", "SCAN")])
    with pytest.raises(HullError, match="one composition"):
        ConvexHullDoc.from_entries([HullEntry("Li", -1.9), HullEntry("Li2", -1.8)])


def test_elements_keep_their_symbols():
    assert reduced_formula("O2") == "O"
    assert reduced_formula("Cl4") == "Cl"
    assert reduced_formula("Li24P4S20Cl4") == "Li6PS5Cl"


def configurations(n=50, seed=3, vibrations=False):
    rng = np.random.default_rng(seed)
    return [
        ConfigurationEnergy(
            configuration_id=f"c{i:03d}",
            energy_eV_per_cell=float(energy),
            degeneracy=float(degeneracy),
            free_energy_eV_per_cell=float(energy) - 1.0 if vibrations else None,
        )
        for i, (energy, degeneracy) in enumerate(
            zip(rng.normal(-220.0, 0.1, n), rng.integers(1, 25, n), strict=True)
        )
    ]


ARGUMENTS = {
    "parent": "li6ps5cl",
    "occupancy_class": "4a=2,4d=2",
    "cell_formula": "Li24P4S20Cl4",
    "temperature_K": 300.0,
    "potential": POTENTIAL,
}


def test_free_energy_document():
    document = ConfigurationalFreeEnergyDoc.from_configurations(configurations(), **ARGUMENTS)
    assert document.atoms_per_cell == 52
    assert document.formula == "Li6PS5Cl"
    assert document.is_complete
    assert document.free_energy.lower == document.free_energy.value == document.free_energy_eV_per_atom
    assert document.free_energy_eV_per_atom < document.lowest_energy_eV_per_atom
    assert document.free_energy_eV_per_atom == pytest.approx(
        document.internal_energy_eV_per_atom + document.configurational_entropy_term_eV_per_atom
    )
    assert len(document.likely_configurations) == 20
    assert document.likely_configurations[0].probability < 1
    again = ConfigurationalFreeEnergyDoc.from_configurations(configurations()[::-1], **ARGUMENTS)
    assert again.model_dump(exclude={"built_at"}) == document.model_dump(exclude={"built_at"})
    assert ConfigurationalFreeEnergyDoc.model_validate_json(document.model_dump_json()) == document


def test_distribution_and_convergence_are_in_the_document():
    document = ConfigurationalFreeEnergyDoc.from_configurations(configurations(), **ARGUMENTS)
    distribution, convergence = document.energy_distribution, document.convergence
    assert sum(distribution.orderings) == pytest.approx(1.0)
    assert sum(distribution.probabilities) == pytest.approx(1.0)
    middles = 0.5 * (
        np.array(distribution.bin_edges_meV_per_atom[1:]) + np.array(distribution.bin_edges_meV_per_atom[:-1])
    )
    mean = document.mean_energy_eV_per_atom - document.lowest_energy_eV_per_atom
    width = distribution.bin_edges_meV_per_atom[1]
    assert middles @ distribution.probabilities == pytest.approx(1e3 * mean, abs=width / 2)
    assert middles @ distribution.orderings > middles @ distribution.probabilities
    assert convergence.sample_sizes[-1] == 50
    assert convergence.free_energies_eV_per_atom[-1] == pytest.approx(document.free_energy_eV_per_atom)
    few = ConfigurationalFreeEnergyDoc.from_configurations(configurations(1), **ARGUMENTS)
    assert few.energy_distribution is None
    assert few.convergence is None


def test_sample_has_an_interval_and_a_warning():
    document = ConfigurationalFreeEnergyDoc.from_configurations(
        configurations(), **ARGUMENTS, total_orderings=1e6, seed=5
    )
    assert not document.is_complete
    assert document.free_energy.lower < document.free_energy_eV_per_atom < document.free_energy.upper
    assert document.free_energy.verdict == "unresolved"
    assert any("understates" in warning for warning in document.warnings)
    assert document.total_orderings == pytest.approx(1e6)


def test_noise_is_corrected_or_the_ranking_refused():
    small = ConfigurationalFreeEnergyDoc.from_configurations(
        configurations(), **ARGUMENTS, noise_eV_per_cell=0.01
    )
    assert small.noise_shift_eV_per_atom == pytest.approx(-(0.01**2) / (2 * 0.0258519998) / 52)
    assert small.ranking_allowed
    large = ConfigurationalFreeEnergyDoc.from_configurations(
        configurations(), **ARGUMENTS, noise_eV_per_cell=0.192
    )
    assert not large.ranking_allowed
    assert large.free_energy.verdict == "refused"
    assert large.likely_configurations == []


def test_vibrations_and_conventions_have_their_own_ids():
    with_vibrations = ConfigurationalFreeEnergyDoc.from_configurations(
        configurations(vibrations=True), **ARGUMENTS, with_vibrations=True
    )
    plain = ConfigurationalFreeEnergyDoc.from_configurations(configurations(vibrations=True), **ARGUMENTS)
    published = ConfigurationalFreeEnergyDoc.from_configurations(
        configurations(), **ARGUMENTS, convention="per_atom"
    )
    assert len({with_vibrations.id, plain.id, published.id}) == 3
    assert with_vibrations.internal_energy_eV_per_atom is None
    assert plain.free_energy_eV_per_atom - with_vibrations.free_energy_eV_per_atom == pytest.approx(1 / 52)
    with pytest.raises(FreeEnergyError, match="no free energy with vibrations"):
        ConfigurationalFreeEnergyDoc.from_configurations(configurations(), **ARGUMENTS, with_vibrations=True)


@pytest.mark.parametrize("model", [ConvexHullDoc, ConfigurationalFreeEnergyDoc])
def test_every_number_has_a_unit(model):
    schema = model.model_json_schema()
    own = set(model.model_fields) - {"seed"}
    for definition in [schema, *schema["$defs"].values()]:
        for name, field in definition["properties"].items():
            kinds = {field.get("type"), *(option.get("type") for option in field.get("anyOf", []))}
            if kinds & {"number", "integer"} and (definition is not schema or name in own):
                assert "unit" in field or definition.get("title") == "Quantity", name
