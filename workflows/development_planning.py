"""From the section that develops a potential to a flow, with its budget estimated before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobflow import Flow, Job
from pymatgen.core import Structure

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.exceptions import InputError
from sse_screen.structures.checks import check_neutral, is_disordered
from sse_screen.structures.identity import structure_hash
from sse_screen.workflows.campaign import Campaign, Orderings
from sse_screen.workflows.crystal_source import CrystalSource
from sse_screen.workflows.crystals import build_crystal
from sse_screen.workflows.development_cost import DevelopmentEstimate, estimate_development
from sse_screen.workflows.development_section import TRAINING_FILES, PotentialDevelopment
from sse_screen.workflows.development_training import PlannedTraining, plan_training
from sse_screen.workflows.ordering_plans import PlannedOrderings, PutBlob, plan_orderings
from sse_screen.workflows.potential_development import PotentialDevelopmentMaker
from sse_screen.workflows.potentials import check_covered
from sse_screen.workflows.relaxation import RelaxationMaker
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest

ORDERINGS_PER_JOB = 50
_N_SETS = 3


@dataclass(frozen=True)
class PlannedDevelopment:
    """The development of a potential, ready to be submitted."""

    maker: PotentialDevelopmentMaker
    training: PlannedTraining
    ordered: tuple[Job, ...]
    disordered: tuple[PlannedOrderings, ...]
    production: list[DiffusionRequest | HullEntryRequest]
    estimate: DevelopmentEstimate
    crystals: list[str]

    @property
    def n_jobs(self) -> int:
        """Jobs at submission; the others are added as it runs."""
        return len(self.ordered) + sum(len(planned.batches) for planned in self.disordered) + 1

    def flow(self, put_blob: PutBlob) -> Flow:
        """Upload the batches and compose the flow.

        Parameters
        ----------
        put_blob : callable
            Stores bytes of a content type and gives their reference.

        Returns
        -------
        Flow
            Relaxations and the selection.
        """
        batches = [planned.flow(put_blob) for planned in self.disordered]
        maker = replace(self.maker, training=self.training.uploaded(put_blob))
        return maker.make([*self.ordered, *batches], self.production)


def plan_development(
    campaign: Campaign, parent: PotentialIdentity, production: list[DiffusionRequest | HullEntryRequest]
) -> PlannedDevelopment:
    """Build and check the compositions and the training, and estimate what all of it will cost.

    Parameters
    ----------
    campaign : Campaign
        With a section that develops a potential.
    parent : PotentialIdentity
        What relaxes and samples, and is fine-tuned unless the training says otherwise.
    production : list
        What is to run with the new potential.

    Returns
    -------
    PlannedDevelopment
        Nothing has been written anywhere.

    Raises
    ------
    InputError
        If a crystal or a file is wrong, production has elements that no label covers, there are too few
        orderings for the split, or the estimate is beyond the budget.
    """
    section = campaign.potential_development
    assert section is not None  # the caller looked
    crystals = [_checked(source, parent) for source in section.compositions]
    _check_production(crystals, production)
    elements = {element.symbol for crystal in crystals for element in crystal.composition.elements}
    training = plan_training(section, parent, elements, campaign.seed)
    protocol = RelaxationProtocol(relax_cell=True, maximum_force_eV_per_A=0.08)
    ordered: list[Job] = []
    disordered: list[PlannedOrderings] = []
    for source, crystal in zip(section.compositions, crystals, strict=True):
        if is_disordered(crystal):
            disordered.append(plan_orderings(_orderings(section, source), parent, campaign.seed))
            continue
        made = RelaxationMaker(parent, protocol).make(crystal.remove_oxidation_states(), source.label)
        made.name = f"{source.label} relaxation"
        ordered.append(made)
    n_orderings = len(ordered) + sum(len(weights) for found in disordered for _, weights in found.batches)
    _check_split(section, n_orderings)
    codes = (parent.code, training.maker.code)
    estimate = estimate_development(section, crystals, n_orderings, production, codes)
    _check_budget(section, estimate)
    files = TRAINING_FILES & type(section.training).model_fields.keys()
    without_paths = {
        "compositions": [CrystalSource(prototype=source.label) for source in section.compositions],
        "training": section.training.model_copy(update=dict.fromkeys(files)),
    }
    maker = PotentialDevelopmentMaker(
        parent, section.model_copy(update=without_paths), training.maker, campaign.seed
    )
    hashes = [*(structure_hash(crystal) for crystal in crystals), *training.hashes]
    return PlannedDevelopment(
        maker, training, tuple(ordered), tuple(disordered), production, estimate, hashes
    )


def _checked(source: CrystalSource, parent: PotentialIdentity) -> Structure:
    crystal = build_crystal(source)
    check_neutral(crystal, name=source.label)
    check_covered(crystal, parent, source.label)
    return crystal


def _orderings(section: PotentialDevelopment, source: CrystalSource) -> Orderings:
    return Orderings(
        **source.model_dump(),
        exclusion_radius_A=section.exclusion_radius_A,
        maximum_configurations=section.maximum_orderings,
        batch_size=ORDERINGS_PER_JOB,
        relax_cell=True,
    )


def _check_production(
    crystals: list[Structure], production: list[DiffusionRequest | HullEntryRequest]
) -> None:
    learnt = {element.symbol for crystal in crystals for element in crystal.composition.elements}
    for request in production:
        name = request.material_name if isinstance(request, DiffusionRequest) else request.name
        crystal = Structure.from_dict(request.structure)
        foreign = {element.symbol for element in crystal.composition.elements} - learnt
        if foreign:
            raise InputError(
                f"{name} has {', '.join(sorted(foreign))}, which no composition has: the new potential will "
                "not know it; add a composition with it, or leave the crystal to another campaign"
            )


def _check_split(section: PotentialDevelopment, n_orderings: int) -> None:
    """Refuse what could not be split, before labels are paid for."""
    by_run = section.split.by == "run"
    chosen = min(section.selection.n_orderings, n_orderings)
    n_groups = section.n_runs(n_orderings) if by_run else chosen
    if n_groups < _N_SETS:
        way_out = "more temperatures or replicas" if by_run else "more orderings, or split: {by: run}"
        raise InputError(
            f"split: {n_groups} {'runs' if by_run else 'orderings'} cannot give a training, a validation and "
            f"a test set of which none knows the others' structures; ask for {way_out}"
        )


def _check_budget(section: PotentialDevelopment, estimate: DevelopmentEstimate) -> None:
    limit = section.budget
    if limit.calculations is not None and estimate.n_labels > limit.calculations:
        raise InputError(
            f"budget.calculations {limit.calculations}: the section asks for {estimate.n_labels} labels "
            "(selection.n_orderings x dynamics.temperatures_K x snapshots.frames)"
        )
    if limit.core_hours is not None and estimate.core_hours > limit.core_hours:
        raise InputError(f"budget.core_hours {limit.core_hours:g}: {estimate.describe()}")
