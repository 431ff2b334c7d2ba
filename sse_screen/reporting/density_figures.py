"""Figures of the stored density of a site network: slices and the isosurface."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sse_screen.documents.site_network import SiteNetworkDoc
from sse_screen.transport.density import DensityGrid, smooth
from sse_screen.transport.density_archive import StoredDensity, unpack_density
from sse_screen.transport.site_figures import (
    Atoms,
    density_slices_figure,
    density_slices_plotly,
    density_surface_figure,
    density_surface_plotly,
)
from sse_screen.transport.sites import SiteSet


def slices_figure(document: SiteNetworkDoc, content: bytes) -> Figure:
    """Draw three slices through the highest density.

    Parameters
    ----------
    document : SiteNetworkDoc
        The network, for its sites.
    content : bytes
        Its stored density.

    Returns
    -------
    Figure
        Logarithmic scale, sites near the slices marked.
    """
    return density_slices_figure(_smoothed(unpack_density(content)), sites=_sites(document))


def slices_plotly(document: SiteNetworkDoc, content: bytes) -> dict[str, Any]:
    """Draw the same for the browser.

    Parameters
    ----------
    document : SiteNetworkDoc
        The network.
    content : bytes
        Its stored density.

    Returns
    -------
    dict
        Plotly's JSON.
    """
    return _json(density_slices_plotly(_smoothed(unpack_density(content))))


def surface_figure(document: SiteNetworkDoc, content: bytes) -> Figure:
    """Draw the isosurface in its cell with the framework.

    Parameters
    ----------
    document : SiteNetworkDoc
        The network, for the level.
    content : bytes
        Its stored density.

    Returns
    -------
    Figure
        In three dimensions.
    """
    stored = unpack_density(content)
    density = _smoothed(stored)
    return density_surface_figure(density, _level(document), atoms=_atoms(stored))


def surface_plotly(document: SiteNetworkDoc, content: bytes) -> dict[str, Any]:
    """Draw the same for the browser, to be turned around.

    Parameters
    ----------
    document : SiteNetworkDoc
        The network.
    content : bytes
        Its stored density.

    Returns
    -------
    dict
        Plotly's JSON.
    """
    stored = unpack_density(content)
    density = _smoothed(stored)
    figure = density_surface_plotly(density, _level(document), atoms=_atoms(stored), sites=_sites(document))
    return _json(figure)


def _json(figure: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(figure.to_json())
    return content


def _smoothed(stored: StoredDensity) -> DensityGrid:
    return smooth(stored.density, stored.smoothing_A) if stored.smoothing_A > 0 else stored.density


def _atoms(stored: StoredDensity) -> Atoms | None:
    return Atoms(stored.fractional, stored.species) if len(stored.species) else None


def _level(document: SiteNetworkDoc) -> float:
    assert document.density is not None
    return document.density.isosurface_per_A3


def _sites(document: SiteNetworkDoc) -> SiteSet | None:
    if not document.sites:
        return None
    fractional: NDArray[np.floating] = np.array([site.fractional for site in document.sites])
    return SiteSet(fractional, np.array(document.lattice_A), tuple(site.type for site in document.sites))
