"""Free energy and entropy of a finite set of configurations from their mean energies.

At infinite temperature all W configurations are equally probable and ln Z = ln W is known exactly. Going down
in temperature, d ln Z / d beta = -<E>, so that ln Z(beta) = ln W - ∫ <E> d beta and S/k = ln Z + beta <E>
(Frenkel and Smit, Understanding Molecular Simulation, 2nd ed., section 7.1). No energy of an ideal state and
no histogram is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.monte_carlo import BOLTZMANN_eV_PER_K, MonteCarloRun

_LEAST_BLOCKS = 16


@dataclass(frozen=True)
class ThermodynamicIntegral:
    """Thermodynamics along a scan of temperatures, per cell.

    Attributes
    ----------
    temperatures_K : ndarray of float, shape (n,)
        From infinity down.
    energies_eV : ndarray of float, shape (n,)
        Mean energies of the cell.
    ln_z : ndarray of float, shape (n,)
        Logarithms of the partition function, energies absolute.
    entropies_k : ndarray of float, shape (n,)
        Configurational entropies of the cell in units of Boltzmann's constant.
    entropy_errors_k : ndarray of float, shape (n,)
        Their standard errors, from the scatter of the energies; errors of the quadrature are not in it.
    free_energies_eV : ndarray of float, shape (n,)
        -kT ln Z of the cell; minus infinity at infinite temperature.
    """

    temperatures_K: NDArray[np.float64]
    energies_eV: NDArray[np.float64]
    ln_z: NDArray[np.float64]
    entropies_k: NDArray[np.float64]
    entropy_errors_k: NDArray[np.float64]
    free_energies_eV: NDArray[np.float64]


def standard_error_of_mean(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of correlated values, by blocking.

    Neighbours are averaged in pairs again and again (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989),
    eq. 20 and 21) while at least 16 blocks are left; the largest of the estimates is returned.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        A time series in equilibrium.

    Returns
    -------
    float
        The error; infinity for fewer than two values.
    """
    blocks = np.asarray(values, dtype=float)
    if len(blocks) < 2:
        return float("inf")
    errors = [float(np.std(blocks, ddof=1) / np.sqrt(len(blocks)))]
    while len(blocks) >= 2 * _LEAST_BLOCKS:
        even = blocks[: len(blocks) // 2 * 2]
        blocks = 0.5 * (even[::2] + even[1::2])
        errors.append(float(np.std(blocks, ddof=1) / np.sqrt(len(blocks))))
    return max(errors)


def integrate_scan(runs: Sequence[MonteCarloRun], n_configurations: int) -> ThermodynamicIntegral:
    """Integrate a scan of temperatures that begins at infinity.

    The quadrature is the trapezium rule with its end correction, h/2 (E_a + E_b) + h²/12 (E'_a - E'_b), whose
    slopes E' = dE/d beta = -Var(E) the runs give too; its error is of fourth order in the steps.

    Parameters
    ----------
    runs : sequence of MonteCarloRun
        At falling temperatures; the first at infinity.
    n_configurations : int
        Number W of labelled configurations, such as ``OrderingCount.labelled``.

    Returns
    -------
    ThermodynamicIntegral
        Per cell.

    Raises
    ------
    InputError
        If the scan does not begin at infinity or does not fall.
    """
    temperatures = np.array([run.temperature_K for run in runs], dtype=float)
    if (
        len(temperatures) < 2
        or not np.isinf(temperatures[0])
        or not (temperatures[1:] < temperatures[:-1]).all()
    ):
        raise InputError("thermodynamic integration needs falling temperatures, the first infinite")
    betas = 1.0 / (BOLTZMANN_eV_PER_K * temperatures)
    energies = np.array([run.energies_eV.mean() for run in runs])
    variances = np.array([run.energies_eV.var() for run in runs])
    errors = np.array([standard_error_of_mean(run.energies_eV) for run in runs])
    steps = np.diff(betas)
    pieces = 0.5 * steps * (energies[1:] + energies[:-1]) + steps**2 / 12 * (variances[1:] - variances[:-1])
    ln_w = _log_of_integer(n_configurations)
    ln_z = ln_w - np.concatenate([[0.0], np.cumsum(pieces)])
    # weights of every mean energy in the entropy at every temperature
    weights = np.zeros((len(runs), len(runs)))
    for end in range(1, len(runs)):
        weights[end, :end] -= 0.5 * steps[:end]
        weights[end, 1 : end + 1] -= 0.5 * steps[:end]
        weights[end, end] += betas[end]
    with np.errstate(invalid="ignore"):
        free_energies = np.where(betas > 0, -ln_z / np.where(betas > 0, betas, 1.0), -np.inf)
    return ThermodynamicIntegral(
        temperatures_K=temperatures,
        energies_eV=energies,
        ln_z=ln_z,
        entropies_k=ln_z + betas * energies,
        entropy_errors_k=np.sqrt((weights**2) @ errors**2),
        free_energies_eV=free_energies,
    )


def _log_of_integer(number: int) -> float:
    """Natural logarithm, also of integers beyond the range of floats."""
    from math import log

    if number < 1:
        raise InputError(f"{number} configurations: there must be at least one")
    return log(number)
