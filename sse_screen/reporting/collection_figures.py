"""Which figures documents of each collection have, as PNG, SVG and JSON for plotly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from matplotlib.figure import Figure

from sse_screen.documents.base import BlobReference, DerivedDocument
from sse_screen.reporting import (
    candidate_figures,
    density_figures,
    figures,
    loop_figures,
    potential_figures,
    thermodynamic_figures,
)
from sse_screen.reporting.plotly_conversion import plotly_json
from sse_screen.transport.barrier_figures import jump_rates_figure
from sse_screen.transport.figures import image_bytes

FigureFormat = Literal["png", "svg", "json"]
FORMATS: tuple[str, ...] = get_args(FigureFormat)
MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "json": "application/json"}


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure of a collection.

    Attributes
    ----------
    description : str
        What it shows.
    draw : callable
        From documents to a matplotlib figure, or None where they do not hold what it shows.
    same : tuple of str
        Fields in which all documents of one figure agree; empty where a figure shows one document.
    interactive : callable or None
        From documents to plotly's JSON, where the matplotlib figure cannot be converted.
    blob : callable or None
        From the document to the blob whose bytes `draw` and `interactive` get besides; None where it has
        none.
    """

    description: str
    draw: Callable[..., Figure | None]
    same: tuple[str, ...] = ()
    interactive: Callable[..., dict[str, Any] | None] | None = None
    blob: Callable[[Any], BlobReference | None] | None = None

    def render(
        self, documents: Sequence[DerivedDocument], format: FigureFormat, read: Callable[[str], bytes]
    ) -> bytes | None:
        """Draw the figure.

        Parameters
        ----------
        documents : sequence of DerivedDocument
            One document, or all that agree in ``same``.
        format : str
            One of ``FORMATS``.
        read : callable
            From the sha256 of a blob to its bytes.

        Returns
        -------
        bytes or None
            The file; None where the documents do not hold what the figure shows.
        """
        arguments: tuple[Any, ...] = (documents,)
        if self.blob is not None:
            reference = self.blob(documents[0])
            if reference is None:
                return None
            arguments = (documents, read(reference.sha256))
        if format == "json" and self.interactive is not None:
            content = self.interactive(*arguments)
        else:
            figure = self.draw(*arguments)
            if figure is None:
                return None
            if format != "json":
                return image_bytes(figure, format)
            content = plotly_json(figure)
        return None if content is None else json.dumps(content, allow_nan=False).encode()


def _first(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda documents, *content: draw(documents[0], *content)


def _density(document: Any) -> BlobReference | None:
    return None if document.density is None else document.density.values


_TEMPERATURES = ("parent", "occupancy_class", "level_of_theory", "convention", "with_vibrations")

#: kinds of figures by collection; the first one is drawn when none is named
FIGURES: dict[str, dict[str, FigureKind]] = {
    "diffusivity": {
        "msd": FigureKind("mean squared displacements with the fit", _first(figures.displacement_figure))
    },
    "activation_energy": {
        "arrhenius": FigureKind("diffusivities over 1000/T with the fit", _first(figures.arrhenius_figure))
    },
    "convex_hull": {
        "hull": FigureKind("the hull of two or three components", _first(figures.hull_figure)),
    },
    "candidate": {
        "ranking": FigureKind(
            "conductivities at 300 K of the survey's candidates, best first",
            candidate_figures.ranking_figure,
            same=("survey",),
        ),
        "pareto": FigureKind(
            "conductivity at 300 K over the distance to the hull, all candidates of the survey",
            candidate_figures.pareto_figure,
            same=("survey",),
        ),
    },
    "configurational_free_energy": {
        "free_energy": FigureKind(
            "F and -T S over all temperatures built",
            figures.free_energy_figure,
            same=_TEMPERATURES,
        ),
        "distribution": FigureKind(
            "how many orderings have an energy, and how probable it is at all temperatures built",
            thermodynamic_figures.energy_distribution,
            same=_TEMPERATURES,
        ),
        "convergence": FigureKind(
            "-T S_conf over the number of orderings", _first(thermodynamic_figures.sample_convergence)
        ),
        "averaged_spectrum": FigureKind(
            "density of states averaged over the orderings, with its spread",
            _first(thermodynamic_figures.averaged_spectrum),
        ),
        "phases": FigureKind(
            "F of all phases of the formula against the first",
            thermodynamic_figures.phase_comparison,
            same=("formula", "level_of_theory", "convention", "with_vibrations"),
        ),
    },
    "configuration": {
        "energies": FigureKind(
            "relaxed energies of the orderings of its class",
            thermodynamic_figures.configuration_energies,
            same=("parent", "occupancy_class", "level_of_theory"),
        )
    },
    "vibrational_free_energy": {
        "spectrum": FigureKind("vibrational density of states", _first(figures.density_of_states)),
    },
    "learning_curve": {
        "learning_curve": FigureKind(
            "errors on the test set over the training-set size",
            _first(potential_figures.learning_curve_figure),
        ),
    },
    "potential": {
        "parity": FigureKind(
            "predictions over labels of the test set", _first(potential_figures.parity_figure)
        ),
        "training": FigureKind("losses over the epochs", _first(potential_figures.training_figure)),
    },
    "self_consistent_loop": {
        "diffusivities": FigureKind(
            "diffusivities by loop beside the teacher's", _first(loop_figures.loop_diffusivity_figure)
        ),
        "steps": FigureKind(
            "labels paid for and errors on frames not seen before, by step",
            _first(loop_figures.loop_step_figure),
        ),
    },
    "site_network": {
        "jump_network": FigureKind(
            "sites and the jumps between them",
            _first(figures.network_figure),
            interactive=_first(figures.network_plotly),
        ),
        "density_slices": FigureKind(
            "density of the mobile ion on three planes",
            _first(density_figures.slices_figure),
            interactive=_first(density_figures.slices_plotly),
            blob=_density,
        ),
        "density_surface": FigureKind(
            "isosurface of the density in its cell",
            _first(density_figures.surface_figure),
            interactive=_first(density_figures.surface_plotly),
            blob=_density,
        ),
    },
    "jump_barrier": {
        "rates": FigureKind(
            "rates of all kinds of jumps over 1000/T with their fits", _first(jump_rates_figure)
        ),
    },
    "structure_function": {
        "rdf": FigureKind("partial radial distribution functions", _first(figures.distribution_figure)),
        "spectrum": FigureKind("vibrational density of states", _first(figures.spectrum)),
        "velocity_autocorrelation": FigureKind(
            "velocity autocorrelation of every species", _first(figures.velocity_autocorrelation)
        ),
    },
}
