"""Jobs that let runs go on until the diffusivity is known well enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, JobConfig, Maker, OnMissing, Response, job
from pymatgen.core import Structure

from sse_screen.database.trajectories import used_frames
from sse_screen.documents.base import content_hash
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.extension import ExtensionDecisionOutput, ExtensionRule
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.transport.extension import Extension, decide_extension
from sse_screen.workflows.molecular_dynamics import MolecularDynamicsMaker
from sse_screen.workflows.runtime import once, worker


@dataclass
class ExtensionMaker(Maker):
    """Judge the runs of a crystal at one temperature, and let them go on where that is needed and can help.

    Parameters
    ----------
    dynamics : MolecularDynamicsMaker
        Made the runs.
    rule : ExtensionRule
        What is enough.
    """

    dynamics: MolecularDynamicsMaker
    rule: ExtensionRule
    name: str = "extension"

    def decide(
        self,
        runs: list[Job],
        structure: Any,
        material: dict[str, Any],
        temperature_K: float,
        seeds: list[int],
        inputs: list[str],
    ) -> Job:
        """Compose the job that decides after these runs; a run that failed does not stop it.

        Parameters
        ----------
        runs : list of Job
            Runs of one round.
        structure : Structure or OutputReference
            Relaxed unit cell.
        material : dict
            material_id, material_name, mobile_ion and charge_number.
        temperature_K : float
            Target temperature (K).
        seeds : list of int
            Seed of each run.
        inputs : list of str
            uuids of the jobs that the structure is from.

        Returns
        -------
        Job
            Its output is an :class:`ExtensionDecisionOutput`.
        """
        uuids = [run.uuid for run in runs]
        outputs = [run.output for run in runs]
        made: Job = self.make(outputs, uuids, structure, material, temperature_K, seeds, inputs)
        made.name = f"{material['material_name']} {temperature_K:g} K long enough?"
        made.config = JobConfig(on_missing_references=OnMissing.NONE)
        return made

    @job
    def make(
        self,
        runs: list[Any],
        uuids: list[str],
        structure: Structure | dict[str, Any],
        material: dict[str, Any],
        temperature_K: float,
        seeds: list[int],
        inputs: list[str],
    ) -> Response[ExtensionDecisionOutput]:
        """Decide; add longer runs, which go on from the ends of these, and the next decision.

        Parameters
        ----------
        runs : list
            Outputs of the runs; None for those that failed.
        uuids : list of str
            Their uuids.
        structure, material, temperature_K, seeds, inputs
            As in :meth:`decide`.

        Returns
        -------
        Response
            The decision.
        """
        finished = [MolecularDynamicsOutput.model_validate(run) for run in runs if run is not None]
        keys = sorted(run.calculation_key for run in finished)
        key = content_hash({"kind": "extension_decision", "runs": keys, "rule": self.rule.model_dump()})

        def compute(_folder: Path) -> ExtensionDecisionOutput:
            """Judge the runs."""
            found, fields = _judged(finished, self.rule)
            return ExtensionDecisionOutput(
                calculation_key=key,
                material_id=material["material_id"],
                material_name=material["material_name"],
                temperature_K=temperature_K,
                rule=self.rule,
                action=found.action,
                reason=found.reason,
                relative_error=found.relative_error,
                next_production_ps=found.next_production_ps,
                inputs=uuids,
                **fields,
            )

        response: Response[ExtensionDecisionOutput] = once(key, ExtensionDecisionOutput, compute)
        decision = response.output
        assert isinstance(decision, ExtensionDecisionOutput)
        if decision.next_production_ps is None:
            return response
        protocol = self.dynamics.protocol.model_copy(update={"production_ps": decision.next_production_ps})
        longer = replace(self, dynamics=replace(self.dynamics, protocol=protocol))
        added = longer.round(structure, material, temperature_K, seeds, inputs)
        return Response(output=decision, stored_data=response.stored_data, addition=added)

    def round(
        self,
        structure: Any,
        material: dict[str, Any],
        temperature_K: float,
        seeds: list[int],
        inputs: list[str],
    ) -> Flow:
        """Compose a round: one run a seed, and the decision after them.

        Parameters
        ----------
        structure, material, temperature_K, seeds, inputs
            As in :meth:`decide`.

        Returns
        -------
        Flow
            The jobs.
        """
        runs: list[Job] = []
        for number, seed in enumerate(seeds, 1):
            run = self.dynamics.make(structure, material, temperature_K, seed, inputs)
            run.name = f"{material['material_name']} {temperature_K:g} K run {number}"
            runs.append(run)
        length = f"{self.dynamics.protocol.production_ps:g} ps"
        decision = self.decide(runs, structure, material, temperature_K, seeds, inputs)
        name = f"{material['material_name']} {temperature_K:g} K to {length}"
        return Flow([*runs, decision], name=name)


def _judged(runs: list[MolecularDynamicsOutput], rule: ExtensionRule) -> tuple[Extension, dict[str, Any]]:
    if not runs:
        return Extension("failed", "no run ended well; `sse-screen status` says why"), {"production_ps": 0.0}
    production_ps = min(run.production_ps for run in runs)
    document = DiffusivityDoc.from_trajectories(runs, [used_frames(worker().blobs, run) for run in runs])
    found = decide_extension(document.tracer_diffusivity, document.n_jumps, production_ps, rule)
    fields = {
        "production_ps": production_ps,
        "n_jumps": document.n_jumps,
        "tracer_diffusivity": document.tracer_diffusivity,
    }
    return found, fields
