"""Harmonic free energies from finite displacements: atomate2's phonon flow with a potential of ours.

The second route to vibrations: no hopping, no anharmonicity. It needs phonopy and seekpath (the extra
``phonons``), which are imported only when a flow is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Maker, job
from pymatgen.core import Structure

from sse_screen.documents.base import Document, PotentialIdentity
from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.vibrations import DensityOfStates, from_density, harmonic_thermodynamics
from sse_screen.workflows.runtime import calculator_of, versions

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

_GRID_SPACING_THz = 0.01
LARGEST_IMAGINARY_SHARE = 0.005


class PhononFreeEnergyOutput(Document):
    """Harmonic thermal functions of a relaxed crystal, per atom, at several temperatures."""

    formula: str
    n_atoms: int
    potential: PotentialIdentity
    relaxed_energy_eV_per_atom: float
    imaginary_share: float
    temperatures_K: list[float]
    free_energies_eV_per_atom: list[float]
    internal_energies_eV_per_atom: list[float]
    entropies_meV_per_K_per_atom: list[float]
    heat_capacities_meV_per_K_per_atom: list[float]
    versions: dict[str, str]


@dataclass
class PhononFreeEnergyMaker(Maker):
    """Relax a crystal tightly, displace its atoms, and sum its harmonic modes.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    temperatures_K : tuple of float
        Temperatures of the thermal functions.
    displacement_A : float
        Finite displacement in ångström.
    minimum_length_A : float
        Shortest vector of the supercell in ångström.
    maximum_force_eV_per_A : float
        Of the relaxation before, which imaginary modes depend on.
    relax_cell : bool
        Relax the cell too.
    """

    potential: PotentialIdentity
    temperatures_K: tuple[float, ...]
    displacement_A: float = 0.01
    minimum_length_A: float = 12.0
    maximum_force_eV_per_A: float = 1e-4
    relax_cell: bool = True
    name: str = "phonons"

    def make(self, structure: Structure) -> Flow:
        """Compose the flow with the sums.

        Parameters
        ----------
        structure : Structure
            Ordered crystal.

        Returns
        -------
        Flow
            Its output is a :class:`PhononFreeEnergyOutput`.

        Raises
        ------
        InputError
            As :meth:`phonon_flow`.
        """
        phonons = self.phonon_flow(structure)
        summed = harmonic_sums(phonons.output, self.potential, self.temperatures_K)
        return Flow([phonons, summed], summed.output, name=self.name)

    def phonon_flow(self, structure: Structure) -> Flow:
        """Compose atomate2's flow alone.

        Parameters
        ----------
        structure : Structure
            Ordered crystal.

        Returns
        -------
        Flow
            Its output is atomate2's PhononBSDOSDoc.

        Raises
        ------
        InputError
            If phonopy is not installed, or the crystal has partial occupancies.
        """
        if not structure.is_ordered:
            raise InputError(f"{structure.composition.reduced_formula}: phonons need an ordered crystal")
        try:
            from atomate2.forcefields.flows.phonons import PhononMaker
            from atomate2.forcefields.jobs import ForceFieldRelaxMaker, ForceFieldStaticMaker
        except ImportError as error:
            raise InputError(
                "phonons need phonopy and seekpath: pip install 'sse-screen[phonons]'"
            ) from error
        ours: dict[str, Any] = {
            "force_field_name": {"@module": __name__, "@callable": "phonon_calculator"},
            "calculator_kwargs": {
                "name": self.potential.name,
                "weights_sha256": self.potential.weights_sha256,
                "code": self.potential.code,
            },
        }
        return PhononMaker(
            displacement=self.displacement_A,
            min_length=self.minimum_length_A,
            bulk_relax_maker=ForceFieldRelaxMaker(
                **ours, relax_cell=self.relax_cell, relax_kwargs={"fmax": self.maximum_force_eV_per_A}
            ),
            static_energy_maker=ForceFieldStaticMaker(**ours),
            phonon_displacement_maker=ForceFieldStaticMaker(**ours),
            store_force_constants=False,
        ).make(structure)


def phonon_calculator(name: str, weights_sha256: str, code: str) -> Calculator:
    """Give atomate2's jobs the potential by name and hash.

    Parameters
    ----------
    name : str
        Name or path of the potential.
    weights_sha256 : str
        Hash recorded at submission.
    code : str
        Code that evaluates it.

    Returns
    -------
    ase calculator
        Loaded once a process.
    """
    return calculator_of(name, weights_sha256, code)


@job
def harmonic_sums(
    phonons: Any, potential: PotentialIdentity | dict[str, Any], temperatures_K: tuple[float, ...]
) -> PhononFreeEnergyOutput:
    """Sum the modes of atomate2's phonon document by our own code.

    Parameters
    ----------
    phonons : PhononBSDOSDoc
        With its density of states and the energy of the relaxed crystal.
    potential : PotentialIdentity
        What made it.
    temperatures_K : tuple of float
        Temperatures.

    Returns
    -------
    PhononFreeEnergyOutput
        Per atom, with the relaxed energy in F and U.

    Raises
    ------
    InputError
        If the crystal has imaginary modes: it is no minimum, and its harmonic free energy has no meaning.
    """
    identity = PotentialIdentity.model_validate(potential)
    density, share = density_per_atom(phonons)
    if share > LARGEST_IMAGINARY_SHARE:
        raise InputError(imaginary_modes(phonons.structure.composition.reduced_formula, share, identity))
    relaxed = relaxed_energy_eV_per_atom(phonons)
    sums = [harmonic_thermodynamics(density, t, relaxed_energy_eV=relaxed) for t in temperatures_K]
    return PhononFreeEnergyOutput(
        formula=phonons.structure.composition.reduced_formula,
        n_atoms=len(phonons.structure),
        potential=identity,
        relaxed_energy_eV_per_atom=relaxed,
        imaginary_share=share,
        temperatures_K=[float(t) for t in temperatures_K],
        free_energies_eV_per_atom=[s.free_energy_eV for s in sums],
        internal_energies_eV_per_atom=[s.internal_energy_eV for s in sums],
        entropies_meV_per_K_per_atom=[1e3 * s.entropy_eV_per_K for s in sums],
        heat_capacities_meV_per_K_per_atom=[1e3 * s.heat_capacity_eV_per_K for s in sums],
        versions=versions(),
    )


def density_per_atom(phonons: Any) -> tuple[DensityOfStates, float]:
    """Give the real modes of atomate2's phonon document, three an atom, and the share of imaginary ones.

    Parameters
    ----------
    phonons : PhononBSDOSDoc
        With its density of states.

    Returns
    -------
    tuple
        The density of states, normalised to three modes, and the share that was left out.
    """
    frequencies = np.asarray(phonons.phonon_dos.frequencies)
    densities = np.asarray(phonons.phonon_dos.densities)
    share = float(densities[frequencies < 0].sum() / densities.sum())
    grid = np.arange(0.0, frequencies[-1] + _GRID_SPACING_THz, _GRID_SPACING_THz)
    real = frequencies >= 0
    values = np.interp(grid, frequencies[real], densities[real], right=0.0)
    values[0] = 0.0
    return from_density(grid, values * (3.0 / (values.sum() * _GRID_SPACING_THz))), share


def relaxed_energy_eV_per_atom(phonons: Any) -> float:
    """Give the energy of the crystal whose atoms were displaced.

    Parameters
    ----------
    phonons : PhononBSDOSDoc
        Its energy is that of a reduced formula.

    Returns
    -------
    float
        eV an atom.
    """
    per_unit = phonons.structure.composition.reduced_composition.num_atoms
    return float(phonons.total_dft_energy / per_unit)


def imaginary_modes(name: str, share: float, potential: PotentialIdentity) -> str:
    """Say why a crystal with imaginary modes is refused.

    Parameters
    ----------
    name : str
        Of the crystal.
    share : float
        Of the imaginary modes.
    potential : PotentialIdentity
        Whose minimum it is not.

    Returns
    -------
    str
        With the way out.
    """
    return (
        f"{name}: {100 * share:.1f} % of the modes are imaginary; the crystal is no minimum of "
        f"{potential.name}, take the route of constant-energy dynamics"
    )
