"""Parts of the document of a configurational free energy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents.base import Document
from sse_screen.thermodynamics.vibrations import DensityOfStates, average_over_configurations, broadened

FloatArray = NDArray[np.float64]

_PER_ATOM: JsonDict = {"unit": "eV/atom"}
_PER_CELL: JsonDict = {"unit": "eV/cell"}
_PER_THZ: JsonDict = {"unit": "1/THz"}
_NUMBER: JsonDict = {"unit": "1"}


class ConfigurationEnergy(Document):
    """Energy of one symmetry-unique ordering."""

    configuration_id: str = Field(description="Id of the ordering")
    energy_eV_per_cell: float = Field(description="Relaxed energy of the cell", json_schema_extra=_PER_CELL)
    degeneracy: float = Field(
        1.0,
        gt=0,
        description="Symmetry-equivalent orderings, or weight in a sample",
        json_schema_extra=_NUMBER,
    )
    free_energy_eV_per_cell: float | None = Field(
        None, description="F_i(T) with vibrations at the document's temperature", json_schema_extra=_PER_CELL
    )
    entropy_eV_per_K_per_cell: float | None = Field(
        None,
        description="Vibrational entropy S_i at that temperature",
        json_schema_extra={"unit": "eV/K/cell"},
    )


class LikelyConfiguration(Document):
    """One of the orderings that carry most of the probability."""

    configuration_id: str = Field(description="Id of the ordering")
    energy_above_lowest_eV_per_cell: float = Field(
        description="Energy, or free energy, above the lowest", json_schema_extra=_PER_CELL
    )
    degeneracy: float = Field(description="Symmetry-equivalent orderings", json_schema_extra=_NUMBER)
    probability: float = Field(description="Probability, degeneracy included", json_schema_extra=_NUMBER)


class EnergyDistribution(Document):
    """How many orderings have an energy, and how probable it is at the temperature."""

    bin_edges_meV_per_atom: list[float] = Field(
        description="Edges of the bins, energies (or free energies) above the lowest",
        json_schema_extra={"unit": "meV/atom"},
    )
    orderings: list[float] = Field(
        description="Share of the orderings in each bin, degeneracies included", json_schema_extra=_NUMBER
    )
    probabilities: list[float] = Field(
        description="Probability of each bin at the temperature", json_schema_extra=_NUMBER
    )


class SampleConvergence(Document):
    """Means over random subsets of growing size, rescaled to the whole set."""

    sample_sizes: list[int] = Field(description="Orderings in the subsets", json_schema_extra=_NUMBER)
    free_energies_eV_per_atom: list[float] = Field(
        description="Mean free energy", json_schema_extra=_PER_ATOM
    )
    free_energy_spreads_eV_per_atom: list[float] = Field(
        description="Its standard deviation over subsets", json_schema_extra=_PER_ATOM
    )
    entropy_terms_eV_per_atom: list[float] = Field(description="Mean -T S_conf", json_schema_extra=_PER_ATOM)
    entropy_term_spreads_eV_per_atom: list[float] = Field(
        description="Its standard deviation over subsets", json_schema_extra=_PER_ATOM
    )
    unscaled_entropy_terms_eV_per_atom: list[float] = Field(
        description="Mean -T S_conf of the subsets alone", json_schema_extra=_PER_ATOM
    )


#: what a run of 6 ps resolves
RESOLUTION_THz = 0.2


class AveragedSpectrum(Document):
    """Density of states averaged over the orderings with their probabilities at the temperature."""

    resolution_THz: float = Field(
        RESOLUTION_THz,
        description="Standard deviation of the Gaussian that smears each ordering's",
        json_schema_extra={"unit": "THz"},
    )
    frequencies_THz: list[float] = Field(description="Nodes", json_schema_extra={"unit": "THz"})
    modes_per_THz: dict[str, list[float]] = Field(
        description="Mean modes of a cell by species", json_schema_extra=_PER_THZ
    )
    spread_per_THz: list[float] = Field(
        description="Standard deviation of the total over the orderings, by probability",
        json_schema_extra=_PER_THZ,
    )
    standard_error_per_THz: list[float] = Field(
        description="The spread over the square root of the effective number of orderings",
        json_schema_extra=_PER_THZ,
    )
    effective_sample_size: float = Field(
        description="1 / sum p^2 of the orderings averaged", json_schema_extra=_NUMBER
    )

    @classmethod
    def from_densities(cls, weighted: Iterable[tuple[DensityOfStates, float]]) -> Self:
        """Average, one density after another.

        Parameters
        ----------
        weighted : iterable of (DensityOfStates, float)
            One an ordering with its probability, on one grid.

        Returns
        -------
        AveragedSpectrum
            Cut behind the last node that has modes.
        """
        found = average_over_configurations(
            (broadened(density, RESOLUTION_THz), probability) for density, probability in weighted
        )
        end = int(np.flatnonzero(found.mean.total_modes > 1e-6).max(initial=0)) + 2

        def listed(values: FloatArray) -> list[float]:
            """Give six digits of what lies before the cut."""
            return [float(f"{value:.6g}") for value in values[:end]]

        return cls(
            frequencies_THz=listed(found.mean.frequencies_THz),
            modes_per_THz={name: listed(found.mean.density_per_THz(name)) for name in found.mean.modes},
            spread_per_THz=listed(found.spread_per_THz),
            standard_error_per_THz=listed(found.standard_error_per_THz),
            effective_sample_size=found.effective_sample_size,
        )
