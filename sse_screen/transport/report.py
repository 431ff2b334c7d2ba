"""A folder with the web page, the figures and the JSON of one analysis."""

from pathlib import Path

from jinja2 import Environment, PackageLoader

from sse_screen.documents.base import Quantity
from sse_screen.exceptions import InputError
from sse_screen.transport.analysis import TransportAnalysis
from sse_screen.transport.figures import displacement_figure, image_bytes, start_figure


def quantity_rows(analysis: TransportAnalysis) -> list[tuple[str, str, str, str, str, str]]:
    """Return name, value, interval, unit, verdict and reasons of every quantity, as text."""
    named: list[tuple[str, Quantity]] = [
        ("tracer diffusivity", analysis.tracer_diffusivity),
        *_slope(analysis),
        ("charge diffusivity", analysis.charge_diffusivity),
        ("Haven ratio", analysis.haven_ratio),
        ("Nernst-Einstein conductivity", analysis.nernst_einstein_conductivity),
        ("charge conductivity", analysis.charge_conductivity),
    ]
    if analysis.tensor is not None:
        tensor = analysis.tensor
        named += [(f"principal diffusivity {i + 1}", value) for i, value in enumerate(tensor.principal)]
        named += [(f"diffusivity along {axis}", value) for axis, value in tensor.axial.items()]
        named += [(f"diffusivity in plane {plane}", value) for plane, value in tensor.planar.items()]
    return [_row(name, quantity) for name, quantity in named]


def _slope(analysis: TransportAnalysis) -> list[tuple[str, Quantity]]:
    """Return the slope as a row of its own where it is not the tracer diffusivity."""
    differs = (
        analysis.tracer_diffusivity.verdict != "diffusive" and analysis.tracer.estimate.value is not None
    )
    return [("slope / 6, not a diffusivity", analysis.tracer.estimate)] if differs else []


def _row(name: str, quantity: Quantity) -> tuple[str, str, str, str, str, str]:
    """Return one quantity as text."""
    value = "-" if quantity.value is None else f"{quantity.value:.3g}"
    interval = "-"
    if quantity.verdict == "upper_limit" and quantity.upper is not None:
        value = f"< {quantity.upper:.3g}"
    elif quantity.upper is not None:
        interval = f"{quantity.lower or 0.0:.3g} to {quantity.upper:.3g}"
    elif quantity.lower:
        value = f"> {quantity.lower:.3g}"
    return name, value, interval, quantity.unit, quantity.verdict, "; ".join(quantity.reasons)


def write_report(analysis: TransportAnalysis, folder: Path, files: str) -> Path:
    """Write index.html, analysis.json and the figures as PNG and SVG.

    Parameters
    ----------
    analysis : TransportAnalysis
        What is reported.
    folder : Path
        Made if it is not there.
    files : str
        Names of the files that were analysed.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    mobile = ", ".join(analysis.mobile_species)
    figures = {
        "displacement": displacement_figure(analysis.tracer, mobile),
        "start": start_figure(analysis.tracer),
    }
    template = Environment(
        loader=PackageLoader("sse_screen.transport"), autoescape=True, trim_blocks=True
    ).get_template("analysis.html")
    page = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for format in ("png", "svg"):
                (folder / f"{name}.{format}").write_bytes(image_bytes(figure, format))
        (folder / "analysis.json").write_text(analysis.model_dump_json(indent=2))
        page.write_text(
            template.render(analysis=analysis, mobile=mobile, files=files, rows=quantity_rows(analysis)),
            encoding="utf-8",
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return page
