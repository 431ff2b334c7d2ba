"""Conversion of matplotlib figures to plotly's JSON, element by element."""

import json
import sys
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from sse_screen.reporting.figures import arrhenius_figure
from sse_screen.reporting.plotly_conversion import plotly_json


def converted(figure):
    """The JSON, accepted by plotly and without NaN."""
    content = plotly_json(figure)
    go.Figure(json.loads(json.dumps(content, allow_nan=False)))
    return content


@pytest.fixture
def axes():
    return Figure(figsize=(5, 4)).add_subplot()


def test_lines_and_markers(axes):
    axes.plot([1.0, 2.0, np.nan], [3.0, 4.0, 5.0], "s--", color="#ff0000", lw=3, label="one")
    axes.plot([1.0], [2.0], "v", color="#00ff00", label="_two")
    axes.legend()
    content = converted(axes.figure)
    first, second = content["data"]
    assert (first["x"], first["y"]) == ([1.0, 2.0, None], [3.0, 4.0, 5.0])
    assert (first["mode"], first["name"], first["showlegend"]) == ("lines+markers", "one", True)
    assert first["line"] == {"color": "#ff0000", "width": 4.0, "dash": "dash"}
    assert first["marker"]["symbol"] == "square"
    assert (second["mode"], second["showlegend"]) == ("markers", False)
    assert second["marker"]["symbol"] == "triangle-down"
    assert content["layout"]["showlegend"]
    assert (content["layout"]["width"], content["layout"]["height"]) == (480, 384)


def test_scales_ranges_labels_and_title(axes):
    axes.loglog([1, 10], [2, 200])
    axes.set(xlim=(0.1, 1000), ylim=(1, 100), xlabel="time (ps)", ylabel="Å$^{-3}$", title="Li$_{2}$S")
    layout = converted(axes.figure)["layout"]
    assert (layout["xaxis"]["type"], layout["xaxis"]["range"]) == ("log", [-1.0, 3.0])
    assert layout["yaxis"]["range"] == [0.0, 2.0]
    assert layout["xaxis"]["title"]["text"] == "time (ps)"
    assert layout["yaxis"]["title"]["text"] == "Å<sup>-3</sup>"
    assert layout["title"]["text"] == "Li<sub>2</sub>S"


def test_lines_and_ranges_across_the_axes(axes):
    axes.plot([0, 10], [0, 1])
    axes.axhline(0.5, color="#0000ff", ls=":")
    axes.axvspan(2.0, 3.0, color="#ff0000", alpha=0.5)
    content = converted(axes.figure)
    assert len(content["data"]) == 1
    line, span = content["layout"]["shapes"]
    assert (line["type"], line["y0"], line["y1"], line["x0"], line["x1"]) == ("line", 0.5, 0.5, 0.0, 1.0)
    assert (line["xref"], line["yref"]) == ("x domain", "y")
    assert line["line"]["dash"] == "dot"
    assert (span["type"], span["x0"], span["x1"], span["y0"], span["y1"]) == ("rect", 2.0, 3.0, 0.0, 1.0)
    assert (span["xref"], span["yref"]) == ("x", "y domain")
    assert span["fillcolor"] == "rgba(255,0,0,0.5)"


def test_bands_and_error_bars(axes):
    axes.fill_between([0.0, 1.0], [1.0, 2.0], [3.0, 4.0], color="#00ff00", alpha=0.2, label="band")
    axes.errorbar([0.5], [2.0], [[0.5], [1.0]], fmt="o", color="#000000", capsize=3)
    content = converted(axes.figure)
    (band,) = [trace for trace in content["data"] if trace.get("fill")]
    assert (band["fill"], band["fillcolor"], band["name"]) == ("toself", "rgba(0,255,0,0.2)", "band")
    assert {(0.0, 1.0), (1.0, 2.0), (1.0, 4.0), (0.0, 3.0)} == set(zip(band["x"], band["y"], strict=True))
    (bar,) = [trace for trace in content["data"] if None in trace["x"]]
    assert bar["y"] == [1.5, 3.0, None]


def test_scatter_with_a_colour_scale(axes):
    dots = axes.scatter([1, 2, 3], [4, 5, 6], c=[0.0, 50.0, 100.0], cmap="viridis", vmin=0, vmax=200)
    axes.figure.colorbar(dots, ax=axes, label="energy / (meV/atom)")
    content = converted(axes.figure)
    (trace,) = content["data"]
    marker = trace["marker"]
    assert marker["color"] == [0.0, 50.0, 100.0]
    assert (marker["cmin"], marker["cmax"]) == (0, 200)
    assert marker["colorscale"][0] == [0.0, "#440154"]
    assert marker["colorbar"]["title"]["text"] == "energy / (meV/atom)"
    assert "xaxis2" not in content["layout"]


def test_notes(axes):
    axes.set(xscale="log", xlim=(1, 100), ylim=(0, 1))
    axes.annotate("P$_{2}$S$_{5}$", (10, 0.5), (6.0, -3.0), textcoords="offset points", ha="left", va="top")
    axes.annotate("hop", (0.01, 0.2), xycoords=("axes fraction", "data"))
    axes.text(0.5, 0.9, "inside", transform=axes.transAxes)
    first, second, third = converted(axes.figure)["layout"]["annotations"]
    assert first["text"] == "P<sub>2</sub>S<sub>5</sub>"
    assert (first["x"], first["y"], first["xref"], first["yref"]) == (1.0, 0.5, "x", "y")
    assert (first["xshift"], first["yshift"], first["yanchor"]) == (8.0, -4.0, "top")
    assert (second["x"], second["xref"], second["y"], second["yref"]) == (0.01, "x domain", 0.2, "y")
    assert (third["x"], third["xref"], third["yref"]) == (0.5, "x domain", "y domain")


def test_panels_have_their_own_axes():
    figure = Figure(layout="constrained")
    for number, axes in enumerate(figure.subplots(2, 1, sharex=True)):
        axes.plot([0, 1], [number, number + 1])
    content = converted(figure)
    assert [(trace["xaxis"], trace["yaxis"]) for trace in content["data"]] == [("x", "y"), ("x2", "y2")]
    upper, lower = content["layout"]["yaxis"], content["layout"]["yaxis2"]
    assert upper["domain"][0] > lower["domain"][1]
    assert upper["anchor"] == "x"
    assert lower["anchor"] == "x2"
    assert not content["layout"]["xaxis"]["showticklabels"]
    assert content["layout"]["xaxis2"]["showticklabels"]


def test_equal_scales_and_hidden_axes(axes):
    axes.plot([0, 1], [0, 1])
    axes.set_aspect("equal")
    axes.set_axis_off()
    layout = converted(axes.figure)["layout"]
    assert layout["yaxis"]["scaleanchor"] == "x"
    assert not layout["xaxis"]["visible"]


def test_the_interactive_arrhenius_figure_names_all_that_it_shows():
    sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
    import figure_documents as made

    content = converted(arrhenius_figure(made.activation_energy()))
    named = [trace["name"] for trace in content["data"] if trace["showlegend"]]
    assert sorted(named) == ["fit", "its interval", "measured", "upper limit"]
    assert content["layout"]["showlegend"]
