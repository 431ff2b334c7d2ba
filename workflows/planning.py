"""From a checked campaign to flows: every crystal is built and checked before anything is submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job
from pymatgen.core import Element, Structure

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.documents.vibration_batch import PhononProtocol
from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_mobile_ion, check_neutral, is_disordered
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.loading import load_structure
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.orderings import count_orderings, enumerate_orderings
from sse_screen.structures.prototypes import build_prototype
from sse_screen.structures.substitution import substitute_species
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.workflows.campaign import Campaign, CrystalSource, Material, Orderings
from sse_screen.workflows.configurations import ConfigurationBatchMaker
from sse_screen.workflows.packing import pack_orderings
from sse_screen.workflows.phonon_batches import PhononBatchMaker
from sse_screen.workflows.potentials import check_covered, choose_potential
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest
from sse_screen.workflows.survey_planning import PlannedSurvey, charge_of, plan_survey, spaces_of
from sse_screen.workflows.vibrations import VibrationBatchMaker, constant_energy_protocol

PutBlob = Callable[[bytes, str], BlobReference]
LARGEST_CELL_ATOMS = 5000


@dataclass(frozen=True)
class PlannedOrderings:
    """One disordered crystal of the campaign, its orderings packed in batches not yet uploaded."""

    label: str
    maker: ConfigurationBatchMaker
    parent: dict[str, Any]
    batches: list[tuple[bytes, dict[str, tuple[int, float]]]]
    followers: tuple[VibrationBatchMaker | PhononBatchMaker, ...] = ()

    def flow(self, put_blob: PutBlob) -> Flow:
        """Upload the batches and compose their jobs.

        Parameters
        ----------
        put_blob : callable
            Stores bytes of a content type and gives their reference.

        Returns
        -------
        Flow
            One job a batch.
        """
        jobs: list[Job | Flow] = []
        for number, (packed, weights) in enumerate(self.batches, 1):
            batch = put_blob(packed, "application/zstd+json")
            made = self.maker.make(batch, weights, self.parent)
            made.name = f"{self.label} configurations {number} of {len(self.batches)}"
            made.config.manager_config = {"_priority": 1}  # all relaxations before the long runs
            jobs.append(made)
            for follower in self.followers:
                runs = follower.make(made.output, [made.uuid])
                runs.name = f"{self.label} {follower.name} {number} of {len(self.batches)}"
                jobs.append(runs)
        return Flow(jobs, name=f"{self.label} orderings")


@dataclass
class Plan:
    """All that a campaign will submit."""

    campaign: Campaign
    potential: PotentialIdentity
    flows: list[Flow] = field(default_factory=list)
    orderings: list[PlannedOrderings] = field(default_factory=list)
    crystals: list[str] = field(default_factory=list)
    survey: PlannedSurvey | None = None

    @property
    def n_jobs(self) -> int:
        """Jobs in all; a survey adds those of its tiers while it runs."""
        return sum(len(flow.jobs) for flow in self.flows) + sum(
            len(o.batches) * (1 + len(o.followers)) for o in self.orderings
        )


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

    for i, material in enumerate(campaign.materials):
        with _collected(problems, f"materials.{i}"):
            plan.flows.append(_diffusion(plan, material, spaces).flow(plan.potential))
    for i, hull in enumerate(campaign.hulls):
        for j, entry in enumerate(hull.entries):
            with _collected(problems, f"hulls.{i}.entries.{j}"):
                plan.flows.append(_competing(plan, entry, spaces[i]).flow(plan.potential))
    for i, orderings in enumerate(campaign.orderings):
        with _collected(problems, f"orderings.{i}"):
            plan.orderings.append(_orderings(plan, orderings))
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


def _crystal(source: CrystalSource) -> Structure:
    if source.prototype is not None:
        structure = build_prototype(source.prototype)
    else:
        assert source.file is not None  # one of the two is given
        structure = load_structure(source.file)
    if source.substitute:
        structure = substitute_species(structure, source.substitute, source.label)
    return (
        structure if source.repeat == (1, 1, 1) else structure.make_supercell(source.repeat, in_place=False)
    )


def _ordered(source: CrystalSource, seed: int, *, ionic: bool) -> Structure:
    structure = _crystal(source)
    if ionic:  # a hull has metals and intermetallics too
        check_neutral(structure, name=source.label)
    if is_disordered(structure):
        if source.order is None:
            raise InputError(
                f"{source.label} has partial occupancies ({structure.composition.reduced_formula}); say how "
                "it is to be ordered (order: ewald or order: random), or list it under orderings"
            )
        structure = order_structure(structure, source.order, seed=seed, name=source.label)
    structure.remove_oxidation_states()
    return Structure.from_sites(structure.get_sorted_structure().sites)


def _diffusion(plan: Plan, material: Material, spaces: list[str]) -> DiffusionRequest:
    campaign, dynamics = plan.campaign, plan.campaign.molecular_dynamics
    assert dynamics is not None  # checked by the campaign
    structure = _ordered(material, campaign.seed, ionic=True)
    plan.crystals.append(structure_hash(structure))
    check_mobile_ion(structure, material.mobile_ion, material.label)
    check_covered(structure, plan.potential, material.label)
    charge_number = charge_of(material.mobile_ion, material.charge_number, material.label)
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
    )


def _competing(plan: Plan, entry: CrystalSource, space: str) -> HullEntryRequest:
    structure = _ordered(entry, plan.campaign.seed, ionic=False)
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


def _orderings(plan: Plan, section: Orderings) -> PlannedOrderings:
    parent = _crystal(section)
    plan.crystals.append(structure_hash(parent))
    check_covered(parent, plan.potential, section.label)
    if not is_disordered(parent):
        raise InputError(f"{section.label} has no partial occupancies, so there is nothing to order")
    options = (parent, section.occupancy, section.exclusion_radius_A)
    count = count_orderings(*options)
    found = list(enumerate_orderings(*options, limit=section.maximum_configurations, seed=plan.campaign.seed))
    protocol = RelaxationProtocol(relax_cell=section.relax_cell, maximum_force_eV_per_A=0.08)
    batches = []
    for start in range(0, len(found), section.batch_size):
        chosen = found[start : start + section.batch_size]
        packed = pack_orderings(
            parent, {o.id: o.sites for o in chosen}, section.occupancy, section.exclusion_radius_A
        )
        batches.append((packed, {o.id: (o.degeneracy, float(o.weight)) for o in chosen}))
    description = {
        "parent_id": structure_hash(parent),
        "parent_name": section.label,
        "occupancy_class": _occupancy_class(section),
        "n_labelled_total": count.labelled,
        "n_unique_total": count.unique,
        "sampled": count.unique > section.maximum_configurations,
        "temperatures_K": section.temperatures_K,
    }
    relaxation = ConfigurationBatchMaker(plan.potential, protocol)
    return PlannedOrderings(
        section.label, relaxation, description, batches, _followers(plan, section, parent)
    )


def _followers(
    plan: Plan, section: Orderings, parent: Structure
) -> tuple[VibrationBatchMaker | PhononBatchMaker, ...]:
    """Give what is to be done with the relaxed configurations."""
    makers: list[VibrationBatchMaker | PhononBatchMaker] = []
    if (runs := section.vibrations) is not None:
        species = {element.symbol for element in parent.composition.elements}
        if runs.two_phase_species not in {None, *species}:
            raise InputError(
                f"{section.label}: vibrations.two_phase_species {runs.two_phase_species!r} is not in the "
                f"crystal ({', '.join(sorted(species))})"
            )
        makers.append(
            VibrationBatchMaker(
                plan.potential,
                tuple(runs.temperatures_K),
                constant_energy_protocol(runs.time_step_fs, runs.equilibration_ps, runs.production_ps),
                plan.campaign.seed,
                runs.configurations_per_batch,
                runs.two_phase_species,
            )
        )
    if (phonons := section.phonons) is not None:
        given = phonons.model_dump(exclude={"temperatures_K", "configurations_per_batch"})
        makers.append(
            PhononBatchMaker(
                plan.potential,
                tuple(phonons.temperatures_K),
                PhononProtocol(**given, relax_cell=section.relax_cell),
                phonons.configurations_per_batch,
            )
        )
    return tuple(makers)


def _occupancy_class(section: Orderings) -> str:
    if section.occupancy is None:
        return "mean occupancies"
    names = ":".join(section.occupancy)
    values = (
        str(v) if isinstance(v, int) else "".join(f"{s}{n}" for s, n in v.items())
        for v in section.occupancy.values()
    )
    return f"{names} = {':'.join(values)}"
