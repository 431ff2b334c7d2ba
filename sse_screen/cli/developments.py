"""What the command line shows of the development of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sse_screen.workflows.development_cost import DevelopmentEstimate


def print_development(estimate: DevelopmentEstimate, console: Console) -> None:
    """Print what each part of a development would cost.

    Parameters
    ----------
    estimate : DevelopmentEstimate
        As planned.
    console : Console
        Where to print.
    """
    from rich.table import Table

    table = Table("part", "how much", "core hours")
    for part in estimate.parts:
        table.add_row(part.name, part.amount, f"{part.core_hours:.2g}")
    table.add_section()
    table.add_row("all", f"{estimate.n_labels} labels", f"{estimate.core_hours:.2g}")
    console.print(table)
    console.print("the times are good to a factor of two or three", markup=False)
