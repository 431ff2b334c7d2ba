"""Label structures with VASP: the inputs of two published studies, and labels from what VASP wrote.

SCAN, 520 eV, k-points 0.2 1/Å apart and 1e-5 eV are the single points of Deng et al., J. Mater. Chem. A
(2025), 10.1039/D5TA05321H; PBE, 500 eV, Γ only, no spin and 1e-4 eV those of Yang, Yin, Li, Phys. Chem. Chem.
Phys. 2025, 27, 9095. What the studies leave open is chosen here and the same for both: Gaussian smearing of
0.05 eV (tetrahedra need four k-points, and large cells have fewer), no spin, aspherical terms inside the
spheres, ``PREC = Accurate``, projectors in reciprocal space, the PBE_54 potentials of the Materials Project.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from sse_screen.documents.base import Specification
from sse_screen.documents.label import Label
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
from sse_screen.training.labelling import LabellingError, UnconvergedError

if TYPE_CHECKING:
    from emmet.core.tasks import TaskDoc
    from emmet.core.vasp.calculation import Calculation, IonicStep

_METAGGA = {"PBE": None, "SCAN": "Scan", "r2SCAN": "R2scan"}
_FUNCTIONALS = {"GGA": "PBE", "PBE": "PBE", "SCAN": "SCAN", "R2SCAN": "r2SCAN"}
#: parameters, beside functional, cutoff and k-points, that two comparable VASP energies must share
_LEVEL_PARAMETERS = ("EDIFF", "ISMEAR", "ISPIN", "LASPH", "LREAL", "PREC", "SIGMA")


class VaspSettings(Specification):
    """How VASP labels; the defaults are those of Deng 2025."""

    functional: Literal["PBE", "SCAN", "r2SCAN"] = Field("SCAN", description="Exchange and correlation")
    cutoff_eV: float = Field(520.0, gt=50, description="Plane-wave cutoff", json_schema_extra={"unit": "eV"})
    k_point_spacing_per_A: float | None = Field(
        0.2,
        gt=0,
        description="Largest distance of k-points, 2π included; null for Γ only",
        json_schema_extra={"unit": "1/angstrom"},
    )
    energy_tolerance_eV: float = Field(
        1e-5,
        gt=0,
        description="Stop when the energy changes less",
        json_schema_extra={"unit": "eV"},
    )
    spin_polarized: bool = Field(False, description="Whether spins may differ")
    smearing_eV: float = Field(
        0.05, gt=0, description="Width of the Gaussian smearing", json_schema_extra={"unit": "eV"}
    )
    maximum_steps: int = Field(200, gt=0, description="Give up after so many electronic steps")

    @classmethod
    def scan(cls) -> VaspSettings:
        """Give the settings of Deng 2025.

        Returns
        -------
        VaspSettings
            SCAN, 520 eV, 0.2 1/Å, 1e-5 eV.
        """
        return cls()

    @classmethod
    def pbe_gamma(cls) -> VaspSettings:
        """Give the settings of Yang 2025.

        Returns
        -------
        VaspSettings
            PBE, 500 eV, Γ only, no spin polarisation, 1e-4 eV.
        """
        return cls(functional="PBE", cutoff_eV=500.0, k_point_spacing_per_A=None, energy_tolerance_eV=1e-4)

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Level of theory of a run with these settings, without its pseudopotentials."""
        return LevelOfTheory(
            code="vasp",
            functional=self.functional,
            cutoff_eV=self.cutoff_eV,
            k_point_spacing_per_A=self.k_point_spacing_per_A,
            settings={
                "EDIFF": self.energy_tolerance_eV,
                "ISMEAR": 0,
                "ISPIN": 2 if self.spin_polarized else 1,
                "LASPH": True,
                "LREAL": False,
                "PREC": "accura",
                "SIGMA": self.smearing_eV,
            },
        )

    @property
    def incar_updates(self) -> dict[str, Any]:
        """INCAR entries on top of the Materials Project's static set; None removes an entry."""
        return {
            "ALGO": "Normal",
            "EDIFF": self.energy_tolerance_eV,
            "ENCUT": self.cutoff_eV,
            "GGA": "PE" if self.functional == "PBE" else None,
            "ISMEAR": 0,
            "ISPIN": 2 if self.spin_polarized else 1,
            "KSPACING": self.k_point_spacing_per_A,
            "LAECHG": False,
            "LASPH": True,
            "LCHARG": False,
            "LDAU": False,
            "LELF": False,
            "LORBIT": None,
            "LREAL": False,
            "LVHAR": None,
            "LVTOT": False,
            "LWAVE": False,
            "METAGGA": _METAGGA[self.functional],
            "NELM": self.maximum_steps,
            "PREC": "Accurate",
            "SIGMA": self.smearing_eV,
        } | ({} if self.spin_polarized else {"MAGMOM": None})


