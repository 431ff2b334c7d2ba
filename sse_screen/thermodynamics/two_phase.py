"""Two-phase treatment (2PT) of a mobile species: diffusing atoms as a hard-sphere gas, the rest as a solid.

S.-T. Lin, M. Blanco, W. A. Goddard III, J. Chem. Phys. 119, 11792 (2003). The article itself was not at hand;
the formulas here were derived again and agree with two independent programs that follow it (GROMACS' ``gmx
dos`` and a published Python code): a share f of the N atoms is a gas of hard spheres such that

* all diffusion is the gas': N D = f N D_HS(T, f rho), with Enskog's D_HS = D_0(T, f rho) 4 eta / (z(eta) -
  1), Carnahan and Starling's z and the Chapman-Enskog D_0;
* f = D / D_0(T, rho), so that f goes to 1 in a dilute gas and to 0 in a solid;
* D = kT s(0) / (12 m N) from the density of states at zero frequency.

With y = (f / Delta)^(3/2) these give f (2 - f y) = 2 (1 - f y)^3, whose terms are those of Lin's polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy.constants import hbar
from scipy.constants import physical_constants as codata
from scipy.optimize import brentq

from sse_screen.thermodynamics.partition_function import BOLTZMANN_eV_per_K
from sse_screen.thermodynamics.vibrations import (
    DensityOfStates,
    VibrationalThermodynamics,
    VibrationError,
    harmonic_thermodynamics,
)

FloatArray = NDArray[np.float64]
ExcessEntropy = Literal["lin_2003", "constant_volume"]

_ATOMIC_MASS_kg: float = codata["atomic mass constant"][0]
_BOLTZMANN_J_per_K: float = codata["Boltzmann constant"][0]


@dataclass(frozen=True)
class TwoPhaseResult:
    """Thermal functions of a mobile species by the two-phase model, for all its atoms together.

    Attributes
    ----------
    thermodynamics : VibrationalThermodynamics
        Gas and solid part together, measured from the reference of :attr:`reference_shift_eV`.
    fluidicity : float
        Share f of the atoms that is gas.
    packing_fraction : float
        Packing fraction f y of the hard-sphere gas.
    gas_entropy_eV_per_K : float
        Entropy of the gas part.
    gas_density_per_THz, solid_density_per_THz : numpy.ndarray
        The two parts of the density of states (n_nodes,).
    reference_shift_eV : float
        3 N kT (1 - f/2): E_0 of the species' free energy is the mean energy of the dynamics less this (Lin's
        E_0 = E_MD - 3 N kT (1 - f/2)), not the relaxed energy.
    warnings : tuple of str
        Reasons for doubt.
    """

    thermodynamics: VibrationalThermodynamics
    fluidicity: float
    packing_fraction: float
    gas_entropy_eV_per_K: float
    gas_density_per_THz: FloatArray
    solid_density_per_THz: FloatArray
    reference_shift_eV: float
    warnings: tuple[str, ...]


def zero_frequency_density_per_THz(
    diffusivity_cm2_per_s: float, temperature_K: float, n_atoms: int, mass_amu: float
) -> float:
    """Give s(0) = 12 m N D / kT from a diffusivity, better known than a spectrum's lowest point.

    Parameters
    ----------
    diffusivity_cm2_per_s : float
        Tracer diffusivity.
    temperature_K : float
        Temperature.
    n_atoms : int
        Atoms of the species.
    mass_amu : float
        Mass of one.

    Returns
    -------
    float
        Modes per THz.
    """
    per_second = diffusivity_cm2_per_s * 1e-4 * 12.0 * mass_amu * _ATOMIC_MASS_kg * n_atoms
    return per_second / (_BOLTZMANN_J_per_K * temperature_K) * 1e12


def diffusivity_parameter(
    zero_frequency_density: float, temperature_K: float, volume_A3: float, n_atoms: int, mass_amu: float
) -> float:
    """Give the dimensionless Delta = (2 s_0 / 9 N) (pi kT/m)^(1/2) (N/V)^(1/3) (6/pi)^(2/3).

    Parameters
    ----------
    zero_frequency_density : float
        s(0), modes per THz.
    temperature_K : float
        Temperature.
    volume_A3 : float
        Volume that the species moves in.
    n_atoms : int
        Atoms of the species.
    mass_amu : float
        Mass of one.

    Returns
    -------
    float
        Delta.
    """
    speed_A_per_ps = np.sqrt(np.pi * units.kB * temperature_K / mass_amu) / (1.0 / (1e3 * units.fs))
    dense = (n_atoms / volume_A3) ** (1.0 / 3.0) * (6.0 / np.pi) ** (2.0 / 3.0)
    return float(2.0 * zero_frequency_density / (9.0 * n_atoms) * speed_A_per_ps * dense)


def fluidicity(delta: float) -> float:
    """Solve f (2 - f y) = 2 (1 - f y)^3 with y = (f/Delta)^(3/2) for the share of gas.

    Parameters
    ----------
    delta : float
        The dimensionless Delta, not negative.

    Returns
    -------
    float
        f between 0 and 1; 0 for Delta = 0.

    Raises
    ------
    VibrationError
        If Delta is negative or not finite.
    """
    if not (np.isfinite(delta) and delta >= 0.0):
        raise VibrationError(f"the diffusivity parameter must not be negative, it is {delta}")
    if delta == 0.0:
        return 0.0

    def balance(f: float) -> float:
        """Difference of both sides: negative below the root."""
        packing = f**2.5 / delta**1.5
        return float(f * (2.0 - packing) - 2.0 * (1.0 - packing) ** 3)

    # Packing cannot exceed one, which bounds f from above where Delta is small.
    return float(brentq(balance, 0.0, min(1.0, delta**0.6), xtol=1e-15, rtol=1e-14))


def hard_sphere_entropy_per_k(
    fluidicity_: float,
    packing: float,
    temperature_K: float,
    volume_A3: float,
    n_atoms: int,
    mass_amu: float,
    excess: ExcessEntropy = "lin_2003",
) -> float:
    """Give the entropy of one gas atom in units of k.

    S/k = 5/2 + ln[(2 pi m kT / h^2)^(3/2) V / (f N)] + eta (3 eta - 4) / (1 - eta)^2 (+ ln z(eta)).

    Parameters
    ----------
    fluidicity_ : float
        f, above zero.
    packing : float
        eta = f y of the gas.
    temperature_K : float
        Temperature.
    volume_A3 : float
        Volume.
    n_atoms : int
        Atoms of the species.
    mass_amu : float
        Mass of one.
    excess : {"lin_2003", "constant_volume"}
        ``lin_2003`` adds ln z(eta), as in the article; the excess entropy against the ideal gas of the same
        volume has no such term (Sun et al., arXiv:1711.02041, discuss it).

    Returns
    -------
    float
        Entropy in k.
    """
    mass = mass_amu * _ATOMIC_MASS_kg
    per_volume = (mass * _BOLTZMANN_J_per_K * temperature_K / (2.0 * np.pi * hbar**2)) ** 1.5 * 1e-30
    ideal = 2.5 + np.log(per_volume * volume_A3 / (fluidicity_ * n_atoms))
    entropy = ideal + packing * (3.0 * packing - 4.0) / (1.0 - packing) ** 2
    if excess == "lin_2003":
        entropy += np.log((1.0 + packing + packing**2 - packing**3) / (1.0 - packing) ** 3)
    return float(entropy)


def two_phase_thermodynamics(
    density: DensityOfStates,
    temperature_K: float,
    *,
    volume_A3: float,
    n_atoms: int,
    mass_amu: float,
    zero_frequency_density: float | None = None,
    excess: ExcessEntropy = "lin_2003",
) -> TwoPhaseResult:
    """Split a mobile species' density of states into gas and solid and add their thermal functions.

    Parameters
    ----------
    density : DensityOfStates
        Modes of this species only, on a grid.
    temperature_K : float
        Temperature.
    volume_A3 : float
        Volume that the species moves in (the cell's, unless a better one is known).
    n_atoms : int
        Its atoms.
    mass_amu : float
        Mass of one.
    zero_frequency_density : float, optional
        s(0), modes per THz; the spectrum's first value if left out.
    excess : {"lin_2003", "constant_volume"}
        Excess entropy of the gas.

    Returns
    -------
    TwoPhaseResult
        Thermal functions, fluidicity, the two parts.

    Raises
    ------
    VibrationError
        If the density of states is not on a grid.
    """
    total, widths, nodes = density.density_per_THz(), density.cell_widths_THz, density.frequencies_THz
    s0 = float(total[0]) if zero_frequency_density is None else zero_frequency_density
    delta = diffusivity_parameter(s0, temperature_K, volume_A3, n_atoms, mass_amu)
    share = fluidicity(delta)
    gas = np.zeros_like(total)
    gas_entropy = packing = 0.0
    if share > 0.0:
        packing = share**2.5 / delta**1.5
        gas = s0 / (1.0 + (np.pi * s0 * nodes / (6.0 * share * n_atoms)) ** 2)
        per_atom = hard_sphere_entropy_per_k(
            share, packing, temperature_K, volume_A3, n_atoms, mass_amu, excess
        )
        gas_entropy = share * n_atoms * BOLTZMANN_eV_per_K * per_atom
    solid = np.clip(total - gas, 0.0, None)
    wanted = density.n_modes - 3.0 * share * n_atoms
    lost = float(np.clip(gas - total, 0.0, None) @ widths)
    bound_modes = DensityOfStates(nodes, {"solid": solid * widths}, density.spacing_THz)
    if bound_modes.n_modes > 0.0:
        bound_modes = bound_modes.normalised(max(wanted, 0.0))
    bound = harmonic_thermodynamics(bound_modes, temperature_K)
    thermal = BOLTZMANN_eV_per_K * temperature_K
    gas_energy = 1.5 * share * n_atoms * thermal
    return TwoPhaseResult(
        thermodynamics=VibrationalThermodynamics(
            temperature_K=temperature_K,
            free_energy_eV=bound.free_energy_eV + gas_energy - temperature_K * gas_entropy,
            internal_energy_eV=bound.internal_energy_eV + gas_energy,
            entropy_eV_per_K=bound.entropy_eV_per_K + gas_entropy,
            heat_capacity_eV_per_K=bound.heat_capacity_eV_per_K + 1.5 * share * n_atoms * BOLTZMANN_eV_per_K,
        ),
        fluidicity=share,
        packing_fraction=packing,
        gas_entropy_eV_per_K=gas_entropy,
        gas_density_per_THz=gas,
        solid_density_per_THz=solid,
        reference_shift_eV=3.0 * n_atoms * thermal * (1.0 - 0.5 * share),
        warnings=_warnings(share, wanted, density.n_modes, lost),
    )


def _warnings(share: float, solid_modes: float, n_modes: float, lost: float) -> tuple[str, ...]:
    """Say where the model strains."""
    found = []
    if solid_modes < 0.0:
        found.append(
            "the gas alone would have more modes than the species: s(0) is too large for this spectrum"
        )
    if lost > 0.02 * n_modes:
        found.append(
            f"the gas exceeds the spectrum by {100 * lost / n_modes:.0f} % of the modes: the spectrum "
            "falls off faster "
            "than a hard-sphere gas', as of ions that hop between sites"
        )
    if 0.0 < share < 0.02:
        found.append("less than 2 % is gas: the harmonic treatment serves as well")
    return tuple(found)
