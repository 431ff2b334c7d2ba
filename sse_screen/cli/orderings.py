"""Commands that count, enumerate and sample the orderings of a disordered crystal."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sse_screen.structures.orderings import Ordering, OrderingCount, OrderingSpace

app = typer.Typer(
    help="Orderings of a crystal with partial occupancies: count, enumerate, sample, anneal.",
    no_args_is_help=True,
)

_ROWS_SHOWN = 20
_SITES_SHOWN = 8

Crystal = Annotated[str, typer.Argument(help="A structure file (CIF, ...) or the name of a prototype.")]
OccupancyOption = Annotated[
    str | None,
    typer.Option("--occupancy", help="Ions per sublattice: 24d=12,96h=44 or 4a=S1Cl3 or 4a+4d=S4Cl4."),
]
Radius = Annotated[
    float, typer.Option("--exclusion-radius", help="Shortest distance of two ions, in ångström.")
]
Symprec = Annotated[float, typer.Option("--symprec", help="Tolerance of the symmetry search, in ångström.")]
AllowCharged = Annotated[bool, typer.Option("--allow-charged", help="Do not refuse a cell with a charge.")]
Ewald = Annotated[bool, typer.Option("--ewald", help="Add the electrostatic energy of formal charges.")]
LowestEwald = Annotated[
    int | None,
    typer.Option("--lowest-ewald", help="Keep only so many orderings of lowest electrostatic energy."),
]
Json = Annotated[bool, typer.Option("--json", help="Plain JSON on standard output.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Write JSON lines to this file (.jsonl, .jsonl.gz); the first line is the parent."
    ),
]


@app.command("count")
def count_command(
    crystal: Crystal,
    occupancy: OccupancyOption = None,
    exclusion_radius: Radius = 0.0,
    symprec: Symprec = 0.01,
    allow_charged: AllowCharged = False,
    as_json: Json = False,
) -> None:
    """Count the orderings exactly: labelled, and unique under the space group (Burnside).

    For example:

    sse-screen orderings count li6ps5cl-disordered --occupancy 4a=S2Cl2,4d=S2Cl2

    sse-screen orderings count llzo.cif --occupancy 24d=12,96h=44 --exclusion-radius 2.0 --json
    """
    space = _space(crystal, occupancy, exclusion_radius, symprec, allow_charged)
    numbers = space.count()
    if as_json:
        typer.echo(json.dumps({"labelled": numbers.labelled, "unique": numbers.unique}))
        return
    typer.echo(f"{_title(space)}: {numbers.labelled:,} labelled, {numbers.unique:,} unique orderings")


@app.command("enumerate")
def enumerate_command(
    crystal: Crystal,
    occupancy: OccupancyOption = None,
    exclusion_radius: Radius = 0.0,
    limit: Annotated[
        int, typer.Option(help="Refuse to enumerate more unique orderings than this.")
    ] = 2_000_000,
    merge_equal_distances: Annotated[
        bool,
        typer.Option(
            "--merge-equal-distances",
            help="Merge orderings with the same distances among the ordered sites only, whatever the rest "
            "of the crystal; not with energies.",
        ),
    ] = False,
    ewald: Ewald = False,
    lowest_ewald: LowestEwald = None,
    output: Output = None,
    symprec: Symprec = 0.01,
    allow_charged: AllowCharged = False,
    as_json: Json = False,
) -> None:
    """Enumerate the orderings that symmetry does not make equal, each with its degeneracy.

    They are counted first: beyond the limit nothing is enumerated and the count is told.

    For example:

    sse-screen orderings enumerate li6ps5cl-disordered --occupancy 4a=S2Cl2,4d=S2Cl2

    sse-screen orderings enumerate llzo.cif --occupancy 24d=12,96h=44 --exclusion-radius 2 --output all.jsonl
    """
    from sse_screen.structures.orderings import merge_by_fingerprint, require_at_most

    if merge_equal_distances and (ewald or lowest_ewald is not None):
        raise InputError(
            "--merge-equal-distances cannot go with --ewald or --lowest-ewald: it looks at the distances "
            "among the ordered sites only and merges orderings of different energies; leave one of them out"
        )
    space = _space(crystal, occupancy, exclusion_radius, symprec, allow_charged)
    numbers = space.count()
    require_at_most(numbers, limit)
    orderings = merge_by_fingerprint(space) if merge_equal_distances else space.enumerate(numbers)
    _report(space, numbers, _with_energies(space, orderings, ewald, lowest_ewald), output, as_json)


@app.command("sample")
def sample_command(
    crystal: Crystal,
    samples: Annotated[int, typer.Option(help="Number of draws.")],
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")],
    occupancy: OccupancyOption = None,
    exclusion_radius: Radius = 0.0,
    ewald: Ewald = False,
    lowest_ewald: LowestEwald = None,
    output: Output = None,
    symprec: Symprec = 0.01,
    allow_charged: AllowCharged = False,
    as_json: Json = False,
) -> None:
    """Draw labelled orderings uniformly; equivalent draws are merged and their weights added.

    The sum of weight x exp(-E/kT) over a sample is an unbiased estimate of the partition function.

    For example:

    sse-screen orderings sample llzo.cif --occupancy 24d=9,96h=47 --exclusion-radius 2 --samples 500 --seed 1
    """
    import numpy as np

    space = _space(crystal, occupancy, exclusion_radius, symprec, allow_charged)
    numbers = space.count()
    orderings = _with_energies(space, space.sample(samples, np.random.default_rng(seed)), ewald, lowest_ewald)
    _report(space, numbers, orderings, output, as_json)


@app.command("anneal")
def anneal_command(
    crystal: Crystal,
    temperatures: Annotated[
        str,
        typer.Option("--temperatures-K", help="Falling temperatures: 2000,1000,500; inf gives entropies."),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")],
    moves: Annotated[int, typer.Option(help="Recorded exchanges per temperature.")] = 20_000,
    equilibration: Annotated[int, typer.Option(help="Exchanges before recording, per temperature.")] = 5_000,
    occupancy: OccupancyOption = None,
    exclusion_radius: Radius = 0.0,
    supercell: Annotated[str, typer.Option(help="Cells along a, b, c.")] = "1,1,1",
    potential: Annotated[
        str | None, typer.Option(help="Energies of this potential, unrelaxed, instead of formal charges.")
    ] = None,
    state_file: Annotated[
        Path | None,
        typer.Option("--state", help="Keep the state here; a run that finds one goes on from it."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write the last ordering as CIF.")] = None,
    symprec: Symprec = 0.01,
    as_json: Json = False,
) -> None:
    """Sample the orderings of a supercell at temperatures: Monte Carlo exchanges of ions (and vacancies).

    With a scan that begins at inf, the configurational entropy comes by thermodynamic integration.

    For example:

    sse-screen orderings anneal li6ps5cl-disordered --temperatures-K inf,20000,5000,1000 --seed 1

    sse-screen orderings anneal a.cif --supercell 2,2,1 --temperatures-K 1200,600 --seed 1 --potential chgnet
    """
    from sse_screen.cli.annealing import Annealing

    annealing = Annealing(
        space=_space(crystal, occupancy, exclusion_radius, symprec, False),
        repetitions=_numbers(supercell, int, "--supercell"),
        temperatures_K=_numbers(temperatures, float, "--temperatures-K"),
        seed=seed,
        potential=potential,
        state_file=state_file,
    )
    annealing.run(moves, equilibration)
    annealing.report(output, as_json)


def _numbers(text: str, kind: type[int] | type[float], option: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} {text!r}: give numbers with commas between them") from error


def _space(
    crystal: str, occupancy: str | None, exclusion_radius_A: float, symprec_A: float, allow_charged: bool
) -> OrderingSpace:
    from sse_screen.structures.orderings import OrderingSpace, parse_occupancy

    return OrderingSpace(
        _load(crystal),
        None if occupancy is None else parse_occupancy(occupancy),
        exclusion_radius_A,
        symprec_A=symprec_A,
        check_charge=not allow_charged,
    )


def _with_energies(
    space: OrderingSpace, orderings: Iterable[Ordering], ewald: bool, n_lowest: int | None
) -> Iterable[Ordering]:
    from sse_screen.structures.orderings import EwaldEnergy, lowest_ewald, with_ewald_energies

    if n_lowest is not None:
        return lowest_ewald(orderings, EwaldEnergy.of_space(space), n_lowest)
    return with_ewald_energies(orderings, EwaldEnergy.of_space(space)) if ewald else orderings


def _load(crystal: str) -> Structure:
    path = Path(crystal)
    if not path.is_file():
        from sse_screen.structures.prototypes import build_prototype

        try:
            return build_prototype(crystal)
        except InputError as error:
            raise InputError(f"{crystal}: no such file, and {error}") from error
    from sse_screen.structures.loading import load_structure

    return load_structure(path)


def _title(space: OrderingSpace) -> str:
    formula = " ".join(f"{species}{number}" for species, number in space.counts.items())
    pools = ", ".join(
        f"{pool.label}={''.join(f'{species}{number}' for species, number in pool.counts.items())}"
        for pool in space.pools
    )
    return f"{formula} ({pools})"


def _row(ordering: Ordering) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": ordering.id,
        "degeneracy": ordering.degeneracy,
        "weight": ordering.weight,
        "sites": {species: list(sites) for species, sites in ordering.sites.items()},
    }
    if ordering.ewald_energy_eV is not None:
        row["ewald_energy_eV_per_cell"] = round(ordering.ewald_energy_eV, 8)
    return row


def _report(
    space: OrderingSpace,
    numbers: OrderingCount,
    orderings: Iterable[Ordering],
    output: Path | None,
    as_json: bool,
) -> None:
    summary: dict[str, Any] = {"labelled": numbers.labelled, "unique": numbers.unique}
    if output is not None:
        summary["written"] = _write(space, summary, orderings, output)
        summary["output"] = str(output)
        typer.echo(
            json.dumps(summary) if as_json else f"{_title(space)}: wrote {summary['written']:,} to {output}"
        )
    elif as_json:
        # streamed piece by piece, so that millions need no memory
        typer.echo(json.dumps(summary)[:-1] + ', "orderings": [', nl=False)
        for number, ordering in enumerate(orderings):
            typer.echo(("\n" if number == 0 else ",\n") + json.dumps(_row(ordering)), nl=False)
        typer.echo("]}")
    else:
        _print_table(space, numbers, orderings)


def _write(space: OrderingSpace, summary: dict[str, Any], orderings: Iterable[Ordering], output: Path) -> int:
    from rich.console import Console
    from rich.progress import track

    header = {**summary, "exclusion_radius_A": space.exclusion_radius_A, "parent": space.structure.as_dict()}
    written = 0
    try:
        with _open(output) as file:
            file.write(json.dumps(header) + "\n")
            shown = track(
                orderings, "orderings", total=summary["unique"], console=Console(stderr=True), transient=True
            )
            for ordering in shown:
                file.write(json.dumps(_row(ordering)) + "\n")
                written += 1
    except OSError as error:
        raise InputError(f"--output {output}: cannot be written ({error.strerror})") from error
    return written


def _open(output: Path) -> IO[str]:
    if output.suffix == ".gz":
        return gzip.open(output, "wt", encoding="utf-8")
    return output.open("w", encoding="utf-8")


def _short(sites: tuple[int, ...]) -> str:
    shown = " ".join(map(str, sites[:_SITES_SHOWN]))
    return shown if len(sites) <= _SITES_SHOWN else f"{shown} ... ({len(sites)})"


def _print_table(space: OrderingSpace, numbers: OrderingCount, orderings: Iterable[Ordering]) -> None:
    from itertools import islice

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    shown = list(islice(orderings, _ROWS_SHOWN))
    with_energies = any(ordering.ewald_energy_eV is not None for ordering in shown)
    table = Table(box=SIMPLE, title=_title(space), title_justify="left")
    table.add_column("id", no_wrap=True)
    for column in ("degeneracy", "weight", *(["Ewald (eV/cell)"] if with_energies else []), "sites"):
        table.add_column(column, overflow="fold")
    for ordering in shown:
        sites = "; ".join(f"{species}: {_short(found)}" for species, found in ordering.sites.items())
        energy = [] if ordering.ewald_energy_eV is None else [f"{ordering.ewald_energy_eV:.4f}"]
        table.add_row(ordering.id, str(ordering.degeneracy), f"{ordering.weight:g}", *energy, sites)
    Console().print(table)
    hint = "; the first are shown, all go to --output FILE.jsonl" if len(shown) == _ROWS_SHOWN else ""
    typer.echo(f"{numbers.labelled:,} labelled, {numbers.unique:,} unique orderings{hint}")
