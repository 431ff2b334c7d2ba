"""Compose the command line from the subjects' own files."""

import sys

import typer

from sse_screen.cli import campaigns, dataset, db, job_status, loop, orderings, potentials
from sse_screen.cli.analyze import EPILOG as ANALYZE_EPILOG
from sse_screen.cli.analyze import analyze
from sse_screen.cli.arrhenius import EPILOG as ARRHENIUS_EPILOG
from sse_screen.cli.arrhenius import arrhenius
from sse_screen.cli.build import EPILOG as BUILD_EPILOG
from sse_screen.cli.build import build
from sse_screen.cli.collections import EPILOG as COLLECTIONS_EPILOG
from sse_screen.cli.collections import collections
from sse_screen.cli.filters import EPILOG as FILTER_EPILOG
from sse_screen.cli.filters import filter_survey
from sse_screen.cli.free_energy import EPILOG as FREE_ENERGY_EPILOG
from sse_screen.cli.free_energy import free_energy
from sse_screen.cli.hull import EPILOG as HULL_EPILOG
from sse_screen.cli.hull import hull
from sse_screen.cli.jump_barriers import EPILOG as BARRIERS_EPILOG
from sse_screen.cli.jump_barriers import jump_barriers
from sse_screen.cli.phases import (
    COMPARE_EPILOG,
    SELECT_EPILOG,
    WINDOW_EPILOG,
    compare_phases,
    select_entries,
    stability_window,
)
from sse_screen.cli.prototypes import EPILOG as PROTOTYPES_EPILOG
from sse_screen.cli.prototypes import prototypes
from sse_screen.cli.query import EPILOG as QUERY_EPILOG
from sse_screen.cli.query import query
from sse_screen.cli.report import EPILOG as REPORT_EPILOG
from sse_screen.cli.report import report
from sse_screen.cli.serve import EPILOG as SERVE_EPILOG
from sse_screen.cli.serve import serve
from sse_screen.cli.sites import SITES_EPILOG, STRUCTURE_EPILOG, sites, structure
from sse_screen.cli.vibrations import EPILOG as VIBRATIONS_EPILOG
from sse_screen.cli.vibrations import vibrations
from sse_screen.exceptions import SseScreenError

app = typer.Typer(
    name="sse-screen",
    help="Screen solid-state electrolytes: from crystals to diffusivities, hulls and free energies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command(epilog=ANALYZE_EPILOG)(analyze)
app.command(epilog=ARRHENIUS_EPILOG)(arrhenius)
app.command(epilog=BUILD_EPILOG)(build)
app.command(epilog=COLLECTIONS_EPILOG)(collections)
app.command("compare-phases", epilog=COMPARE_EPILOG)(compare_phases)
app.add_typer(dataset.app, name="dataset")
app.add_typer(db.app, name="db")
app.command("filter", epilog=FILTER_EPILOG)(filter_survey)
app.command("free-energy", epilog=FREE_ENERGY_EPILOG)(free_energy)
app.command(epilog=HULL_EPILOG)(hull)
app.command("jump-barriers", epilog=BARRIERS_EPILOG)(jump_barriers)
app.add_typer(loop.app, name="loop")
app.add_typer(orderings.app, name="orderings")
app.add_typer(potentials.app, name="potential")
app.command(epilog=PROTOTYPES_EPILOG)(prototypes)
app.command(epilog=QUERY_EPILOG)(query)
app.command("select-entries", epilog=SELECT_EPILOG)(select_entries)
app.command(epilog=SERVE_EPILOG)(serve)
app.command(epilog=SITES_EPILOG)(sites)
app.command("stability-window", epilog=WINDOW_EPILOG)(stability_window)
app.command(epilog=STRUCTURE_EPILOG)(structure)
app.command(epilog=VIBRATIONS_EPILOG)(vibrations)


app.command(epilog=campaigns.SUBMIT_EPILOG)(campaigns.submit)
app.command(epilog=campaigns.LAUNCH_EPILOG)(campaigns.launch)
app.command(epilog=job_status.STATUS_EPILOG)(job_status.status)
app.command(epilog=job_status.REAP_EPILOG)(job_status.reap)
app.command(epilog=campaigns.RERUN_EPILOG)(campaigns.rerun)
app.command(epilog=campaigns.SWEEP_EPILOG)(campaigns.sweep)
app.command("fireworks-config", epilog=campaigns.FIREWORKS_EPILOG)(campaigns.fireworks_config)
app.command(epilog=campaigns.SCREEN_EPILOG)(campaigns.screen)
app.command(epilog=REPORT_EPILOG)(report)


@app.callback()
def _root() -> None:
    """Keep the group of commands also while there is only one."""


def main() -> None:
    """Run the command line; a known error prints its message and exits with status 2."""
    try:
        app()
    except SseScreenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
