"""The report as one page with its figures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from sse_screen import __version__
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.reporting.figures import arrhenius_figure, displacement_figure, hull_figure
from sse_screen.reporting.ranking import COLUMNS, quantity_text, rank_materials, row_cells


@dataclass(frozen=True)
class WorkerTime:
    """How the workers' time was spent (s): in the potential, in the platform, waiting for jobs."""

    potential_s: float
    platform_s: float
    idle_s: float

    @property
    def platform_percent(self) -> float:
        """Share of the platform in the time that was not spent waiting."""
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
    rows = rank_materials(content.fits, content.diffusivities, content.hulls)
    materials = []
    for row in rows:
        points = sorted(
            (d for d in content.diffusivities if d.id in {p.diffusivity_id for p in row.fit.points}),
            key=lambda d: d.temperature_K,
        )
        drawn = [_saved(arrhenius_figure(row.fit), figures, f"arrhenius_{row.fit.id}")]
        drawn += [_saved(displacement_figure(d), figures, f"msd_{d.id}") for d in points]
        materials.append({"fit": row.fit, "points": points, "figures": drawn})
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
            potentials=_potentials(content),
        )
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _saved(figure: Figure | None, folder: Path, name: str) -> str | None:
    if figure is None:
        return None
    figure.savefig(folder / f"{name}.svg")
    return f"figures/{name}.svg"


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
