"""Jobs of a survey: each crystal is relaxed, run in one tier after another, and judged in between.

Every crystal is a workflow of its own, so that one that fails stops no other. A tier's runs are added by the
job that starts it, which asks the budget first; the job that judges the tier reads its trajectories, writes
down what became of the crystal and why, and adds the start of the next tier. Priorities make the workers do
all first tiers before any second one, and there the best conductors first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job
from pymatgen.core import Structure

from sse_screen.database.stores import launchpad
from sse_screen.database.trajectories import used_frames
from sse_screen.documents.base import PotentialIdentity, Quantity, content_hash
from sse_screen.documents.diffusivity import DiffusivityDoc, group_of
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.documents.relaxation import RelaxationOutput
from sse_screen.documents.survey import (
    Action,
    SurveyDecisionOutput,
    SurveyOutput,
    SurveyTier,
    TierConductivity,
)
from sse_screen.exceptions import InfrastructureError, SseScreenError
from sse_screen.screening.costs import (
    atom_steps,
    measured_ms_per_atom_and_step,
    own_core_hours,
    tier_core_hours,
)
from sse_screen.screening.promotion import (
    BEGINNING_PRIORITY,
    FIRST_TIER_PRIORITY,
    JUDGEMENT_PRIORITY,
    decide_promotion,
)
from sse_screen.settings import get_settings
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.supercells import supercell_size
from sse_screen.transport.conductivity import nernst_einstein
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker, derived_seed
from sse_screen.workflows.monitoring import failure_reason, jobs_in_progress
from sse_screen.workflows.relaxation import RelaxationMaker
from sse_screen.workflows.runtime import worker
from sse_screen.workflows.survey_budget import (
    Grant,
    ask,
    budget_entry,
    failed_core_hours,
    measured_speed,
    revise,
    settle,
)


class RunsNotOverError(InfrastructureError):
    """A judgement was asked for before the jobs that it judges had ended."""


@job
def record_survey(survey: SurveyOutput | dict[str, Any]) -> Response[SurveyOutput]:
    """Put the survey itself among the outputs, so that the crystals refused by filters are known too.

    Parameters
    ----------
    survey : SurveyOutput
        As submitted.

    Returns
    -------
    Response
        The same.
    """
    return Response(output=SurveyOutput.model_validate(survey))


@dataclass
class SurveyMaker(Maker):
    """Take one crystal through the tiers of a survey.

    Parameters
    ----------
    survey : str
        Name of the campaign.
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    relaxation : RelaxationMaker
        First step.
    tiers : tuple of SurveyTier
        Rounds of molecular dynamics, in their order.
    minimum_length_A : float
        Smallest perpendicular width of the simulated cell (Å).
    seed : int
        Seed of the campaign; every run's is derived from it.
    """

    survey: str
    potential: PotentialIdentity
    relaxation: RelaxationMaker
    tiers: tuple[SurveyTier, ...]
    minimum_length_A: float
    seed: int = 1
    name: str = "survey"

    def make(
        self,
        structure: Structure,
        material_name: str,
        mobile_ion: str,
        charge_number: int,
        composition_spaces: list[str] | None = None,
    ) -> Flow:
        """Compose the beginning of a crystal's way: its relaxation and the start of the first tier.

        Parameters
        ----------
        structure : Structure
            Ordered unit cell.
        material_name : str
            Name in the survey.
        mobile_ion : str
            Mobile element.
        charge_number : int
            Its charge in units of e.
        composition_spaces : list of str, optional
            Spaces whose hull the relaxed crystal belongs to.

        Returns
        -------
        Flow
            Two jobs; the others are added while it runs.
        """
        relaxation = self.relaxation.make(structure, material_name, composition_spaces)
        relaxation.name = f"{material_name} relaxation"
        relaxation.config = _config(BEGINNING_PRIORITY)
        material = {
            "material_id": structure_hash(structure),
            "material_name": material_name,
            "mobile_ion": mobile_ion,
            "charge_number": charge_number,
        }
        started = self._start_job(material, relaxation.output, 1, FIRST_TIER_PRIORITY, [relaxation.uuid])
        started.config = _config(BEGINNING_PRIORITY, OnMissing.NONE)
        return Flow([relaxation, started], name=f"{material_name} {self.name}")

    def _start_job(
        self,
        material: dict[str, Any],
        relaxed: Any,
        tier: int,
        priority: int,
        inputs: list[str],
        core_hours: float | None = None,
    ) -> Job:
        made = self.start(material, relaxed, tier, priority, inputs, core_hours)
        made.name = f"{material['material_name']} tier {tier} start"
        made.config = _config(priority, OnMissing.NONE)
        return made

    @job
    def start(
        self,
        material: dict[str, Any],
        relaxed: RelaxationOutput | dict[str, Any] | None,
        tier: int,
        priority: int,
        inputs: list[str],
        core_hours: float | None = None,
    ) -> Response[SurveyDecisionOutput | None]:
        """Add the runs of a tier, if the budget allows them.

        Parameters
        ----------
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        relaxed : RelaxationOutput or None
            Relaxed crystal; None when its relaxation failed.
        tier : int
            Which one, from 1.
        priority : int
            Of the runs.
        inputs : list of str
            uuids of the jobs before.
        core_hours : float, optional
            Estimate, to be asked for; None for the first tier, which was granted at submission and is
            estimated anew when runs of the survey have shown their speed.

        Returns
        -------
        Response
            A decision when the tier does not start; its runs and their judgement otherwise.
        """
        if relaxed is None:
            failed = self._failed(material, 0, inputs, failed_core_hours(launchpad(get_settings()), inputs))
            return Response(output=failed)
        crystal = RelaxationOutput.model_validate(relaxed)
        if not crystal.converged:
            self._settle(material, 1, own_core_hours([crystal]))
            left = crystal.maximum_force_eV_per_A
            reason = f"not relaxed after {crystal.n_steps} steps: forces of {left:.2g} eV/Å are left"
            hours = own_core_hours([crystal])
            made = self._decision(material, 0, "failed", reason, inputs, core_hours=hours)
            return Response(output=made)
        answer, estimate = self._ask(material, crystal, tier, core_hours)
        if not answer.granted:
            reason = (
                f"tier {tier} would take {estimate:.3g} core hours and the survey has "
                f"{answer.left_core_hours or 0:.3g} left; "
                f"{'others' if tier == 1 else 'better conductors'} came first"
            )
            hours = own_core_hours([crystal]) if tier == 1 else 0.0
            made = self._decision(material, tier - 1, "over_budget", reason, inputs, core_hours=hours)
            return Response(output=made)
        return Response(
            output=None, detour=self._tier_flow(material, crystal, relaxed, tier, priority, inputs)
        )

    def _ask(
        self, material: dict[str, Any], crystal: RelaxationOutput, tier: int, core_hours: float | None
    ) -> tuple[Grant, float]:
        """Ask the budget; a first tier, granted at submission, again when its runs have shown their speed."""
        database, entry = worker().database, budget_entry(material["material_id"], tier)
        if core_hours is not None:
            return ask(database, self.survey, entry, core_hours), core_hours
        speed = measured_speed(database, self.survey)
        if speed is None:
            return Grant(True, None), 0.0
        n_atoms = supercell_size(Structure.from_dict(crystal.structure), self.minimum_length_A)
        estimate, relaxed = tier_core_hours(self.tiers[tier - 1], n_atoms, speed), own_core_hours([crystal])
        return revise(database, self.survey, entry, relaxed + estimate, relaxed), estimate

    def _tier_flow(
        self,
        material: dict[str, Any],
        crystal: RelaxationOutput,
        relaxed: Any,
        tier: int,
        priority: int,
        inputs: list[str],
    ) -> Flow:
        asked = self.tiers[tier - 1]
        maker = MolecularDynamicsMaker(self.potential, asked.protocol, self.minimum_length_A)
        runs = []
        for temperature_K in sorted(asked.temperatures_K, reverse=True):
            for replica in range(asked.replicas):
                seed = derived_seed(self.seed, material["material_id"], temperature_K, replica)
                run = maker.make(crystal.structure, material, float(temperature_K), seed, inputs[:1])
                run.name = f"{material['material_name']} tier {tier} {temperature_K:g} K run {replica + 1}"
                run.config = _config(priority)
                runs.append(run)
        uuids = [run.uuid for run in runs]
        judged = self.judge(material, relaxed, tier, [run.output for run in runs], inputs[:1], uuids)
        judged.name = f"{material['material_name']} tier {tier} judgement"
        judged.config = _config(JUDGEMENT_PRIORITY, OnMissing.NONE)
        return Flow([*runs, judged], name=f"{material['material_name']} tier {tier}")

    @job
    def judge(
        self,
        material: dict[str, Any],
        relaxed: RelaxationOutput | dict[str, Any],
        tier: int,
        runs: list[Any],
        inputs: list[str],
        uuids: list[str],
    ) -> Response[SurveyDecisionOutput]:
        """Say what became of a crystal in a tier; add the next tier when it goes on.

        Parameters
        ----------
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        relaxed : RelaxationOutput
            Relaxed crystal.
        tier : int
            Which one, from 1.
        runs : list
            Outputs of the tier's runs; None for those that failed.
        inputs : list of str
            uuid of the relaxation.
        uuids : list of str
            uuids of the runs.

        Returns
        -------
        Response
            The decision.
        """
        finished = [MolecularDynamicsOutput.model_validate(run) for run in runs if run is not None]
        if len(finished) < len(runs):
            self._check_over(uuids)
        dynamics = own_core_hours(finished)
        spent = dynamics + self._other_core_hours(relaxed, tier, uuids)
        if not finished:
            return Response(output=self._failed(material, tier, uuids, spent))
        own = [run for run in finished if run.reused_from is None]
        self._settle(material, tier, spent, (dynamics, atom_steps(own)))
        found = _conductivities(finished)
        lost = _lost(len(runs) - len(finished), uuids)
        shared: dict[str, Any] = {
            "conductivities": found,
            "core_hours": spent,
            "protocol_id": group_of(finished[0].model_dump(exclude={"structure"}))["protocol_id"],
        }
        rule = self.tiers[tier - 1].promote
        if rule is None:
            made = self._decision(material, tier, "finished", f"all tiers done{lost}", uuids, **shared)
            return Response(output=made)
        promotion = decide_promotion(found, rule)
        if not promotion.promoted:
            made = self._decision(material, tier, "stopped", promotion.reason + lost, uuids, **shared)
            return Response(output=made)
        speed = measured_ms_per_atom_and_step(finished)
        estimate = tier_core_hours(self.tiers[tier], finished[0].n_atoms, speed, finished)
        shared["next_tier_core_hours"] = estimate
        made = self._decision(material, tier, "promoted", promotion.reason + lost, uuids, **shared)
        following = self._start_job(material, relaxed, tier + 1, promotion.priority, inputs, estimate)
        return Response(output=made, addition=Flow([following], name=following.name))

    def _check_over(self, uuids: list[str]) -> None:
        """Refuse to judge a job that is ready again because its worker had died."""
        if jobs_in_progress(launchpad(get_settings()), uuids):
            raise RunsNotOverError(
                "the jobs before this one are not over yet; `sse-screen rerun` runs it again"
            )

    def _other_core_hours(
        self, relaxed: RelaxationOutput | dict[str, Any], tier: int, uuids: list[str]
    ) -> float:
        """Give what a tier has cost beside its finished runs: failed ones, and the relaxation before."""
        failed = failed_core_hours(launchpad(get_settings()), uuids)
        return failed + (own_core_hours([RelaxationOutput.model_validate(relaxed)]) if tier == 1 else 0.0)

    def _settle(
        self,
        material: dict[str, Any],
        tier: int,
        core_hours: float,
        dynamics: tuple[float, int] | None = None,
    ) -> None:
        entry = budget_entry(material["material_id"], tier)
        settle(worker().database, self.survey, entry, core_hours, dynamics)

    def _failed(
        self, material: dict[str, Any], tier: int, uuids: list[str], core_hours: float
    ) -> SurveyDecisionOutput:
        self._check_over(uuids)
        self._settle(material, max(tier, 1), core_hours)
        why = failure_reason(launchpad(get_settings()), uuids)
        what = "relaxation" if tier == 0 else f"all runs of tier {tier}"
        return self._decision(material, tier, "failed", f"{what}: {why}", uuids, core_hours=core_hours)

    def _decision(
        self,
        material: dict[str, Any],
        tier: int,
        action: Action,
        reason: str,
        inputs: list[str],
        **found: Any,
    ) -> SurveyDecisionOutput:
        step = [
            self.survey,
            material["material_id"],
            material["material_name"],
            tier,
            action == "over_budget",
        ]
        return SurveyDecisionOutput(
            calculation_key=content_hash({"kind": "survey_decision", "step": step, "jobs": sorted(inputs)}),
            survey=self.survey,
            material_id=material["material_id"],
            material_name=material["material_name"],
            tier=tier,
            action=action,
            reason=reason,
            inputs=inputs,
            **found,
        )


def _config(priority: int, on_missing: OnMissing = OnMissing.ERROR) -> JobConfig:
    """Give a job its priority, and not to the jobs that it adds: those have their own."""
    return JobConfig(
        manager_config={"_priority": priority}, on_missing_references=on_missing, pass_manager_config=False
    )


def _lost(n_failed: int, uuids: list[str]) -> str:
    """Say in a decision that runs are missing, and why."""
    if not n_failed:
        return ""
    return f"; {n_failed} of {len(uuids)} runs failed: {failure_reason(launchpad(get_settings()), uuids)}"


def _conductivities(runs: list[MolecularDynamicsOutput]) -> list[TierConductivity]:
    """Analyse the runs of a tier, replicas pooled, as the builder of ``diffusivity`` does."""
    found = []
    for temperature_K in sorted({run.temperature_K for run in runs}, reverse=True):
        replicas = [run for run in runs if run.temperature_K == temperature_K]
        trajectories = [used_frames(worker().blobs, run) for run in replicas]
        try:
            judged = DiffusivityDoc.from_trajectories(replicas, trajectories)
        except SseScreenError as error:
            found.append(_not_judged(temperature_K, str(error)))
            continue
        found.append(
            TierConductivity(
                temperature_K=temperature_K,
                conductivity=judged.conductivity,
                slope_conductivity=_from_slope(judged),
                tracer_diffusivity=judged.tracer_diffusivity,
                time_ps=judged.total_time_ps,
            )
        )
    return found


def _from_slope(judged: DiffusivityDoc) -> Quantity:
    """Turn the slope of the displacement, whatever its verdict, into a conductivity."""
    factor = nernst_einstein(
        1.0, judged.n_ions, judged.charge_number, judged.mean_volume_A3, judged.temperature_K
    )
    ends = {name: getattr(judged.slope, name) for name in ("value", "lower", "upper")}
    scaled = {name: None if end is None else factor * end for name, end in ends.items()}
    return judged.slope.model_copy(update={"unit": "S/cm", **scaled})


def _not_judged(temperature_K: float, reason: str) -> TierConductivity:
    refused = {"verdict": "refused", "reasons": [reason]}
    return TierConductivity.model_validate(
        {
            "temperature_K": temperature_K,
            "conductivity": {"unit": "S/cm", **refused},
            "slope_conductivity": {"unit": "S/cm", **refused},
            "tracer_diffusivity": {"unit": "cm2/s", **refused},
            "time_ps": 0.0,
        }
    )
