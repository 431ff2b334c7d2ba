"""From the survey section of a campaign to flows: crystals read, filtered and costed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jobflow import Flow
from pymatgen.core import Structure

from sse_screen.documents.base import PotentialIdentity, content_hash
from sse_screen.documents.survey import FilterResult, SurveyCrystal, SurveyOutput
from sse_screen.exceptions import InputError
from sse_screen.screening.costs import affordable, relaxation_core_hours, tier_core_hours
from sse_screen.structures.checks import is_disordered
from sse_screen.structures.filters import Candidate, Rejection, apply_filters
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.supercells import supercell_size
from sse_screen.structures.surveys import read_candidates
from sse_screen.workflows.campaign import MOBILE_ION_CHARGES, Campaign, Survey
from sse_screen.workflows.potentials import check_covered
from sse_screen.workflows.relaxation import RelaxationMaker
from sse_screen.workflows.survey import SurveyMaker, record_survey
from sse_screen.workflows.survey_budget import budget_entry


@dataclass(frozen=True)
class PlannedSurvey:
    """A survey ready to be submitted.

    Attributes
    ----------
    output : SurveyOutput
        All crystals with the filters' answers, and the estimates.
    flows : list of Flow
        The record of the survey, and one flow a crystal.
    first_tier_core_hours : dict
        By budget entry, the estimates that are granted at submission.
    """

    output: SurveyOutput
    flows: list[Flow]
    first_tier_core_hours: dict[str, float]

    @property
    def content_hash(self) -> str:
        """Hash of what the survey is of, wherever its files lie."""
        left_out = {"reason"}  # it may name a path
        return content_hash([c.model_dump(mode="json", exclude=left_out) for c in self.output.crystals])


@dataclass
class _Accepted:
    """One crystal on its way through the planning."""

    candidate: Candidate
    structure: Structure
    n_atoms: int
    core_hours: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Chosen:
    """The accepted crystals, the description of all, and the counts of the filters."""

    accepted: list[_Accepted]
    crystals: list[SurveyCrystal]
    counts: list[FilterResult]


def plan_survey(campaign: Campaign, potential: PotentialIdentity, spaces: list[str]) -> PlannedSurvey:
    """Read, filter, order and cost the crystals of a survey.

    Parameters
    ----------
    campaign : Campaign
        With a survey section.
    potential : PotentialIdentity
        Of all runs.
    spaces : list of str
        Composition spaces of the campaign's hulls; relaxed crystals belong to those that hold them.

    Returns
    -------
    PlannedSurvey
        Also when crystals are refused: they are in its output with their reasons.

    Raises
    ------
    InputError
        When the folder or table itself cannot be used, or no crystal is left.
    """
    survey = campaign.survey
    assert survey is not None  # the caller looked
    filters = survey.filters
    charge_number = charge_of(filters.mobile_ion, survey.charge_number)
    chosen = _chosen(survey, potential, campaign.seed)
    output = _output(campaign, potential, charge_number, chosen)
    maker = SurveyMaker(
        campaign.name,
        potential,
        RelaxationMaker(potential, campaign.relaxation),
        tuple(survey.tiers),
        survey.minimum_length_A,
        campaign.seed,
    )
    flows = [Flow([record_survey(output)], name=f"{campaign.name} record")]
    granted = {}
    for crystal in chosen.accepted:
        name, structure = crystal.candidate.name, crystal.structure
        in_spaces = spaces_of(structure, spaces)
        flows.append(maker.make(structure, name, filters.mobile_ion, charge_number, in_spaces))
        granted[budget_entry(structure_hash(structure), 1)] = crystal.core_hours[0]
    return PlannedSurvey(output, flows, granted)


def charge_of(mobile_ion: str, given: int | None) -> int:
    """Give the charge of a mobile ion.

    Parameters
    ----------
    mobile_ion : str
        Element.
    given : int or None
        What the campaign says.

    Returns
    -------
    int
        In units of e.

    Raises
    ------
    InputError
        When it is neither given nor known.
    """
    charge_number = MOBILE_ION_CHARGES.get(mobile_ion) if given is None else given
    if charge_number is None:
        raise InputError(f"give charge_number, the charge of {mobile_ion}")
    return charge_number


def spaces_of(structure: Structure, spaces: list[str]) -> list[str]:
    """Choose the composition spaces that a crystal lies in.

    Parameters
    ----------
    structure : Structure
        The crystal.
    spaces : list of str
        Elements joined by dashes.

    Returns
    -------
    list of str
        Those with all of its elements.
    """
    elements = {element.symbol for element in structure.composition.elements}
    return [space for space in spaces if elements <= set(space.split("-"))]


def _chosen(survey: Survey, potential: PotentialIdentity, seed: int) -> _Chosen:
    """Read, filter, order, size and cost."""
    filters = survey.filters
    if survey.order is not None:
        filters = filters.model_copy(update={"allow_disorder": True})
    candidates, unreadable = read_candidates(survey.crystals)
    kept, report = apply_filters(candidates, filters)
    prepared, unfit = _prepared(kept, survey, potential, seed)
    accepted, too_dear = _within_budget(prepared, survey)
    rejections = [*unreadable, *report.rejections, *unfit, *too_dear]
    if not accepted:
        reasons = "; ".join(f"{r.name} ({r.filter}): {r.reason}" for r in rejections[:5])
        raise InputError(f"{survey.crystals}: no crystal passes the filters: {reasons}")
    counts = [
        _count("readable", len(candidates) + len(unreadable), len(unreadable)),
        *(FilterResult.model_validate(count.model_dump()) for count in report.counts),
        *_counts(("potential", "ordering", "supercell", "copies"), len(kept), unfit),
        _count("budget", len(prepared), len(too_dear)),
    ]
    return _Chosen(accepted, _crystals(candidates, accepted, rejections), counts)


def _counts(names: tuple[str, ...], tested: int, refused: list[Rejection]) -> Iterator[FilterResult]:
    for name in names:
        number = sum(rejection.filter == name for rejection in refused)
        yield _count(name, tested, number)
        tested -= number


def _count(name: str, tested: int, refused: int) -> FilterResult:
    return FilterResult(filter=name, tested=tested, refused=refused, not_known=0)


def _prepared(
    candidates: list[Candidate], survey: Survey, potential: PotentialIdentity, seed: int
) -> tuple[list[_Accepted], list[Rejection]]:
    """Order and size the crystals; refuse what cannot be, what the potential does not know, and copies."""
    accepted, refused = [], []
    seen: dict[str, str] = {}
    for candidate in candidates:
        name, test = candidate.name, "potential"
        try:
            check_covered(candidate.structure, potential, name)
            test = "ordering"
            structure = _ordered(candidate, survey, seed)
            test = "supercell"
            n_atoms = supercell_size(structure, survey.minimum_length_A)
            if n_atoms > survey.maximum_supercell_atoms:
                limit = survey.maximum_supercell_atoms
                raise InputError(f"its supercell has {n_atoms} atoms, more than {limit}")
            test = "copies"
            earlier = seen.setdefault(structure_hash(structure), name)
            if earlier != name:
                raise InputError(f"is the same crystal as {earlier}")
        except InputError as error:
            reason = str(error).removeprefix(f"{name}: ")
            refused.append(Rejection(name=name, filter=test, reason=reason))
            continue
        accepted.append(_Accepted(candidate, structure, n_atoms))
    return accepted, refused


def _ordered(candidate: Candidate, survey: Survey, seed: int) -> Structure:
    structure = candidate.structure
    if is_disordered(structure):
        assert survey.order is not None  # the survey lets no disordered crystal pass otherwise
        structure = order_structure(structure, survey.order, seed=seed, name=candidate.name)
    structure = structure.copy()
    structure.remove_oxidation_states()
    return Structure.from_sites(structure.get_sorted_structure().sites)


def _within_budget(accepted: list[_Accepted], survey: Survey) -> tuple[list[_Accepted], list[Rejection]]:
    """Keep the crystals whose first tier the budget can pay, the cheapest first."""
    speed = survey.ms_per_atom_and_step
    for crystal in accepted:
        crystal.core_hours = [tier_core_hours(tier, crystal.n_atoms, speed) for tier in survey.tiers]
        crystal.core_hours[0] += relaxation_core_hours(len(crystal.structure), speed)
    fits = affordable([crystal.core_hours[0] for crystal in accepted], survey.budget_core_hours)
    kept = [crystal for crystal, fit in zip(accepted, fits, strict=True) if fit]
    refused = [
        Rejection(
            name=crystal.candidate.name,
            filter="budget",
            reason=f"its first tier would take {crystal.core_hours[0]:.2g} core hours; cheaper ones fill the "
            f"budget of {survey.budget_core_hours:g}",
        )
        for crystal, fit in zip(accepted, fits, strict=True)
        if not fit
    ]
    return kept, refused


def _crystals(
    candidates: list[Candidate], accepted: list[_Accepted], rejections: list[Rejection]
) -> list[SurveyCrystal]:
    """Describe every crystal of the survey: those that could be read in their order, then the others."""
    chosen = {crystal.candidate.name: crystal for crystal in accepted}
    reasons = {rejection.name: rejection for rejection in rejections}
    described = []
    for candidate in candidates:
        crystal, rejection = chosen.get(candidate.name), reasons.get(candidate.name)
        described.append(
            SurveyCrystal(
                name=candidate.name,
                material_id=None if crystal is None else structure_hash(crystal.structure),
                formula=candidate.structure.composition.reduced_formula,
                n_atoms=None if crystal is None else crystal.n_atoms,
                energy_above_hull_eV_per_atom=candidate.energy_above_hull_eV_per_atom,
                band_gap_eV=candidate.band_gap_eV,
                refused_by=None if rejection is None else rejection.filter,
                reason=None if rejection is None else rejection.reason,
            )
        )
    read = {candidate.name for candidate in candidates}
    described += [
        SurveyCrystal(name=r.name, refused_by=r.filter, reason=r.reason)
        for r in rejections
        if r.name not in read
    ]
    return described


def _output(
    campaign: Campaign, potential: PotentialIdentity, charge_number: int, chosen: _Chosen
) -> SurveyOutput:
    survey = campaign.survey
    assert survey is not None
    tiers = range(len(survey.tiers))
    output = SurveyOutput(
        calculation_key="",
        survey=campaign.name,
        mobile_ion=survey.filters.mobile_ion,
        charge_number=charge_number,
        potential=potential,
        tiers=survey.tiers,
        budget_core_hours=survey.budget_core_hours,
        estimated_core_hours=[sum(crystal.core_hours[i] for crystal in chosen.accepted) for i in tiers],
        filters=chosen.counts,
        crystals=chosen.crystals,
    )
    return output.model_copy(update={"calculation_key": content_hash(output.model_dump(mode="json"))})
