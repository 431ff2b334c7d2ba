"""Figures of potentials: labels against predictions, the course of a training, learning curves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from sse_screen.documents.learning_curve import LearningCurveDoc
from sse_screen.documents.potential import PotentialDoc
from sse_screen.documents.training import ErrorStatistics

_BLUE, _GREY, _ORANGE = "#1f5fa8", "#8a8f98", "#d9822b"


def parity_figure(document: PotentialDoc) -> Figure | None:
    """Draw predictions over labels of the test set, for energies, forces and stresses.

    Parameters
    ----------
    document : PotentialDoc
        One potential.

    Returns
    -------
    Figure or None
        None for a potential that was not trained here.
    """
    points, errors = document.parity, document.test
    if points is None or errors is None:
        return None
    energies = (points.energy_label_eV_per_atom, points.energy_predicted_eV_per_atom)
    panels = [
        ("energy (eV/atom)", *energies, errors.energy),
        ("force (eV/Å)", points.force_label_eV_per_A, points.force_predicted_eV_per_A, errors.forces),
    ]
    if errors.stress is not None:
        panels.append(("stress (GPa)", points.stress_label_GPa, points.stress_predicted_GPa, errors.stress))
    figure = Figure(figsize=(3.6 * len(panels), 3.5), layout="constrained")
    for number, panel in enumerate(panels, 1):
        _parity_panel(figure.add_subplot(1, len(panels), number), *panel)
    figure.suptitle(f"{document.name}: test set", fontsize=10)
    return figure


def _parity_panel(
    axes: Axes, quantity: str, labels: list[float], predicted: list[float], errors: ErrorStatistics
) -> None:
    both = np.array([labels, predicted])
    margin = 0.03 * max(float(np.ptp(both)), 1e-6)
    limits = (float(both.min()) - margin, float(both.max()) + margin)
    axes.plot(limits, limits, color=_GREY, lw=0.8)
    axes.plot(labels, predicted, "o", color=_BLUE, ms=3, alpha=0.5, mew=0)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.set_xlabel(f"label: {quantity}")
    axes.set_ylabel("predicted")
    squared = "" if errors.r_squared is None else f", R² {errors.r_squared:.4f}"
    axes.set_title(
        f"RMSE {1000 * errors.root_mean_square_error:.3g} m{errors.unit.replace('angstrom', 'Å')}{squared}",
        fontsize=8,
    )


def training_figure(document: PotentialDoc) -> Figure | None:
    """Draw the losses over the epochs, with the epoch that was taken.

    Parameters
    ----------
    document : PotentialDoc
        One potential.

    Returns
    -------
    Figure or None
        None for a potential that was not trained here.
    """
    if not document.history:
        return None
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    epochs = [record.epoch for record in document.history]
    axes.semilogy(epochs, [r.training_loss for r in document.history], color=_GREY, label="learnt from")
    axes.semilogy(epochs, [r.validation_loss for r in document.history], color=_BLUE, label="validation")
    if document.best_epoch is not None:
        axes.axvline(document.best_epoch, color=_ORANGE, lw=1, label="taken")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title(document.name, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure


def learning_curve_figure(document: LearningCurveDoc) -> Figure:
    """Draw errors on the test set over the training-set size with the fitted power laws and their intervals.

    Parameters
    ----------
    document : LearningCurveDoc
        One curve.

    Returns
    -------
    Figure
        One panel for energies, one for forces; logarithmic on both axes.
    """
    panels = [
        ("energy", "energy RMSE (meV/atom)", [1000 * p.energy_error_eV_per_atom for p in document.points]),
        ("forces", "force RMSE (meV/Å)", [1000 * p.force_error_eV_per_A for p in document.points]),
    ]
    figure = Figure(figsize=(8.4, 3.5), layout="constrained")
    sizes = [point.n_training for point in document.points]
    for number, (quantity, label, errors) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, number)
        axes.loglog(sizes, errors, "o", color=_BLUE, ms=5, label="test set")
        law = next((law for law in document.laws if law.quantity == quantity), None)
        if law is not None:
            n = np.geomspace(min(sizes), 2 * max(sizes), 50)
            axes.loglog(n, 1000 * law.prefactor * n**-law.exponent, color=_ORANGE, lw=1.4, label="power law")
            ends = [1000 * (law.expected_error_lower), 1000 * law.expected_error_upper]
            axes.plot([2 * max(sizes)] * 2, ends, color=_ORANGE, lw=3, alpha=0.4, label="twice the data")
            axes.set_title(f"{law.verdict.replace('_', ' ')}: exponent {law.exponent:.2f}", fontsize=9)
        axes.set_xlabel("structures learnt from")
        axes.set_ylabel(label)
        # the range is too short for powers of ten
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:.3g}")
            axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.8)))
        axes.legend(frameon=False, fontsize=8)
    code_and_functional = document.level_of_theory.split(",")[0]
    figure.suptitle(f"{document.names[-1]}, labels of {code_and_functional}", fontsize=10)
    return figure
