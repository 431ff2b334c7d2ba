"""The same figures for the browser: what matplotlib was told to draw, as plotly's JSON.

Converting keeps one place in which a figure is made. Lines, markers, error bars, bands, ranges, scatters with
colour scales and notes are converted; 3-D figures have plotly builders of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "x": "x",
    "v": "triangle-down",
    "^": "triangle-up",
    "_": "line-ew-open",
    "|": "line-ns-open",
    # matplotlib's carets at the ends of limits
    "10": "triangle-up",
    "11": "triangle-down",
}
_PIXELS_PER_POINT = 96 / 72


def plotly_json(figure: Figure) -> dict[str, Any]:
    """Convert a figure of plane axes.

    Parameters
    ----------
    figure : Figure
        Drawn by the functions of this package.

    Returns
    -------
    dict
        ``data`` and ``layout`` of a plotly figure, of numbers, texts and None only.
    """
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    layout: dict[str, Any] = {
        "template": "plotly_white",
        "width": round(figure.get_figwidth() * 96),
        "height": round(figure.get_figheight() * 96),
        "margin": {"l": 10, "r": 10, "t": 45, "b": 10},
        "shapes": [],
        "annotations": [],
        "showlegend": any(axes.get_legend() is not None for axes in panels),
    }
    data: list[dict[str, Any]] = []
    for number, axes in enumerate(panels):
        suffix = "" if number == 0 else str(number + 1)
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        layout |= {f"xaxis{suffix}": _axis(axes, "x", suffix), f"yaxis{suffix}": _axis(axes, "y", suffix)}
        if axes.get_aspect() != "auto":
            layout[f"yaxis{suffix}"] |= {"scaleanchor": f"x{suffix}", "scaleratio": 1}
        data += [{**trace, **place} for trace in _traces(axes, bars)]
        layout["shapes"] += _shapes(axes, suffix)
        layout["annotations"] += _notes(axes, suffix)
    title = panels[0].get_title()
    if title:
        layout["title"] = {"text": _text(title), "font": {"size": 15}, "x": 0.02, "xanchor": "left"}
    return {"data": data, "layout": layout}


def _axis(axes: Axes, name: str, suffix: str) -> dict[str, Any]:
    along = axes.xaxis if name == "x" else axes.yaxis
    low, high = along.get_view_interval()
    is_logarithmic = along.get_scale() == "log"
    box = axes.get_position()
    low, high = (float(np.log10(v)) if is_logarithmic else float(v) for v in (low, high))
    domain = (box.x0, box.x1) if name == "x" else (box.y0, box.y1)
    return {
        "title": {"text": _text(along.get_label_text())},
        "type": "log" if is_logarithmic else "linear",
        "range": [low, high],
        "domain": [round(float(np.clip(end, 0, 1)), 4) for end in domain],
        "anchor": f"{'y' if name == 'x' else 'x'}{suffix}",
        "visible": bool(axes.axison),
        "zeroline": False,
        "showline": True,
        "mirror": True,
        "exponentformat": "power",
        "showticklabels": bool(along.get_tick_params().get("labelbottom", True)),
    }


def _traces(axes: Axes, bars: list[Axes]) -> Iterator[dict[str, Any]]:
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            yield _scatter(collection, bars)
        elif isinstance(collection, LineCollection):
            yield _segments(collection)
        elif isinstance(collection, PolyCollection):
            yield from _bands(collection)
    for line in axes.get_lines():
        if line.get_transform() == axes.transData:
            yield _line(line)


def _line(line: Line2D) -> dict[str, Any]:
    marker, style = str(line.get_marker()), str(line.get_linestyle())
    has_line, has_marker = style not in ("None", " ", ""), marker not in ("None", " ", "")
    colour = to_hex(line.get_color())
    trace = {
        "type": "scatter",
        "x": _numbers(line.get_xdata(orig=False)),
        "y": _numbers(line.get_ydata(orig=False)),
        "mode": "+".join(part for part, on in (("lines", has_line), ("markers", has_marker)) if on) or "none",
        **_legend(line.get_label()),
    }
    if has_line:
        width = round(line.get_linewidth() * _PIXELS_PER_POINT, 2)
        trace["line"] = {"color": colour, "width": width, "dash": _DASHES.get(style, "dot")}
    if has_marker:
        size = round(line.get_markersize() * _PIXELS_PER_POINT, 1)
        trace["marker"] = {"color": colour, "size": size, "symbol": _SYMBOLS.get(marker, "circle")}
        if trace["marker"]["symbol"].endswith("-open"):
            trace["marker"]["line"] = {"width": 1.5, "color": colour}
    return trace


def _scatter(collection: PathCollection, bars: list[Axes]) -> dict[str, Any]:
    x, y = np.ma.filled(collection.get_offsets(), np.nan).reshape(-1, 2).T
    sizes = np.sqrt(np.asarray(collection.get_sizes(), dtype=float)) * _PIXELS_PER_POINT
    marker: dict[str, Any] = {"size": round(float(sizes.mean()), 1)}
    values = collection.get_array()
    if values is None:
        marker["color"] = _hex(collection.get_facecolor())
    else:
        low, high = collection.get_clim()
        label = next((bar.get_ylabel() for bar in bars), "")
        shades = np.linspace(0, 1, 9)
        marker |= {
            "color": _numbers(values),
            "cmin": low,
            "cmax": high,
            "colorscale": [[float(s), to_hex(collection.get_cmap()(s))] for s in shades],
            "colorbar": {"title": {"text": _text(label), "side": "right"}},
        }
    return {
        "type": "scatter",
        "x": _numbers(x),
        "y": _numbers(y),
        "mode": "markers",
        "marker": marker,
        **_legend(collection.get_label()),
    }


def _segments(collection: LineCollection) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for segment in collection.get_segments():
        x += [*_numbers(segment[:, 0]), None]
        y += [*_numbers(segment[:, 1]), None]
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines",
        "line": {
            "color": _hex(collection.get_edgecolor()),
            "width": round(float(np.mean(collection.get_linewidth())) * _PIXELS_PER_POINT, 2),
        },
        "hoverinfo": "skip",
        **_legend(collection.get_label()),
    }


def _bands(collection: PolyCollection) -> Iterator[dict[str, Any]]:
    colour = _rgba(np.asarray(collection.get_facecolor())[0])
    for path in collection.get_paths():
        x, y = np.asarray(path.vertices).T
        yield {
            "type": "scatter",
            "x": _numbers(x),
            "y": _numbers(y),
            "mode": "lines",
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": colour,
            "hoverinfo": "skip",
            **_legend(collection.get_label()),
        }


def _shapes(axes: Axes, suffix: str) -> Iterator[dict[str, Any]]:
    """Lines and ranges that span the axes."""
    for line in axes.get_lines():
        if line.get_transform() != axes.transData:
            (x0, x1), (y0, y1) = _numbers(line.get_xdata()), _numbers(line.get_ydata())
            width = round(line.get_linewidth() * _PIXELS_PER_POINT, 2)
            dash = _DASHES.get(str(line.get_linestyle()), "dot")
            stroke = {"color": to_hex(line.get_color()), "width": width, "dash": dash}
            ends = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
            yield {
                "type": "line",
                **ends,
                "line": stroke,
                "layer": "below",
                **_references(axes, line, suffix),
            }
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            (x0, y0), (x1, y1) = (map(float, corner) for corner in patch.get_corners()[[0, 2]])
            ends = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
            fill = {"fillcolor": _rgba(patch.get_facecolor()), "line": {"width": 0}, "layer": "below"}
            yield {"type": "rect", **ends, **fill, **_references(axes, patch, suffix)}


def _references(axes: Axes, artist: Line2D | Rectangle, suffix: str) -> dict[str, str]:
    """Whether each coordinate is one of the data or a fraction of the axes."""
    x_is_data, y_is_data = artist.get_transform().contains_branch_seperately(axes.transData)
    return {
        "xref": f"x{suffix}" if x_is_data else f"x{suffix} domain",
        "yref": f"y{suffix}" if y_is_data else f"y{suffix} domain",
    }


def _notes(axes: Axes, suffix: str) -> Iterator[dict[str, Any]]:
    for text in axes.texts:
        note: Any = text
        is_annotation = hasattr(note, "xy")
        in_data = ("data", "data") if note.get_transform() == axes.transData else ("axes", "axes")
        places = note.xycoords if is_annotation else in_data
        names = (places, places) if isinstance(places, str) else places
        ends = note.xy if is_annotation else note.get_position()
        x, x_reference = _coordinate(ends[0], names[0], "x", axes, suffix)
        y, y_reference = _coordinate(ends[1], names[1], "y", axes, suffix)
        shift = {}
        if is_annotation and note.anncoords == "offset points":
            right, up = note.xyann
            shift = {"xshift": right * _PIXELS_PER_POINT, "yshift": up * _PIXELS_PER_POINT}
        yield {
            "text": _text(note.get_text()),
            "x": x,
            "y": y,
            "showarrow": False,
            "font": {
                "color": to_hex(note.get_color()),
                "size": round(note.get_fontsize() * _PIXELS_PER_POINT),
            },
            "xanchor": note.get_horizontalalignment(),
            "yanchor": {"center": "middle", "top": "top"}.get(note.get_verticalalignment(), "bottom"),
            "xref": x_reference,
            "yref": y_reference,
            **shift,
        }


def _coordinate(value: Any, place: str, name: str, axes: Axes, suffix: str) -> tuple[float, str]:
    """Give where a note stands; plotly wants exponents on logarithmic axes."""
    if place != "data":
        return float(value), f"{name}{suffix} domain"
    is_logarithmic = (axes.xaxis if name == "x" else axes.yaxis).get_scale() == "log"
    return float(np.log10(value) if is_logarithmic else value), f"{name}{suffix}"


def _legend(label: object) -> dict[str, Any]:
    """Name and place in the legend; matplotlib marks what is not in it by an underscore."""
    text = str(label)
    return {"name": _text(text), "showlegend": True} if text and text[0] != "_" else {"showlegend": False}


def _text(text: str) -> str:
    """Turn the little mathematics that the figures use into plotly's HTML."""
    text = re.sub(r"\\mathrm\{([^}]*)\}", r"\1", text)
    text = re.sub(r"_\{?([\w.]+)\}?(?=[^$]*\$)", r"<sub>\1</sub>", text) if "$" in text else text
    text = re.sub(r"\^\{([^}]*)\}", r"<sup>\1</sup>", text) if "$" in text else text
    return text.replace("$", "").replace("{", "").replace("}", "").replace("\n", "<br>")


def _numbers(values: Any) -> list[float | None]:
    array: Any = np.asarray(np.ma.filled(np.ma.asarray(values, dtype=float), np.nan))
    return [float(v) if np.isfinite(v) else None for v in array]


def _hex(colours: Any) -> str:
    return to_hex(np.asarray(colours).reshape(-1, 4)[0])


def _rgba(colour: Any) -> str:
    red, green, blue, alpha = to_rgba(colour)
    return f"rgba({round(255 * red)},{round(255 * green)},{round(255 * blue)},{round(alpha, 3)})"
