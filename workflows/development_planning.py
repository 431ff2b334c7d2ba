"""From the section that develops a potential to a flow, with its budget estimated before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from jobflow import Flow, Job
from pymatgen.core import Structure

from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.exceptions import InputError
from sse_screen.screening.costs import SECONDS_PER_HOUR
from sse_screen.structures.checks import check_neutral, is_disordered
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.training.cost import label_core_seconds
from sse_screen.workflows.campaign import Campaign, Orderings
from sse_screen.workflows.crystal_source import CrystalSource
from sse_screen.workflows.crystals import build_crystal
from sse_screen.workflows.development_section import PotentialDevelopment, TeacherLabels
from sse_screen.workflows.ordering_plans import PlannedOrderings, PutBlob, plan_orderings
from sse_screen.workflows.potential_development import PotentialDevelopmentMaker
from sse_screen.workflows.potentials import check_covered
from sse_screen.workflows.relaxation import RelaxationMaker
from sse_screen.workflows.requests import DiffusionRequest, HullEntryRequest

#: ms of one core for an atom and a step of CHGNet; measured speeds are 0.4 to 0.8
MS_PER_ATOM_AND_STEP = 0.6
ORDERINGS_PER_JOB = 50


@dataclass(frozen=True)
class DevelopmentEstimate:
    """What the development of a potential will take, good to a factor of two or three.

    Attributes
    ----------
    n_labels : int
        Labels.
    label_core_hours : float
        Core hours of all labels.
    dynamics_core_hours : float
        Core hours of the sampling runs.
    """

    n_labels: int
    label_core_hours: float
    dynamics_core_hours: float

    def describe(self) -> str:
        """Say it in one line.

        Returns
        -------
        str
            With numbers and units.
        """
        return (
            f"about {self.n_labels} labels ({self.label_core_hours:.2g} core hours) and "
            f"{self.dynamics_core_hours:.2g} core hours of sampling runs, training and production apart; "
            "the times are good to a factor of two or three"
        )


@dataclass(frozen=True)
class PlannedDevelopment:
    """The development of a potential, ready to be submitted."""

    maker: PotentialDevelopmentMaker
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
        return self.maker.make([*self.ordered, *batches], self.production)


def plan_development(
    campaign: Campaign, parent: PotentialIdentity, production: list[DiffusionRequest | HullEntryRequest]
) -> PlannedDevelopment:
    """Build and check the compositions, and estimate what the labels will cost.

    Parameters
    ----------
    campaign : Campaign
        With a section that develops a potential.
    parent : PotentialIdentity
        What is fine-tuned.
    production : list
        What is to run with the new potential.

    Returns
    -------
    PlannedDevelopment
        Nothing has been written anywhere.

    Raises
    ------
    InputError
        If a crystal is wrong, production has elements that no label covers, or the estimate is beyond the
        budget.
    """
    section = campaign.potential_development
    assert section is not None  # the caller looked
    crystals = [_checked(source, parent) for source in section.compositions]
    _check_production(crystals, production)
    estimate = estimate_development(section, crystals)
    _check_budget(section, estimate)
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
    without_paths = [CrystalSource(prototype=source.label) for source in section.compositions]
    maker = PotentialDevelopmentMaker(
        parent, section.model_copy(update={"compositions": without_paths}), campaign.seed
    )
    hashes = [structure_hash(crystal) for crystal in crystals]
    return PlannedDevelopment(maker, tuple(ordered), tuple(disordered), production, estimate, hashes)


def estimate_development(section: PotentialDevelopment, crystals: list[Structure]) -> DevelopmentEstimate:
    """Estimate labels and sampling runs.

    Parameters
    ----------
    section : PotentialDevelopment
        Of the campaign file.
    crystals : list of Structure
        Its compositions; the orderings are taken to be shared out equally among them.

    Returns
    -------
    DevelopmentEstimate
        Labels by a potential are counted as free.
    """
    asked = section.dynamics
    cells = [supercell_with_minimum_length(crystal, asked.minimum_length_A) for crystal in crystals]
    n_labels = section.n_runs * section.snapshots.structures_per_run
    n_atoms = sum(map(len, cells)) / len(cells)
    dynamics_s = section.n_runs * asked.protocol.n_steps * n_atoms * MS_PER_ATOM_AND_STEP / 1000
    label_s = 0.0
    if not isinstance(section.labels, TeacherLabels):
        settings = section.labels.settings
        options = (settings.cutoff_eV, settings.k_point_spacing_per_A, settings.functional)
        label_s = sum(label_core_seconds(cell, *options) for cell in cells) / len(cells)
    hour = SECONDS_PER_HOUR
    return DevelopmentEstimate(n_labels, n_labels * label_s / hour, dynamics_s / hour)


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


def _check_budget(section: PotentialDevelopment, estimate: DevelopmentEstimate) -> None:
    limit = section.budget
    hours = estimate.label_core_hours + estimate.dynamics_core_hours
    if limit.calculations is not None and estimate.n_labels > limit.calculations:
        raise InputError(
            f"budget.calculations {limit.calculations}: the section asks for {estimate.n_labels} labels "
            "(selection.n_orderings x dynamics.temperatures_K x snapshots.frames)"
        )
    if limit.core_hours is not None and hours > limit.core_hours:
        raise InputError(f"budget.core_hours {limit.core_hours:g}: {estimate.describe()}")
