"""Label structures with any ASE calculator: the common part of all codes, and potentials as teachers."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sse_screen.documents.base import Document, PotentialIdentity
from sse_screen.documents.label import Label
from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


class LabellingError(SseScreenError):
    """The calculation of a label failed; other structures may still have one."""


class UnconvergedError(LabellingError):
    """The calculation did not converge, so that there is no label."""


class CalculatorSpec(Document):
    """An ASE calculator by name, so that jobs can carry it."""

    target: str = Field(
        description="module:callable that makes it, such as ase.calculators.lj:LennardJones",
        pattern=r"^[\w.]+:\w+$",
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its keyword arguments")

    def load(self) -> Calculator:
        """Make the calculator.

        Returns
        -------
        ase calculator
            A new one.

        Raises
        ------
        InputError
            If the module or the callable does not exist, or refuses the arguments.
        """
        module, name = self.target.split(":")
        try:
            return getattr(importlib.import_module(module), name)(**self.arguments)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"calculator {self.target}: {error}") from error

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Level of theory: the callable and all its arguments."""
        settings = {name: _setting(value) for name, value in self.arguments.items()}
        return LevelOfTheory(code="ase", functional=self.target.split(":")[1], settings=settings)

    @property
    def code_version(self) -> str:
        """Version of the package that the calculator is in."""
        package = self.target.split(".")[0].split(":")[0]
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"


def potential_level(potential: PotentialIdentity) -> LevelOfTheory:
    """Give the level of theory of labels made by a potential.

    Parameters
    ----------
    potential : PotentialIdentity
        The teacher.

    Returns
    -------
    LevelOfTheory
        Told by the code and the hash of the weights, whatever it is called.
    """
    return LevelOfTheory(
        code=potential.code,
        functional=potential.level_of_theory or "potential",
        settings={"weights_sha256": potential.weights_sha256},
    )


def geometry_hash(atoms: Atoms) -> str:
    """Hash a structure as :attr:`~sse_screen.training.labelled.LabelledStructure.geometry_hash` does.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.

    Returns
    -------
    str
        Hexadecimal sha256, known before there is a label.
    """
    nothing = LevelOfTheory(code="none", functional="none")
    no_forces = np.zeros((len(atoms), 3))
    return LabelledStructure(
        tuple(atoms.symbols), atoms.positions, atoms.cell.array, 0.0, no_forces, None, nothing, "", ""
    ).geometry_hash


def k_point_mesh(cell: ArrayLike, spacing_per_A: float | None) -> tuple[int, int, int]:
    """Give the mesh whose points are nowhere farther apart than a spacing, as VASP counts ``KSPACING``.

    Parameters
    ----------
    cell : array_like of shape (3, 3)
        Lattice vectors in ångström as rows.
    spacing_per_A : float or None
        Largest distance of neighbouring points in 1/Å, 2π included; None for Γ only.

    Returns
    -------
    tuple of int
        max(1, ceil(2π |b_i| / spacing)) along each reciprocal vector b_i.
    """
    if spacing_per_A is None:
        return (1, 1, 1)
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(np.asarray(cell, dtype=float)), axis=0)
    # a cell that is a whole number of spacings must not get one more by the last float digit
    first, second, third = (max(1, int(np.ceil(n - 1e-9))) for n in lengths / spacing_per_A)
    return first, second, third


def label_with_calculator(
    atoms: Atoms,
    calculator: Calculator,
    level: LevelOfTheory | Callable[[], LevelOfTheory],
    *,
    parent_configuration: str,
    source: str,
    code_version: str,
    k_points: tuple[int, int, int] | None = None,
) -> Label:
    """Evaluate a structure and make the document of its label.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure, periodic in three directions; it is not changed.
    calculator : ase calculator
        Energies in eV, forces in eV/Å, stress in eV/Å^3.
    level : LevelOfTheory or callable
        What the label is comparable with; a callable is asked after the calculation.
    parent_configuration, source : str
        As in :class:`~sse_screen.training.labelled.LabelledStructure`.
    code_version : str
        Version of the code.
    k_points : tuple of int, optional
        Mesh used.

    Returns
    -------
    Label
        The force-consistent energy where the calculator has one; no stress where it has none.

    Raises
    ------
    LabellingError
        If the result is not finite or the calculator gives no forces.
    """
    started = time.process_time()
    energy, at_zero, forces, stress = _evaluate(atoms, calculator)
    cost = time.process_time() - started
    labelled = LabelledStructure(
        species=tuple(atoms.symbols),
        positions=atoms.positions,
        cell=atoms.cell.array,
        energy_eV=energy,
        forces_eV_per_A=forces,
        stress_eV_per_A3=stress,
        level_of_theory=level() if callable(level) else level,
        parent_configuration=parent_configuration,
        source=source,
    )
    return Label.of(
        labelled,
        energy_at_zero_smearing_eV=at_zero,
        code_version=code_version,
        k_points=k_points,
        cpu_time_s=cost,
    )


def _evaluate(
    atoms: Atoms, calculator: Calculator
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64] | None]:
    """Give free energy, energy at no smearing, forces, and the stress where there is one."""
    from ase.calculators.calculator import PropertyNotImplementedError

    crystal = atoms.copy()
    crystal.calc = calculator
    at_zero = float(crystal.get_potential_energy())
    try:
        energy = float(crystal.get_potential_energy(force_consistent=True))
    except PropertyNotImplementedError:
        energy = at_zero
    try:
        forces = crystal.get_forces()
    except PropertyNotImplementedError as error:
        name = type(calculator).__name__
        raise LabellingError(f"calculator {name}: gives no forces, so no label") from error
    try:
        stress = crystal.get_stress(voigt=False)
    except PropertyNotImplementedError:
        return energy, at_zero, forces, None
    return energy, at_zero, forces, (stress + stress.T) / 2


def _setting(value: Any) -> str | float | bool:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, sort_keys=True)
