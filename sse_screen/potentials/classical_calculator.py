"""A classical potential as an ASE calculator, for single points and relaxations.

Molecular dynamics does not go through it: LAMMPS makes its own steps there, several times faster.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sse_screen.exceptions import InputError
from sse_screen.potentials.classical import ClassicalPotential
from sse_screen.potentials.lammps_library import LammpsSystem

_LONG_RANGE = "ewald 1e-7"
_PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")


class ClassicalCalculator(Calculator):
    """Energy, forces and stress of a classical potential from LAMMPS.

    Parameters
    ----------
    potential : ClassicalPotential
        Charges and pairs.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, potential: ClassicalPotential) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.potential = potential
        self._system: LammpsSystem | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate the crystal.

        Parameters
        ----------
        atoms : ase.Atoms
            Periodic, neutral, of elements that the potential covers.
        properties : list of str, optional
            Everything is computed whatever is asked for.
        system_changes : list of str
            What changed since the last call.

        Raises
        ------
        InputError
            A crystal that the potential cannot describe, ions on one another; LAMMPS not installed.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        atoms = self.atoms
        assert atoms is not None  # set above
        symbols = atoms.get_chemical_symbols()
        system = self._system
        if system is None or system.symbols != symbols:
            if system is not None:
                system.close()
            system = self._system = LammpsSystem(self.potential, symbols, _LONG_RANGE)
            system_changes = all_changes
        if set(system_changes) <= {"positions"}:
            system.set_positions(atoms.get_positions())
        else:
            system.create(atoms)
            system.command("thermo_style custom step pe " + " ".join(_PRESSURES))
        system.command("run 0 post no")
        energy = system.potential_energy()
        forces = system.gathered("f")
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise InputError(
                f"potential {self.potential.name!r}: no finite energy or forces ({energy:g} eV): ions lie on "
                f"one another (the nearest two are {_nearest_A(atoms):.3g} Å apart); check the crystal"
            )
        xx, yy, zz, yz, xz, xy = (system.thermo(name) for name in _PRESSURES)
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * 1e5 * units.Pascal
        turned = system.turned_back(system.turned_back(pressure).T)  # both indices
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(-turned),
        }


def _nearest_A(atoms: Atoms) -> float:
    distances = atoms.get_all_distances(mic=True)
    return float(distances[~np.eye(len(atoms), dtype=bool)].min())
