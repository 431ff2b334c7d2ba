"""The report as one page with its figures beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from sse_screen import __version__
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.candidate import CandidateDoc
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.jump_barrier import JumpBarrierDoc
from sse_screen.documents.learning_curve import LearningCurveDoc
from sse_screen.documents.potential import PotentialDoc
from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc
from sse_screen.documents.site_network import SiteNetworkDoc
from sse_screen.documents.structure_function import StructureFunctionDoc
from sse_screen.reporting import candidate_figures
from sse_screen.reporting.density_figures import slices_figure, surface_figure
from sse_screen.reporting.figures import (
    arrhenius_figure,
    displacement_figure,
    distribution_figure,
    free_energy_figure,
    hull_figure,
    network_figure,
    spectrum,
    velocity_autocorrelation,
)
from sse_screen.reporting.loop_figures import loop_diffusivity_figure, loop_step_figure
from sse_screen.reporting.potential_figures import learning_curve_figure, parity_figure, training_figure
from sse_screen.reporting.ranking import COLUMNS, quantity_text, rank_materials, row_cells
from sse_screen.reporting.thermodynamic_figures import (
    averaged_spectrum,
    energy_distribution,
    phase_comparison,
    sample_convergence,
)
from sse_screen.screening.ranking import rank_candidates
from sse_screen.transport.barrier_figures import jump_rates_figure

FORMULA_FIELDS = ("formula", "level_of_theory", "convention", "with_vibrations")
T = TypeVar("T", DiffusivityDoc, SiteNetworkDoc, StructureFunctionDoc)


@dataclass(frozen=True)
class WorkerTime:
    """How the time of some jobs was spent (s), in the potential and in the platform, and their number."""

    potential_s: float
    platform_s: float
    n_jobs: int

    @property
    def platform_percent(self) -> float:
        """Share of the platform in the time of the jobs."""
        busy = self.potential_s + self.platform_s
        return 100 * self.platform_s / busy if busy > 0 else 0.0


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows."""

    title: str
    fits: Sequence[ActivationEnergyDoc]
    diffusivities: Sequence[DiffusivityDoc]
    hulls: Sequence[ConvexHullDoc]
    free_energies: Sequence[ConfigurationalFreeEnergyDoc]
    worker_time: WorkerTime | None
    failures: Sequence[str] = ()
    #: how many jobs are not done yet, None when all are
    unfinished: str | None = None
    networks: Sequence[SiteNetworkDoc] = ()
    barriers: Sequence[JumpBarrierDoc] = ()
    functions: Sequence[StructureFunctionDoc] = ()
    candidates: Sequence[CandidateDoc] = ()
    trained: Sequence[PotentialDoc] = ()
    curves: Sequence[LearningCurveDoc] = ()
    loops: Sequence[SelfConsistentLoopDoc] = ()
    #: from the sha256 of a blob to its bytes; without it no densities are drawn
    read_blob: Callable[[str], bytes] | None = None

    @property
    def fits_shown(self) -> list[ActivationEnergyDoc]:
        """Fits that are shown one by one: of a survey's crystals, those run at several temperatures."""
        surveyed = {candidate.material_id for candidate in self.candidates}
        return [fit for fit in self.fits if len(fit.points) > 1 or fit.material_id not in surveyed]

    @property
    def shared_points(self) -> list[str]:
        """Say which points of the fits are of runs of other campaigns: the same crystal, run there."""
        own = {document.id for document in self.diffusivities}
        lines = []
        for fit in self.fits_shown:
            others = [p.temperature_K for p in fit.points if p.diffusivity_id not in own]
            if others:
                listed = ", ".join(f"{temperature_K:g}" for temperature_K in sorted(others))
                lines.append(
                    f"{fit.material_name}: the fit also uses runs of other campaigns at {listed} K "
                    "(same crystal, potential and protocol)"
                )
        return lines