def label_from_task(task: TaskDoc | dict[str, Any], *, parent_configuration: str, source: str) -> Label:
    """Make the document of a label from a finished VASP single point.

    The level of theory is what VASP says it ran, not what was asked for.

    Parameters
    ----------
    task : emmet TaskDoc
        As atomate2's VASP jobs leave it.
    parent_configuration, source : str
        As in :class:`~sse_screen.training.labelled.LabelledStructure`.

    Returns
    -------
    Label
        Free energy, forces, and stress in ASE's sign (VASP's is kbar with the other sign).

    Raises
    ------
    UnconvergedError
        If the electronic steps did not converge: there is no label then.
    LabellingError
        If the run is no single point, or lacks forces.
    """
    from ase.units import GPa
    from emmet.core.tasks import TaskDoc

    document = task if isinstance(task, TaskDoc) else TaskDoc.model_validate(task)
    name = f"{document.formula_pretty} ({source})"
    if not document.calcs_reversed or len(document.calcs_reversed) != 1:
        raise LabellingError(f"{name}: not one VASP calculation; a label comes from one single point")
    calculation = document.calcs_reversed[0]
    step = _single_step(calculation, name)
    parameters = calculation.input.parameters if calculation.input and calculation.input.parameters else {}
    if parameters.get("PSTRESS"):
        raise LabellingError(f"{name}: PSTRESS is set, so that VASP's energy holds a term p V; unset it")
    forces, crystal = step.forces, step.structure
    if forces is None or step.e_fr_energy is None or crystal is None:
        raise LabellingError(f"{name}: VASP wrote no forces or no energy")
    stress = None if step.stress is None else -0.1 * GPa * np.array(step.stress)
    labelled = LabelledStructure(
        species=tuple(site.specie.symbol for site in crystal),
        positions=crystal.cart_coords,
        cell=crystal.lattice.matrix,
        energy_eV=step.e_fr_energy,
        forces_eV_per_A=np.array(forces),
        stress_eV_per_A3=None if stress is None else (stress + stress.T) / 2,
        level_of_theory=level_of_calculation(calculation),
        parent_configuration=parent_configuration,
        source=source,
    )
    return Label.of(
        labelled,
        energy_at_zero_smearing_eV=step.e_0_energy,
        k_points=_mesh(calculation),
        code_version=calculation.vasp_version or "unknown",
        n_electronic_steps=step.num_electronic_steps,
        cpu_time_s=_cpu_time_s(document),
    )


def level_of_calculation(calculation: Calculation) -> LevelOfTheory:
    """Read the level of theory off what VASP wrote.

    Parameters
    ----------
    calculation : emmet Calculation
        One VASP run.

    Returns
    -------
    LevelOfTheory
        With the title and the hash of each pseudopotential.

    Raises
    ------
    LabellingError
        If it does not tell its parameters.
    """
    given = calculation.input
    if given is None or not given.parameters:
        raise LabellingError("the VASP calculation does not tell its parameters")
    run_type = str(getattr(calculation.run_type, "value", calculation.run_type))
    settings = {
        name: _parameter(given.parameters[name]) for name in _LEVEL_PARAMETERS if name in given.parameters
    }
    spacing = (given.incar or {}).get("KSPACING")
    mesh = _mesh(calculation)
    if spacing is None and mesh is not None and mesh != (1, 1, 1):
        settings["k_points"] = "x".join(map(str, mesh))
    if given.is_hubbard:
        settings["hubbard_U_eV"] = json.dumps(given.hubbards, sort_keys=True)
    names = []
    for potential in given.potcar_spec or []:
        # "PAW_PBE Li_sv 10Sep2004": the element stands before the flavour
        title = potential.titel or "unknown"
        symbol = next((part.split("_")[0] for part in title.split()[1:]), title)
        names.append(f"{symbol} {title} {potential.hash or ''}".strip())
    return LevelOfTheory(
        code="vasp",
        functional=_FUNCTIONALS.get(run_type.upper(), run_type),
        cutoff_eV=given.parameters.get("ENMAX", (given.incar or {}).get("ENCUT")),
        k_point_spacing_per_A=spacing,
        pseudopotentials=tuple(names),
        settings=settings,
    )


def _single_step(calculation: Calculation, name: str) -> IonicStep:
    """Give the only step of a converged single point."""
    output, given = calculation.output, calculation.input
    steps = (output.ionic_steps if output else None) or []
    if len(steps) != 1:
        raise LabellingError(f"{name}: {len(steps)} ionic steps; a label comes from a single point")
    limit = int((given.parameters if given and given.parameters else {}).get("NELM", 60))
    done = steps[0].num_electronic_steps
    completed = str(getattr(calculation.has_vasp_completed, "value", calculation.has_vasp_completed))
    if completed != "successful" or (done is not None and done >= limit):
        raise UnconvergedError(
            f"{name}: VASP did not converge in {limit} electronic steps, so there is no label; "
            "look for atoms too near to one another, or raise maximum_steps"
        )
    return steps[0]


def _mesh(calculation: Calculation) -> tuple[int, int, int] | None:
    points = calculation.input.kpoints if calculation.input else None
    if points is None or not len(points.kpts) or len(points.kpts[0]) != 3 or points.num_kpts:
        return None
    first, second, third = (int(number) for number in points.kpts[0])
    return first, second, third


def _parameter(value: Any) -> str | float | bool:
    # VASP writes six letters of a word
    return value.strip().lower()[:6] if isinstance(value, str) else value


def _cpu_time_s(task: TaskDoc) -> float:
    for statistics in (task.run_stats or {}).values():
        if statistics.total_time:  # of one rank
            return float(statistics.total_time) * max(1, statistics.cores)
    return 0.0
