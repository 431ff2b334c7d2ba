"""Figures are made, hold what they should, and refuse what they cannot show."""

import io

import numpy as np
import pytest

from sse_screen.thermodynamics.composition_space import elemental_space, end_member_space, place_on_hull
from sse_screen.thermodynamics.figures import (
    binary_hull_figure,
    convergence_figure,
    density_of_states_figure,
    energy_distribution_figure,
    ternary_hull_figure,
)
from sse_screen.thermodynamics.hull import HullError
from sse_screen.thermodynamics.partition_function import configurational_free_energy, energy_histogram
from sse_screen.thermodynamics.sampling_error import convergence_with_sample_size

FORMULAS = ["Li", "P", "S", "Li2S", "P2S5", "Li3PS4", "Li3PS4", "Li7PS6", "Li4P2S6"]
ENERGIES = np.array([-1.90, -5.40, -4.13, -4.00, -4.55, -4.46, -4.45, -4.35, -4.45])


def rendered(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue().startswith(b"\x89PNG")


def written(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_ternary_names_the_stable_phases():
    figure = ternary_hull_figure(place_on_hull(elemental_space(FORMULAS), ENERGIES), FORMULAS)
    assert rendered(figure)
    assert {"Li", "P", "S", "Li$_{3}$PS$_{4}$"} <= written(figure)
    assert "Li$_{4}$P$_{2}$S$_{6}$" not in written(figure)


def test_pseudo_binary_tie_lines_lie_below_every_entry():
    formulas, energies = FORMULAS[3:8], ENERGIES[3:8]
    placed = place_on_hull(end_member_space(formulas, ["Li2S", "P2S5"]), energies)
    figure = binary_hull_figure(placed, formulas)
    assert rendered(figure)
    marks, line = figure.axes[0].lines
    drawn = np.interp(marks.get_xdata(), line.get_xdata(), line.get_ydata())
    assert (marks.get_ydata() >= drawn - 1e-12).all()
    assert "end-member formula" in figure.axes[0].get_ylabel()


def test_wrong_number_of_components_is_refused():
    placed = place_on_hull(elemental_space(FORMULAS), ENERGIES)
    with pytest.raises(HullError, match="for 2 components, the hull has 3"):
        binary_hull_figure(placed, FORMULAS)


def test_distribution_convergence_and_density_of_states():
    rng = np.random.default_rng(0)
    energies = rng.normal(0.0, 0.1, 500)
    sums = [configurational_free_energy(energies, t, atoms_per_cell=20) for t in (300.0, 1500.0)]
    histograms = {found.temperature_K: energy_histogram(energies, found) for found in sums}
    figure = energy_distribution_figure(histograms)
    assert rendered(figure)
    for line in figure.axes[0].lines:
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1.0)
    convergence = convergence_with_sample_size(energies, 600.0, atoms_per_cell=20, rng=rng)
    assert rendered(convergence_figure(convergence, 600.0))
    frequencies = np.linspace(0, 30, 301)
    densities = {
        "Li": np.exp(-((frequencies - 10) ** 2) / 8),
        "O": np.exp(-((frequencies - 20) ** 2) / 8),
    }
    figure = density_of_states_figure(frequencies, densities, spread_per_THz=0.1 * densities["Li"])
    assert rendered(figure)
    assert figure.axes[0].get_xlim()[1] < 30