def write_report(content: ReportContent, folder: Path) -> Path:
    """Write the page and its figures.

    Parameters
    ----------
    content : ReportContent
        Documents to show.
    folder : Path
        Made when missing; files of an earlier report are replaced.

    Returns
    -------
    Path
        ``index.html``.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    rows = rank_materials(content.fits_shown, content.diffusivities, content.hulls)
    materials = [_material(row.fit, content, figures) for row in rows]
    in_temperature = [n for n in ConfigurationalFreeEnergyDoc.group_fields if n != "temperature_K"]
    groups = _gathered(content.free_energies, in_temperature)
    page = (
        _environment()
        .get_template("report.html")
        .render(
            content=content,
            version=__version__,
            written_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            columns=COLUMNS,
            ranking=[row_cells(row) for row in rows],
            materials=materials,
            hulls=[(hull, _saved(hull_figure(hull), figures, f"hull_{hull.id}")) for hull in content.hulls],
            free_energy_figures=[name for group in groups for name in _free_energy_figures(group, figures)],
            phase_figures=[
                name
                for group in _gathered(content.free_energies, FORMULA_FIELDS)
                if (name := _saved(phase_comparison(group), figures, f"phases_{group[0].id}"))
            ],
            potentials=_potentials(content),
            trainings=_trainings(content, figures),
            curves=[
                (curve, _saved(learning_curve_figure(curve), figures, f"learning_curve_{curve.id}"))
                for curve in content.curves
            ],
            loop_figures=[name for loop in content.loops for name in _loop_figures(loop, figures)],
            survey_columns=candidate_figures.COLUMNS,
            surveys=_surveys(content, figures),
        )
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _material(fit: ActivationEnergyDoc, content: ReportContent, folder: Path) -> dict[str, Any]:
    """Gather what the page shows of one material, structure and sites at its highest temperature."""
    wanted = {point.diffusivity_id for point in fit.points}
    points = _ascending(d for d in content.diffusivities if d.id in wanted)
    networks = _ascending(found for found in content.networks if _belongs(found, fit))
    functions = _ascending(found for found in content.functions if _belongs(found, fit))
    drawn = [_saved(arrhenius_figure(fit), folder, f"arrhenius_{fit.id}")]
    drawn += [_saved(displacement_figure(d), folder, f"msd_{d.id}") for d in points]
    if with_sites := [network for network in networks if network.sites]:
        drawn.append(_saved(network_figure(with_sites[-1]), folder, f"jump_network_{with_sites[-1].id}"))
        drawn += _densities(with_sites[-1], content, folder)
    barriers = [found for found in content.barriers if _belongs(found, fit)]
    drawn += [_saved(jump_rates_figure(found), folder, f"jump_rates_{found.id}") for found in barriers]
    for found in functions[-1:]:
        drawn.append(_saved(distribution_figure(found), folder, f"rdf_{found.id}"))
        drawn.append(_saved(spectrum(found), folder, f"spectrum_{found.id}"))
        drawn.append(_saved(velocity_autocorrelation(found), folder, f"velocity_autocorrelation_{found.id}"))
    shown: dict[str, Any] = {"fit": fit, "points": points, "networks": networks, "barriers": barriers}
    return shown | {"figures": [name for name in drawn if name]}


def _densities(network: SiteNetworkDoc, content: ReportContent, folder: Path) -> list[str | None]:
    """Draw slices and isosurface of the stored density, if there is one."""
    values = None if network.density is None else network.density.values
    if values is None or content.read_blob is None:
        return []
    packed = content.read_blob(values.sha256)
    return [
        _saved(slices_figure(network, packed), folder, f"density_slices_{network.id}"),
        _saved(surface_figure(network, packed), folder, f"density_surface_{network.id}"),
    ]


def _trainings(content: ReportContent, folder: Path) -> list[dict[str, Any]]:
    """Gather what the page shows of each potential that was trained, the best first."""
    rows = []
    for potential in content.trained:
        drawn = [
            _saved(parity_figure(potential), folder, f"parity_{potential.id}"),
            _saved(training_figure(potential), folder, f"training_{potential.id}"),
        ]
        rows.append({"potential": potential, "figures": [name for name in drawn if name]})
    return sorted(rows, key=lambda row: -(row["potential"].n_training or 0))


def _surveys(content: ReportContent, folder: Path) -> list[dict[str, Any]]:
    """Gather what the page shows of each survey."""
    surveys = []
    for name in sorted({candidate.survey for candidate in content.candidates}):
        found = [candidate for candidate in content.candidates if candidate.survey == name]
        counts = Counter(candidate.outcome for candidate in found)
        drawn = [
            _saved(candidate_figures.ranking_figure(found), folder, f"ranking_{name}"),
            _saved(candidate_figures.pareto_figure(found), folder, f"pareto_{name}"),
        ]
        surveys.append(
            {
                "name": name,
                "counts": ", ".join(
                    f"{n} {outcome.replace('_', ' ')}" for outcome, n in counts.most_common()
                ),
                "rows": [candidate_figures.candidate_cells(row) for row in rank_candidates(found)],
                "figures": [figure for figure in drawn if figure],
            }
        )
    return surveys


def _belongs(found: SiteNetworkDoc | StructureFunctionDoc | JumpBarrierDoc, fit: ActivationEnergyDoc) -> bool:
    return all(getattr(found, name) == getattr(fit, name) for name in ActivationEnergyDoc.group_fields)


def _ascending(documents: Iterable[T]) -> list[T]:
    return sorted(documents, key=lambda document: document.temperature_K)


def _free_energy_figures(group: Sequence[ConfigurationalFreeEnergyDoc], folder: Path) -> list[str]:
    """Draw what is known of one parent and class over its temperatures; spectra at the highest one."""
    last = max(group, key=lambda document: document.temperature_K)
    drawn = [
        _saved(free_energy_figure(group), folder, f"free_energy_{group[0].id}"),
        _saved(energy_distribution(group), folder, f"distribution_{group[0].id}"),
        _saved(sample_convergence(last), folder, f"convergence_{last.id}"),
        _saved(averaged_spectrum(last), folder, f"averaged_spectrum_{last.id}"),
    ]
    return [name for name in drawn if name]


def _gathered(
    documents: Sequence[ConfigurationalFreeEnergyDoc], names: Sequence[str]
) -> list[list[ConfigurationalFreeEnergyDoc]]:
    """Gather the documents that agree in some fields."""
    groups: dict[tuple[Any, ...], list[ConfigurationalFreeEnergyDoc]] = {}
    for document in documents:
        groups.setdefault(tuple(getattr(document, name) for name in names), []).append(document)
    return list(groups.values())


def _saved(figure: Figure | None, folder: Path, name: str) -> str | None:
    if figure is None:
        return None
    figure.savefig(folder / f"{name}.svg")
    return f"figures/{name}.svg"


def _loop_figures(loop: SelfConsistentLoopDoc, folder: Path) -> list[str]:
    drawn = {"diffusivities": loop_diffusivity_figure(loop), "steps": loop_step_figure(loop)}
    names = [_saved(figure, folder, f"loop_{kind}_{loop.id}") for kind, figure in drawn.items()]
    return [name for name in names if name is not None]


def _potentials(content: ReportContent) -> list[str]:
    documents: Iterable[ActivationEnergyDoc | ConvexHullDoc] = [*content.fits, *content.hulls]
    found = {d.potential.weights_sha256: d.potential for d in documents if d.potential is not None}
    return [f"{p.name}, {p.code} {p.code_version}, weights sha256 {p.weights_sha256}" for p in found.values()]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sse_screen.reporting"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["quantity"] = quantity_text
    return environment
