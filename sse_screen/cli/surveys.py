"""What the command line shows of a survey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sse_screen.documents.candidate import CandidateDoc
    from sse_screen.documents.survey import SurveyOutput

_SHOWN_REFUSALS = 30


def print_survey(survey: SurveyOutput, console: Console) -> None:
    """Print what the filters did and what the tiers would cost.

    Parameters
    ----------
    survey : SurveyOutput
        As planned.
    console : Console
        Where to print.
    """
    from rich.table import Table

    counts = Table("filter", "tested", "refused", "not known")
    for count in survey.filters:
        counts.add_row(count.filter, str(count.tested), str(count.refused), str(count.not_known))
    console.print(counts)
    refused = [crystal for crystal in survey.crystals if crystal.refused_by is not None]
    for crystal in refused[:_SHOWN_REFUSALS]:
        console.print(f"refused {crystal.name} ({crystal.refused_by}): {crystal.reason}", markup=False)
    if len(refused) > _SHOWN_REFUSALS:
        console.print(f"… and {len(refused) - _SHOWN_REFUSALS} more", markup=False)
    tiers = Table("tier", "runs a crystal", "core hours if all crystals ran in it")
    for number, (tier, hours) in enumerate(
        zip(survey.tiers, survey.estimated_core_hours, strict=True), start=1
    ):
        tiers.add_row(str(number), str(tier.n_runs), f"{hours:.3g}")
    console.print(tiers)
    budget = "no limit" if survey.budget_core_hours is None else f"{survey.budget_core_hours:g} core hours"
    accepted = len(survey.crystals) - len(refused)
    console.print(f"{accepted} of {len(survey.crystals)} crystals accepted; budget: {budget}", markup=False)


def print_candidates(candidates: Sequence[CandidateDoc], console: Console) -> None:
    """Print the ranking of every survey.

    Parameters
    ----------
    candidates : sequence of CandidateDoc
        Of any surveys.
    console : Console
        Where to print.
    """
    from sse_screen.cli.printing import print_rows
    from sse_screen.reporting.candidate_figures import COLUMNS, candidate_cells
    from sse_screen.screening.ranking import rank_candidates

    for name in sorted({candidate.survey for candidate in candidates}):
        title = f"survey {name}: ranked by conductivity at 300 K, with the places that the intervals allow"
        ranked = rank_candidates([c for c in candidates if c.survey == name])
        print_rows(console, title, COLUMNS, [candidate_cells(row) for row in ranked], ["why"])
