"""`sse-screen sites` and `sse-screen structure`: sites, jumps and structure functions of any trajectory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sse_screen.documents.base import Quantity
    from sse_screen.documents.site_network import SiteNetwork
    from sse_screen.documents.structure_function import StructureFunctions
    from sse_screen.dynamics.trajectory import Trajectory
    from sse_screen.transport.site_analysis import SiteAnalysis

SITES_EPILOG = (
    "Examples: [bold]sse-screen sites XDATCAR --mobile-ion Li --time-step-fs 2 --temperature-K 600 "
    "--structure parent.cif[/bold]; density for VESTA: [bold]sse-screen sites run.npz --mobile-ion Na "
    "--temperature-K 800 --chgcar CHGCAR_Na --figures figures[/bold]"
)
STRUCTURE_EPILOG = (
    "Examples: [bold]sse-screen structure run.npz --temperature-K 600[/bold]; [bold]sse-screen structure "
    "run1.traj run2.traj --time-step-fs 1 --temperature-K 600 --json --figures figures[/bold]"
)

_Files = Annotated[list[Path], typer.Argument(help="Trajectory file(s); several are replicas and pooled.")]
_Temperature = Annotated[float, typer.Option("--temperature-K", help="Temperature of the run.")]
_TimeStep = Annotated[float | None, typer.Option(help="Time step, where the file does not say it.")]
_StepsPerFrame = Annotated[
    int | None, typer.Option(help="Steps between frames, where the file does not say it.")
]
_Format = Annotated[str | None, typer.Option(help="Format, where the name does not say it.")]
_TypeMap = Annotated[str | None, typer.Option(help="Elements of LAMMPS types: 1=Li,2=S.")]
_Skip = Annotated[float, typer.Option(help="Equilibration at the start of every file to leave out.", min=0.0)]
_Stride = Annotated[int, typer.Option(help="Read every n-th frame only.", min=1)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
_Figures = Annotated[Path | None, typer.Option(help="Write the figures into this folder.")]
_Structure = Annotated[
    Path | None,
    typer.Option(help="Crystal (CIF, POSCAR) whose supercell was run, best the disordered parent."),
]
_Framework = Annotated[
    str | None, typer.Option(help="Symbols held still, comma-separated; all others if not given.")
]
_RadiiA = Annotated[
    str | None, typer.Option("--radii-A", help="Inner and outer radius of a site, such as 0.8,1.4.")
]
_BackJumpTimePs = Annotated[float, typer.Option(help="A reversal within this is a back-jump.", min=0.0)]
_IsosurfacePerA3 = Annotated[
    float,
    typer.Option("--isosurface-per-A3", help="Level of the isosurface, probability density.", min=0.0),
]
_IsosurfaceShare = Annotated[
    float | None, typer.Option(help="Share of the ions that the isosurface is to enclose, such as 0.9.")
]


def sites(
    files: _Files,
    mobile_ion: Annotated[str, typer.Option(help="Element symbol of the mobile ion.")],
    temperature_k: _Temperature,
    structure: _Structure = None,
    framework: _Framework = None,
    radii_a: _RadiiA = None,
    minimum_residence_ps: Annotated[float, typer.Option(help="Shorter visits are passages.", min=0.0)] = 0.0,
    back_jump_time_ps: _BackJumpTimePs = 2.0,
    isosurface_per_a3: _IsosurfacePerA3 = 1e-4,
    isosurface_share: _IsosurfaceShare = None,
    time_step_fs: _TimeStep = None,
    steps_per_frame: _StepsPerFrame = None,
    format: _Format = None,
    type_map: _TypeMap = None,
    skip_ps: _Skip = 0.0,
    stride: _Stride = 1,
    chgcar: Annotated[Path | None, typer.Option(help="Write the density as a CHGCAR file.")] = None,
    cube: Annotated[Path | None, typer.Option(help="Write the density as a Gaussian cube file.")] = None,
    figures: _Figures = None,
    as_json: _Json = False,
) -> None:
    """Sites of the mobile ion, its jumps between them, their network and the density.

    Without a structure every peak of the density is a site; with one, sites have the names of their Wyckoff
    positions and places that the structure does not know are called i-, interstitial.
    """
    from rich.console import Console

    from sse_screen.documents.site_network import SiteNetwork, why_no_sites
    from sse_screen.transport.jumps import SiteRadii
    from sse_screen.transport.site_analysis import SiteOptions, analyse_sites

    _check_temperature(temperature_k)
    radii = None if radii_a is None else SiteRadii(*_radii(radii_a))
    options = SiteOptions(radii=radii, minimum_residence_ps=minimum_residence_ps)
    with Console(stderr=True).status("") as status:
        trajectories = _read(files, status, format, time_step_fs, steps_per_frame, type_map, skip_ps, stride)
        status.update("finding sites and jumps")
        crystal = None if structure is None else _structure(structure)
        fixed = None if framework is None else [name.strip() for name in framework.split(",")]
        if reason := why_no_sites(trajectories, mobile_ion, fixed):
            return _refuse(SiteNetwork.refused(trajectories, mobile_ion, temperature_k, reason), as_json)
        analysis = analyse_sites(
            trajectories, mobile_ion, structure=crystal, framework_species=fixed, options=options
        )
        document = SiteNetwork.of(
            analysis,
            mobile_ion,
            temperature_k,
            back_jump_time_ps=back_jump_time_ps,
            isosurface_per_A3=isosurface_per_a3,
            isosurface_share=isosurface_share,
        )
        if figures is not None:
            status.update("drawing")
            assert document.density is not None
            with _writing(figures):
                _draw_sites(analysis, document.density.isosurface_per_A3, figures)
    _export(analysis, chgcar, cube)
    if as_json:
        sys.stdout.write(document.model_dump_json(indent=2) + "\n")
    else:
        _print_sites(document)


def structure(
    files: _Files,
    temperature_k: _Temperature,
    maximum_radius_a: Annotated[
        float,
        typer.Option(
            "--maximum-radius-A",
            help="Range of the distributions: up to 30 Å, or half the longest cell vector if more.",
        ),
    ] = 8.0,
    resolution_thz: Annotated[
        float, typer.Option("--resolution-THz", help="Of the spectrum.", min=0.0)
    ] = 0.25,
    time_step_fs: _TimeStep = None,
    steps_per_frame: _StepsPerFrame = None,
    format: _Format = None,
    type_map: _TypeMap = None,
    skip_ps: _Skip = 0.0,
    stride: _Stride = 1,
    figures: _Figures = None,
    as_json: _Json = False,
) -> None:
    """Partial pair distributions, coordination numbers and, where there are velocities, the spectrum."""
    from rich.console import Console

    from sse_screen.documents.structure_function import StructureFunctions

    _check_temperature(temperature_k)
    with Console(stderr=True).status("") as status:
        trajectories = _read(files, status, format, time_step_fs, steps_per_frame, type_map, skip_ps, stride)
        status.update("counting pairs")
        document = StructureFunctions.of(
            trajectories, temperature_k, maximum_radius_A=maximum_radius_a, resolution_THz=resolution_thz
        )
        if figures is not None:
            with _writing(figures):
                _draw_structure(document, figures)
    if as_json:
        sys.stdout.write(document.model_dump_json(indent=2) + "\n")
    else:
        _print_structure(document)


def _check_temperature(temperature_K: float) -> None:
    if not 0 < temperature_K < float("inf"):
        raise InputError(f"--temperature-K: {temperature_K:g} is not a temperature above zero")


def _refuse(document: SiteNetwork, as_json: bool) -> None:
    """Print a document that says why there are no sites; figures and exports are not written."""
    if as_json:
        sys.stdout.write(document.model_dump_json(indent=2) + "\n")
    else:
        typer.echo(f"refused: {'; '.join(document.reasons)}")


def _read(
    files: Sequence[Path],
    status: Any,
    format: str | None,
    time_step_fs: float | None,
    steps_per_frame: int | None,
    type_map: str | None,
    skip_ps: float,
    stride: int,
) -> list[Trajectory]:
    from sse_screen.dynamics.readers import ReadOptions, read_trajectory

    types: dict[int, str] = {}
    for part in type_map.split(",") if type_map else []:
        name, _, symbol = part.partition("=")
        if not (name.strip().isdigit() and symbol.strip()):
            raise InputError(f"--type-map {type_map}: expected such as 1=Li,2=S")
        types[int(name)] = symbol.strip()
    options = ReadOptions(
        time_step_fs=time_step_fs, steps_per_frame=steps_per_frame, stride=stride, type_map=types
    )
    found = []
    for number, file in enumerate(files, start=1):
        status.update(f"reading {file.name} ({number} of {len(files)})")
        found.append(read_trajectory(file, format, options).after(skip_ps))
    return found


def _radii(text: str) -> tuple[float, float]:
    try:
        inner, outer = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--radii-A {text}: expected two lengths in Å, such as 0.8,1.4") from error
    return inner, outer


def _structure(path: Path) -> Structure:
    from pymatgen.core import Structure

    if not path.is_file():
        raise InputError(f"--structure {path}: no such file")
    try:
        return Structure.from_file(path)
    except Exception as error:
        raise InputError(f"--structure {path}: not read as a crystal structure ({error})") from error


def _export(analysis: SiteAnalysis, chgcar: Path | None, cube: Path | None) -> None:
    """Write the density with the framework's mean positions."""
    from sse_screen.transport.density import chgcar_text, cube_text

    order = sorted(range(len(analysis.framework.species)), key=analysis.framework.species.__getitem__)
    species = [analysis.framework.species[k] for k in order]
    fractional = analysis.framework.fractional[order] % 1.0
    comment = "probability density of the mobile ion"
    for path, write in ((chgcar, chgcar_text), (cube, cube_text)):
        if path is not None:
            with _writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(write(analysis.density, species, fractional, comment))
            typer.echo(f"wrote {path}", err=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say which file or folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _draw_sites(analysis: SiteAnalysis, level: float, folder: Path) -> None:
    from sse_screen.transport import site_figures as draw
    from sse_screen.transport.jumps import site_occupancies

    folder.mkdir(parents=True, exist_ok=True)
    density = analysis.smooth_density
    atoms = draw.Atoms(analysis.framework.fractional, analysis.framework.species)
    occupancies = site_occupancies(analysis.visits, len(analysis.sites), analysis.n_frames)
    made = {
        "density_slices": draw.density_slices_figure(density, sites=analysis.sites),
        "density_surface": draw.density_surface_figure(density, level, atoms=atoms),
        "jump_network": draw.jump_network_figure(analysis.sites, analysis.network, occupancies),
    }
    for name, figure in made.items():
        figure.savefig(folder / f"{name}.png", dpi=150)
    interactive = {
        "density_surface": draw.density_surface_plotly(density, level, atoms=atoms, sites=analysis.sites),
        "jump_network": draw.jump_network_plotly(analysis.sites, analysis.network),
    }
    for name, page in interactive.items():
        page.write_html(folder / f"{name}.html", include_plotlyjs=True)
        (folder / f"{name}.json").write_text(page.to_json())
    typer.echo(f"wrote {folder}", err=True)


def _draw_structure(document: StructureFunctions, folder: Path) -> None:
    import numpy as np

    from sse_screen.transport import structure_figures as draw

    folder.mkdir(parents=True, exist_ok=True)
    curves = {
        f"{pair.centre}-{pair.neighbour}": (np.array(pair.radii_A), np.array(pair.g), pair.cutoff_A)
        for pair in document.pair_distributions
        if pair.centre <= pair.neighbour
    }
    draw.pair_distribution_figure(curves).savefig(folder / "pair_distributions.png", dpi=150)
    if document.spectrum:
        dos = {part.species: np.array(part.dos) for part in document.spectrum}
        figure = draw.spectrum_figure(np.array(document.frequencies_THz), dos)
        figure.savefig(folder / "spectrum.png", dpi=150)
        correlations = {part.species: np.array(part.velocity_autocorrelation) for part in document.spectrum}
        figure = draw.velocity_autocorrelation_figure(np.array(document.lag_times_ps), correlations)
        figure.savefig(folder / "velocity_autocorrelation.png", dpi=150)
    typer.echo(f"wrote {folder}", err=True)


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def _told(quantity: Quantity, unit: str = "") -> str:
    """Write a quantity into a sentence."""
    from sse_screen.cli.printing import quantity_cells

    value, interval = quantity_cells(quantity)
    if value == interval == "-":
        return f"{quantity.verdict}, {'; '.join(quantity.reasons)}"
    return f"{value}{unit}" if interval == "-" else f"{value}{unit} ({interval})"


def _print_sites(document: SiteNetwork) -> None:
    from rich.console import Console

    from sse_screen.cli.printing import print_rows, quantity_cells

    console = Console()
    rows = [
        [
            kind.name,
            str(kind.n_sites),
            _number(kind.occupancy),
            *quantity_cells(kind.residence_time),
            _number(kind.accessible_volume_A3),
            _number(kind.static_volume_A3),
        ]
        for kind in document.site_types
    ]
    columns = ["type", "sites", "occupancy", "residence\n(ps)", "interval", "visited\n(Å³)", "void\n(Å³)"]
    print_rows(console, "Sites", columns, rows)
    rows = [
        [
            rate.origin,
            rate.destination,
            str(rate.count),
            *quantity_cells(rate.rate),
            _number(rate.mean_length_A),
        ]
        for rate in document.rates
        if rate.count or len(document.site_types) < 4
    ]
    columns = ["from", "to", "count", "rate (1/ps)", "interval", "length (Å)"]
    print_rows(console, "Jumps", columns, rows)
    for line in _summary(document):
        console.print(line, highlight=False, markup=False)


def _summary(document: SiteNetwork) -> list[str]:
    """Lines of what belongs to the whole network."""
    back, factor = document.back_jump_fraction, document.correlation_factor
    random_walk, found = document.random_walk_diffusivity, document.percolation
    directions = "none"
    if found is not None and found.dimension:
        axes = zip("abc", (found.along_a, found.along_b, found.along_c), strict=True)
        alone = ", ".join(name for name, on in axes if on) or "none"
        directions = f"{found.dimension} directions; along a lattice vector alone: {alone}"
    plain, cubed = document.graph_order_parameter, document.graph_order_parameter_cubed
    return [
        f"back-jumps within {document.back_jump_time_ps:g} ps: {_told(back)}",
        f"correlation factor: {_told(factor)}",
        f"random-walk diffusivity: {_told(random_walk, ' cm²/s')}",
        f"percolation: {directions}",
        *_density_line(document),
        f"superbasins: {len(document.superbasins)}",
        f"graph order parameter: {_number(plain)} (cubed: {_number(cubed)})",
        *(f"{document.verdict}: {reason}" for reason in document.reasons),
        *(f"warning: {warning}" for warning in document.warnings),
    ]


def _density_line(document: SiteNetwork) -> list[str]:
    found = document.density
    if found is None:
        return []
    return [
        f"density: the isosurface at {found.isosurface_per_A3:.3g} Å^-3 encloses "
        f"{found.isosurface_share:.3g} of the ions in {found.isosurface_volume_A3:.3g} Å³"
    ]


def _print_structure(document: StructureFunctions) -> None:
    from rich.console import Console

    from sse_screen.cli.printing import print_rows

    console = Console()
    rows = [
        [
            pair.centre,
            pair.neighbour,
            _number(pair.cutoff_A),
            _number(pair.coordination_number),
            _number(pair.coordination_spread),
        ]
        for pair in document.pair_distributions
    ]
    columns = ["centre", "neighbour", "cutoff (Å)", "neighbours", "spread"]
    print_rows(console, "Coordination", columns, rows)
    for part in document.spectrum:
        console.print(f"{part.species}: mean frequency {part.mean_frequency_THz:.2f} THz", highlight=False)
    for reason in document.reasons:
        console.print(reason, highlight=False, markup=False)
    for warning in document.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False)
