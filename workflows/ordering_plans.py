"""From a disordered crystal of a campaign to batches of its orderings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Job
from pymatgen.core import Structure

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.documents.vibration_batch import PhononProtocol
from sse_screen.exceptions import InputError
from sse_screen.structures.checks import is_disordered
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.orderings import Ordering, OrderingCount, count_orderings, enumerate_orderings
from sse_screen.workflows.campaign import Orderings
from sse_screen.workflows.configurations import ConfigurationBatchMaker
from sse_screen.workflows.crystals import build_crystal
from sse_screen.workflows.packing import pack_orderings
from sse_screen.workflows.phonon_batches import PhononBatchMaker
from sse_screen.workflows.potentials import check_covered
from sse_screen.workflows.vibrations import VibrationBatchMaker, constant_energy_protocol

PutBlob = Callable[[bytes, str], BlobReference]


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
            jobs.append(made)
            for follower in self.followers:
                runs = follower.make(made.output, [made.uuid])
                runs.name = f"{self.label} {follower.name} {number} of {len(self.batches)}"
                jobs.append(runs)
        return Flow(jobs, name=f"{self.label} orderings")


def plan_orderings(section: Orderings, potential: PotentialIdentity, seed: int) -> PlannedOrderings:
    """Enumerate or sample the orderings of a disordered crystal and pack them.

    Parameters
    ----------
    section : Orderings
        Of the campaign file.
    potential : PotentialIdentity
        Of all jobs.
    seed : int
        Seed of a sample and of runs.

    Returns
    -------
    PlannedOrderings
        Nothing has been uploaded.

    Raises
    ------
    InputError
        If there is nothing to order, or no such occupancy.
    """
    parent = build_crystal(section)
    check_covered(parent, potential, section.label)
    count, found = _found(section, parent, seed)
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
    relaxation = ConfigurationBatchMaker(potential, protocol)
    return PlannedOrderings(
        section.label, relaxation, description, batches, _followers(section, parent, potential, seed)
    )


def _found(section: Orderings, parent: Structure, seed: int) -> tuple[OrderingCount, list[Ordering]]:
    """Count and list the orderings; an ordered crystal to compare with is its own only one."""
    if section.ordered_reference:
        if is_disordered(parent) or section.occupancy is not None:
            raise InputError(f"{section.label} is disordered or given an occupancy: no ordered_reference")
        return OrderingCount(1, 1, 1), [Ordering(structure_hash(parent), 1, 1.0, {}, parent=parent)]
    if not is_disordered(parent):
        raise InputError(
            f"{section.label} has no partial occupancies, so there is nothing to order; ordered_reference: "
            "true takes it as an ordered phase to compare with"
        )
    options = (parent, section.occupancy, section.exclusion_radius_A)
    listed = enumerate_orderings(*options, limit=section.maximum_configurations, seed=seed)
    return count_orderings(*options), list(listed)


def _followers(
    section: Orderings, parent: Structure, potential: PotentialIdentity, seed: int
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
                potential,
                tuple(runs.temperatures_K),
                constant_energy_protocol(runs.time_step_fs, runs.equilibration_ps, runs.production_ps),
                seed,
                runs.configurations_per_batch,
                runs.two_phase_species,
            )
        )
    if (phonons := section.phonons) is not None:
        given = phonons.model_dump(exclude={"temperatures_K", "configurations_per_batch"})
        makers.append(
            PhononBatchMaker(
                potential,
                tuple(phonons.temperatures_K),
                PhononProtocol(**given, relax_cell=section.relax_cell),
                phonons.configurations_per_batch,
            )
        )
    return tuple(makers)


def _occupancy_class(section: Orderings) -> str:
    if section.ordered_reference:
        return "ordered"
    if section.occupancy is None:
        return "mean occupancies"
    names = ":".join(section.occupancy)
    values = (
        str(v) if isinstance(v, int) else "".join(f"{s}{n}" for s, n in v.items())
        for v in section.occupancy.values()
    )
    return f"{names} = {':'.join(values)}"
