"""Label structures with density-functional theory in GPAW: plane waves, PAW, no spin polarisation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sse_screen.documents.base import Specification
from sse_screen.documents.label import Label
from sse_screen.exceptions import InputError
from sse_screen.training.labelled import LevelOfTheory
from sse_screen.training.labelling import (
    LabellingError,
    UnconvergedError,
    k_point_mesh,
    label_with_calculator,
)

if TYPE_CHECKING:
    from ase import Atoms

_FUNCTIONALS = {"PBE": "PBE", "SCAN": "SCAN", "r2SCAN": "MGGA_X_R2SCAN+MGGA_C_R2SCAN"}


class GpawSettings(Specification):
    """How GPAW labels; all but the last field are the level of theory."""

    functional: Literal["PBE", "SCAN", "r2SCAN"] = Field("PBE", description="Exchange and correlation")
    cutoff_eV: float = Field(400.0, gt=50, description="Plane-wave cutoff", json_schema_extra={"unit": "eV"})
    k_point_spacing_per_A: float | None = Field(
        0.3,
        gt=0,
        description="Largest distance of k-points, 2π included; null for Γ only",
        json_schema_extra={"unit": "1/angstrom"},
    )
    smearing_eV: float = Field(
        0.05, gt=0, description="Width of the Fermi-Dirac occupations", json_schema_extra={"unit": "eV"}
    )
    energy_tolerance_eV_per_electron: float = Field(
        1e-6,
        gt=0,
        description="Largest change of the energy in the last three steps, per valence electron",
        json_schema_extra={"unit": "eV/electron"},
    )
    force_tolerance_eV_per_A: float = Field(
        0.005,
        gt=0,
        description="Largest change of a force in the last two steps",
        json_schema_extra={"unit": "eV/angstrom"},
    )
    maximum_steps: int = Field(120, gt=0, description="Give up after so many electronic steps")

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Level of theory, without the PAW data sets that a structure's elements add."""
        return LevelOfTheory(
            code="gpaw",
            functional=self.functional,
            cutoff_eV=self.cutoff_eV,
            k_point_spacing_per_A=self.k_point_spacing_per_A,
            settings={
                "energy_tolerance_eV_per_electron": self.energy_tolerance_eV_per_electron,
                "force_tolerance_eV_per_A": self.force_tolerance_eV_per_A,
                "mode": "plane waves",
                "paw": "PBE data sets",
                "smearing": "Fermi-Dirac",
                "smearing_eV": self.smearing_eV,
                "spin": "none",
            },
        )


def label_with_gpaw(
    atoms: Atoms,
    settings: GpawSettings,
    *,
    parent_configuration: str,
    source: str,
    log_file: Path | None = None,
) -> Label:
    """Calculate energy, forces and stress of a structure by GPAW.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure, periodic in three directions; it is not changed.
    settings : GpawSettings
        Functional, cutoff, k-points, convergence.
    parent_configuration, source : str
        As in :class:`~sse_screen.training.labelled.LabelledStructure`.
    log_file : Path, optional
        Where GPAW writes what it does.

    Returns
    -------
    Label
        With the k-points, the PAW data sets by hash, the electronic steps and the CPU time.

    Raises
    ------
    InputError
        If GPAW is not installed.
    UnconvergedError
        If the electronic steps did not converge: there is no label then.
    LabellingError
        If GPAW fails otherwise, such as for an element without PAW data.
    """
    gpaw = _gpaw()
    mesh = k_point_mesh(atoms.cell.array, settings.k_point_spacing_per_A)
    calculator = _calculator(gpaw, settings, mesh, log_file)
    with _clear_errors(gpaw, f"{atoms.get_chemical_formula()} ({source})", settings.maximum_steps):
        label = label_with_calculator(
            atoms,
            calculator,
            lambda: _level(settings, calculator),
            parent_configuration=parent_configuration,
            source=source,
            code_version=gpaw.__version__,
            k_points=mesh,
        )
    return label.model_copy(update={"n_electronic_steps": int(calculator.get_number_of_iterations())})


@contextmanager
def _clear_errors(gpaw: Any, name: str, maximum_steps: int) -> Iterator[None]:
    """Turn GPAW's errors into ours."""
    try:
        with warnings.catch_warnings():
            # what matters is whether it converges, and that is checked
            warnings.filterwarnings("ignore", message="libxc should be compiled with --disable-fhc")
            yield
    except gpaw.ConvergenceError as error:
        raise UnconvergedError(
            f"{name}: GPAW did not converge in {maximum_steps} electronic steps, so there is no label; look "
            "for atoms too near to one another, or raise maximum_steps"
        ) from error
    except FileNotFoundError as error:
        raise LabellingError(f"{name}: {str(error).splitlines()[0]}") from error
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        raise LabellingError(f"{name}: GPAW failed ({type(error).__name__}: {error})") from error


def _calculator(gpaw: Any, settings: GpawSettings, mesh: tuple[int, int, int], log_file: Path | None) -> Any:
    return gpaw.GPAW(
        mode=gpaw.PW(settings.cutoff_eV),
        xc=_FUNCTIONALS[settings.functional],
        kpts={"size": mesh, "gamma": True},
        occupations={"name": "fermi-dirac", "width": settings.smearing_eV},
        convergence={
            "energy": settings.energy_tolerance_eV_per_electron,
            "forces": settings.force_tolerance_eV_per_A,
        },
        spinpol=False,
        # GPAW's default for crystals lets SCAN of rock salt run away in some cells; this one takes no longer
        mixer={"beta": 0.1, "nmaxold": 5, "weight": 50.0},
        maxiter=settings.maximum_steps,
        txt=None if log_file is None else str(log_file),
    )


def _level(settings: GpawSettings, calculator: Any) -> LevelOfTheory:
    """Add the PAW data sets that a calculation used, by file name and hash."""
    used = {(s.symbol, Path(s.filename).name.split(".gz")[0], s.fingerprint) for s in calculator.setups}
    names = tuple(sorted(" ".join(setup) for setup in used))
    return settings.level_of_theory.model_copy(update={"pseudopotentials": names})


def _gpaw() -> Any:
    """Import GPAW, which is compiled and no dependency of this package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on how to compile libxc
            import gpaw
    except ImportError as error:
        raise InputError(
            "labels by GPAW need gpaw, which is not installed: run scripts/install_engines.sh"
        ) from error
    return gpaw
