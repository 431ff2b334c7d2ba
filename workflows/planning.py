"""From a checked campaign to flows: every crystal is built and checked before anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobflow import Flow
from pymatgen.core import Element

from sse_screen.documents.base import PotentialIdentity
from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_mobile_ion
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.workflows.campaign import Campaign, CrystalSource, Material
from sse_screen.workflows.crystals import build_ordered
from sse_screen.workflows.development_planning import PlannedDevelopment, plan_development
from sse_screen.workflows.ordering_plans import PlannedOrderings, PutBlob, plan_orderings
from sse_screen.workflows.potentials import check_covered, choose_potential
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest
from sse_screen.workflows.survey_planning import PlannedSurvey, charge_of, plan_survey, spaces_of

LARGEST_CELL_ATOMS = 5000


@dataclass
class Plan:
    """All that a campaign will submit."""

    campaign: Campaign
    potential: PotentialIdentity
    flows: list[Flow] = field(default_factory=list)
    orderings: list[PlannedOrderings] = field(default_factory=list)
    crystals: list[str] = field(default_factory=list)
    survey: PlannedSurvey | None = None
    development: PlannedDevelopment | None = None

    @property
    def n_jobs(self) -> int:
        """Jobs in all; a survey or a development of a potential adds more while it runs."""
        ready = sum(len(flow.jobs) for flow in self.flows)
        packed = sum(len(o.batches) * (1 + len(o.followers)) for o in self.orderings)
        return ready + packed + (0 if self.development is None else self.development.n_jobs)

    def ready_flows(self, put_blob: PutBlob) -> list[Flow]:
        """Upload what is packed and give all flows.

        Parameters
        ----------
        put_blob : callable
            Stores bytes of a content type and gives their reference.

        Returns
        -------
        list of Flow
            All of the campaign.
        """
        flows = [*self.flows, *(planned.flow(put_blob) for planned in self.orderings)]
        return flows if self.development is None else [*flows, self.development.flow(put_blob)]


def plan_campaign(campaign: Campaign) -> Plan:
    """Build every crystal and flow of a campaign; refuse it whole when anything is wrong.

    Parameters
    ----------
    campaign : Campaign
        Checked fields.

    Returns
    -------
    Plan
        Nothing has been written anywhere.

    Raises
    ------
    InputError
        Listing every crystal that is refused, with its place in the file and the reason.
    """
    allowed = campaign.allow_unchecked_potential
    plan = Plan(campaign, choose_potential(campaign.potential, allow_unchecked=allowed))
    problems: list[str] = []
    spaces = [_space(hull.space, problems, f"hulls.{i}.space") for i, hull in enumerate(campaign.hulls)]

    requests: list[DiffusionRequest | HullEntryRequest] = []
    for i, material in enumerate(campaign.materials):
        with _collected(problems, f"materials.{i}"):
            requests.append(_diffusion(plan, material, spaces))
    for i, hull in enumerate(campaign.hulls):
        for j, entry in enumerate(hull.entries):
            with _collected(problems, f"hulls.{i}.entries.{j}"):
                requests.append(_competing(plan, entry, spaces[i]))
    if campaign.potential_development is None:
        plan.flows += [request.flow(plan.potential) for request in requests]
    else:
        with _collected(problems, "potential_development"):
            plan.development = plan_development(campaign, plan.potential, requests)
            plan.crystals += plan.development.crystals
    for i, orderings in enumerate(campaign.orderings):
        with _collected(problems, f"orderings.{i}"):
            planned = plan_orderings(orderings, plan.potential, campaign.seed)
            plan.crystals.append(planned.parent["parent_id"])
            plan.orderings.append(planned)
    if campaign.survey is not None:
        with _collected(problems, "survey"):
            plan.survey = plan_survey(campaign, plan.potential, spaces)
            plan.flows += plan.survey.flows
            plan.crystals.append(plan.survey.content_hash)
    if problems:
        raise InputError("\n".join(problems))
    return plan


@contextmanager
def _collected(problems: list[str], where: str) -> Iterator[None]:
    """Go on after a refusal, so that all of them are told at once."""
    try:
        yield
    except InputError as error:
        problems.append(f"{where}: {error}")


def _space(elements: list[str], problems: list[str], where: str) -> str:
    unknown = [e for e in elements if not Element.is_valid_symbol(e)]
    if unknown:
        problems.append(f"{where}: {', '.join(unknown)} is no element")
    return "-".join(sorted(set(elements)))


def _diffusion(plan: Plan, material: Material, spaces: list[str]) -> DiffusionRequest:
    campaign, dynamics = plan.campaign, plan.campaign.molecular_dynamics
    assert dynamics is not None  # checked by the campaign
    structure = build_ordered(material, campaign.seed, ionic=True)
    plan.crystals.append(structure_hash(structure))
    check_mobile_ion(structure, material.mobile_ion, material.label)
    check_covered(structure, plan.potential, material.label)
    charge_number = charge_of(material.mobile_ion, material.charge_number)
    length = material.minimum_length_A or dynamics.minimum_length_A
    n_atoms = len(supercell_with_minimum_length(structure, length))
    if n_atoms > LARGEST_CELL_ATOMS:
        raise InputError(f"{material.label}: minimum_length_A {length} makes a cell of {n_atoms} atoms")
    return DiffusionRequest(
        structure=structure.as_dict(),
        material_name=material.label,
        mobile_ion=material.mobile_ion,
        charge_number=charge_number,
        composition_spaces=spaces_of(structure, spaces),
        relaxation=campaign.relaxation,
        dynamics=dynamics.protocol,
        minimum_length_A=length,
        temperatures_K=material.temperatures_K or dynamics.temperatures_K,
        replicas=dynamics.replicas,
        seed=campaign.seed,
        extension=dynamics.extension,
        stop_early=dynamics.stop_early,
    )


def _competing(plan: Plan, entry: CrystalSource, space: str) -> HullEntryRequest:
    structure = build_ordered(entry, plan.campaign.seed, ionic=False)
    plan.crystals.append(structure_hash(structure))
    check_covered(structure, plan.potential, entry.label)
    if not spaces_of(structure, [space]):
        raise InputError(f"{entry.label} ({structure.composition.reduced_formula}) is not in {space}")
    return HullEntryRequest(
        structure=structure.as_dict(),
        name=entry.label,
        composition_spaces=[space],
        relaxation=plan.campaign.relaxation,
    )
