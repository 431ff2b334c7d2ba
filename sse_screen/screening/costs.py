"""What the molecular dynamics of a survey costs, before and after the first runs have told the speed."""

from __future__ import annotations

from collections.abc import Sequence

from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.relaxation import RelaxationOutput
from sse_screen.documents.survey import SurveyTier
from sse_screen.exceptions import InputError

#: evaluations of a relaxation, for estimates: most crystals of a survey need 20 to 100
RELAXATION_EVALUATIONS = 60
SECONDS_PER_HOUR = 3600.0


def tier_core_hours(
    tier: SurveyTier,
    n_atoms: int,
    ms_per_atom_and_step: float,
    earlier: Sequence[MolecularDynamicsOutput] = (),
) -> float:
    """Estimate the molecular dynamics of one crystal in one tier.

    Parameters
    ----------
    tier : SurveyTier
        Temperatures, replicas, protocol.
    n_atoms : int
        Atoms in the simulated cell.
    ms_per_atom_and_step : float
        Speed of the potential (ms of one core); the cost of a local potential is linear in the atoms.
    earlier : sequence of MolecularDynamicsOutput
        Finished runs of the same crystal and seeds; the tier's go on from those that begin alike.

    Returns
    -------
    float
        Core hours.
    """
    n_steps = tier.n_runs * tier.protocol.n_steps - _steps_taken_over(tier, earlier)
    return n_steps * n_atoms * ms_per_atom_and_step / 1000 / SECONDS_PER_HOUR


def _steps_taken_over(tier: SurveyTier, earlier: Sequence[MolecularDynamicsOutput]) -> int:
    taken = 0
    for temperature_K in tier.temperatures_K:
        alike = [
            run.n_steps
            for run in earlier
            if run.temperature_K == temperature_K
            and run.stopped is None
            and run.protocol.is_start_of(tier.protocol)
        ]
        taken += sum(alike[: tier.replicas])
    return taken


def relaxation_core_hours(n_atoms: int, ms_per_atom_and_step: float) -> float:
    """Estimate the relaxation of one crystal.

    Parameters
    ----------
    n_atoms : int
        Atoms in the cell that is relaxed.
    ms_per_atom_and_step : float
        Speed of the potential (ms of one core).

    Returns
    -------
    float
        Core hours.
    """
    return RELAXATION_EVALUATIONS * n_atoms * ms_per_atom_and_step / 1000 / SECONDS_PER_HOUR


def own_core_hours(outputs: Sequence[MolecularDynamicsOutput | RelaxationOutput]) -> float:
    """Add up what finished jobs have spent themselves.

    Parameters
    ----------
    outputs : sequence of MolecularDynamicsOutput or RelaxationOutput
        Any; results that were taken over from other jobs cost nothing.

    Returns
    -------
    float
        Core hours.
    """
    return sum(found.total_time_s for found in outputs if found.reused_from is None) / SECONDS_PER_HOUR


def atom_steps(runs: Sequence[MolecularDynamicsOutput]) -> int:
    """Count what finished runs have done themselves.

    Parameters
    ----------
    runs : sequence of MolecularDynamicsOutput
        Any.

    Returns
    -------
    int
        Atoms times integration steps; those of the shorter runs that they went on from are not counted.
    """
    return sum((run.n_steps - run.n_continued_steps) * run.n_atoms for run in runs)


def measured_ms_per_atom_and_step(runs: Sequence[MolecularDynamicsOutput]) -> float:
    """Take the speed from finished runs.

    Parameters
    ----------
    runs : sequence of MolecularDynamicsOutput
        At least one.

    Returns
    -------
    float
        ms of one core for an atom and a step.

    Raises
    ------
    InputError
        Without runs.
    """
    work = atom_steps(runs)
    if not work:
        raise InputError("no finished run to take the speed from")
    return 1000 * sum(run.total_time_s for run in runs) / work


def affordable(costs_core_hours: Sequence[float], budget_core_hours: float | None) -> list[bool]:
    """Tell which of many fit into a budget, the cheapest first, so that most of them do.

    Parameters
    ----------
    costs_core_hours : sequence of float
        Cost of each.
    budget_core_hours : float or None
        Limit; None for no limit.

    Returns
    -------
    list of bool
        One each, in their order.
    """
    if budget_core_hours is None:
        return [True] * len(costs_core_hours)
    kept, spent = [False] * len(costs_core_hours), 0.0
    for number in sorted(range(len(costs_core_hours)), key=lambda i: (costs_core_hours[i], i)):
        spent += costs_core_hours[number]
        if spent > budget_core_hours:
            break
        kept[number] = True
    return kept
