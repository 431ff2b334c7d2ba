"""Two-body part of linear potentials: cubic B-splines of the distance that end smoothly at a cutoff."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

FloatArray = NDArray[np.float64]


class RadialPart(BaseModel):
    """A function of the distance for each pair of elements, as coefficients of B-splines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cutoff_A: float = Field(gt=1.0, le=12.0, description="Where value, slope and curvature are zero")
    spacing_A: float = Field(gt=0.02, le=1.0, description="Distance between the centres of the functions")
    coefficients_eV: dict[str, tuple[float, ...]] = Field(
        description="By pair of elements, alphabetical, such as Li-O; the function nearest the cutoff first"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        expected = n_functions(self.cutoff_A, self.spacing_A)
        for pair, coefficients in self.coefficients_eV.items():
            if len(coefficients) != expected:
                raise ValueError(
                    f"coefficients_eV: {pair} has {len(coefficients)} numbers instead of {expected}"
                )
            if sorted(pair.split("-")) != pair.split("-") or len(pair.split("-")) != 2:
                raise ValueError(f"coefficients_eV: {pair!r} is no alphabetical pair of elements")
        return self

    def energy_and_slope(self, pair: str, distances_A: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Evaluate the function of one pair.

        Parameters
        ----------
        pair : str
            Such as Li-O.
        distances_A : NDArray
            (n,), Å.

        Returns
        -------
        energies_eV, slopes_eV_per_A : NDArray
            (n,) each.
        """
        values, slopes = radial_functions(distances_A, self.cutoff_A, self.spacing_A)
        coefficients = np.array(self.coefficients_eV[pair])
        return values @ coefficients, slopes @ coefficients


def n_functions(cutoff_A: float, spacing_A: float) -> int:
    """Count the functions: those whose centres are at positive distances.

    Parameters
    ----------
    cutoff_A : float
        Where they end (Å).
    spacing_A : float
        Between centres (Å).

    Returns
    -------
    int
        The first centre is two spacings below the cutoff.
    """
    return int(np.ceil(cutoff_A / spacing_A - 2 - 1e-9))


def radial_functions(
    distances_A: FloatArray, cutoff_A: float, spacing_A: float
) -> tuple[FloatArray, FloatArray]:
    """Evaluate cubic B-splines on equidistant knots (de Boor 1978, ch. IX), and their slopes.

    Parameters
    ----------
    distances_A : NDArray
        (n,), Å.
    cutoff_A : float
        Where all are zero with slope and curvature (Å).
    spacing_A : float
        Between knots, and between centres (Å).

    Returns
    -------
    values : NDArray
        (n, n_functions), without unit; at every distance between the outermost centres they add up to 1.
    slopes : NDArray
        (n, n_functions), 1/Å.
    """
    centres = cutoff_A - spacing_A * (2 + np.arange(n_functions(cutoff_A, spacing_A)))
    x = (np.asarray(distances_A)[:, None] - centres) / spacing_A
    far = np.clip(2 - np.abs(x), 0, None)
    near = np.clip(1 - np.abs(x), 0, None)
    values = (far**3 - 4 * near**3) / 6
    slopes = -np.sign(x) * (far**2 - 4 * near**2) / (2 * spacing_A)
    return values, slopes
