"""Filters of a survey: reasons, counts, and nothing that stops the others."""

import pytest
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure

from sse_screen.structures.filters import FILTERS, Candidate, FilterSettings, apply_filters
from sse_screen.structures.prototypes import build_prototype, list_prototypes


def candidate(name: str, **values: float) -> Candidate:
    """Return a prototype as a candidate."""
    return Candidate(name, build_prototype(name), **values)


def reason(one: Candidate, **settings: object) -> tuple[str, str]:
    """Return filter and reason of the only rejection."""
    kept, report = apply_filters([one], FilterSettings.model_validate(settings))
    assert kept == []
    (rejection,) = report.rejections
    return rejection.filter, rejection.reason


def test_every_electrolyte_with_lithium_passes_the_defaults_unless_disordered() -> None:
    survey = [candidate(p.name) for p in list_prototypes()]
    kept, report = apply_filters(survey, FilterSettings())
    refused = {r.name: r.filter for r in report.rejections}
    for p in list_prototypes():
        if p.name in refused:
            expected = "mobile_ion" if p.is_ordered else "ordered"
            assert refused[p.name] == expected
            assert not p.is_ordered or "Li" not in p.formula
        else:
            assert p.name in {c.name for c in kept}
    assert {"lgps", "llzo-cubic", "li3ycl6"} <= set(report.kept)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("lgps", {"excluded_elements": ["Ge", "Sn"]}, ("excluded_elements", "has the excluded Ge")),
        ("lgps", {"maximum_atoms": 49}, ("cell_size", "has 50 atoms, more than 49")),
        ("lgps", {"mobile_ion": "Na"}, ("mobile_ion", "no mobile ion Na")),
        ("lgps", {"minimum_mobile_fraction": 0.5}, ("mobile_ion", "Li is 0.400 of the atoms, less than 0.5")),
        ("li6ps5cl-disordered", {}, ("ordered", "partly occupied sites")),
        ("o2", {}, ("mobile_ion", "no mobile ion Li")),
    ],
)
def test_reasons(name: str, settings: dict[str, object], expected: tuple[str, str]) -> None:
    found, text = reason(candidate(name), **settings)
    assert found == expected[0]
    assert expected[1] in text


def test_charged_crystal() -> None:
    crystal = build_prototype("lgps")
    crystal.remove_sites([0])
    found, text = reason(Candidate("vacancy", crystal))
    assert found == "neutral"
    assert "-1.000 e" in text


def test_atoms_on_one_another() -> None:
    crystal = Structure(Lattice.cubic(5), ["Li", "Cl"], [[0, 0, 0], [0.01, 0, 0]])
    assert reason(Candidate("bad", crystal))[0] == "sane"


@pytest.mark.parametrize(
    ("limit", "value", "passes", "not_known"), [(0.05, 0.05, 1, 0), (0.05, 0.051, 0, 0), (0.05, None, 1, 1)]
)
def test_energy_above_hull(limit: float, value: float | None, passes: int, not_known: int) -> None:
    one = Candidate("x", build_prototype("li3n"), energy_above_hull_eV_per_atom=value)
    kept, report = apply_filters([one], FilterSettings(maximum_energy_above_hull_eV_per_atom=limit))
    assert len(kept) == passes
    counts = {c.filter: c for c in report.counts}
    assert counts["energy_above_hull"].not_known == not_known


def test_band_gap() -> None:
    one = Candidate("x", build_prototype("li3n"), band_gap_eV=1.2)
    assert reason(one, minimum_band_gap_eV=2.0) == ("band_gap", "has a band gap of 1.20 eV, less than 2.0")
    kept, _ = apply_filters([one], FilterSettings(minimum_band_gap_eV=1.2))
    assert kept == [one]


def test_counts_add_up() -> None:
    survey = [candidate(n) for n in ("lgps", "o2", "licl", "li6ps5cl-disordered", "llzo-cubic")]
    kept, report = apply_filters(survey, FilterSettings(maximum_atoms=60))
    assert [c.filter for c in report.counts] == list(FILTERS)
    assert report.counts[0].tested == len(survey)
    for before, after in zip(report.counts, report.counts[1:], strict=False):
        assert after.tested == before.tested - before.refused
    assert sum(c.refused for c in report.counts) == len(report.rejections) == len(survey) - len(kept)
    assert report.kept == ("lgps", "licl")


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="'Xx' is no element"):
        FilterSettings(mobile_ion="Xx")
    with pytest.raises(ValidationError, match="'li' is no element"):
        FilterSettings(excluded_elements=("Ge", "li"))
    with pytest.raises(ValidationError, match="Extra inputs"):
        FilterSettings.model_validate({"max_atoms": 3})
