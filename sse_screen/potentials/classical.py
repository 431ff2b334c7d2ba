"""Classical potentials: rigid ions that repel, attract by dispersion, and carry charges.

The energy of a pair is ``A exp(-r/rho) - C/r^6 - D/r^8 + q_i q_j/r``, the last summed over all images, the
others cut off at a distance where they are shifted to zero. With D = 0 it is the Buckingham form; with D it
is that of Born, Mayer and Huggins (A includes the exponential of the radii). Parameters are YAML files, each
number with its source and whether it was confirmed there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sse_screen.documents.base import content_hash
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARY = Path(__file__).parent / "data"
SUFFIXES = (".yaml", ".yml")
_NEUTRAL_WITHIN = 1e-6


class PairParameters(BaseModel):
    """Short-range part of one pair of elements, with its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    species: tuple[str, str] = Field(description="The two elements")
    A_eV: float = Field(ge=0, description="Repulsion")
    rho_A: float = Field(gt=0, description="Its range")
    C_eV_A6: float = Field(0.0, description="Dipole-dipole dispersion")
    D_eV_A8: float = Field(0.0, description="Dipole-quadrupole dispersion")
    source: str = Field(min_length=1, description="Where the numbers are from")
    confirmed: bool = Field(description="Whether they were seen in that source")


class ClassicalPotential(BaseModel):
    """Charges and pairs of a rigid-ion potential."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Name in campaigns")
    description: str = Field(description="For what it is made")
    cutoff_A: float = Field(
        10.0, gt=2.0, le=20.0, description="Where the short-range part ends, shifted to zero energy there"
    )
    charges: dict[str, float] = Field(description="Charge by element in units of e")
    pairs: tuple[PairParameters, ...] = Field(description="Pairs left out have no short-range part")
    references: tuple[str, ...] = Field((), description="Publications")

    @model_validator(mode="after")
    def _each_pair_once(self) -> Self:
        pairs = [tuple(sorted(pair.species)) for pair in self.pairs]
        doubled = sorted({"-".join(pair) for pair in pairs if pairs.count(pair) > 1})
        if doubled:
            raise ValueError(f"pairs: {', '.join(doubled)} is given twice")
        unknown = sorted({element for pair in pairs for element in pair} - set(self.charges))
        if unknown:
            raise ValueError(f"pairs: {', '.join(unknown)} has no charge in charges")
        return self

    @property
    def parameters_sha256(self) -> str:
        """Hash of all numbers that fix the energy, and of nothing else."""
        pairs = sorted(
            [*sorted(p.species), float(p.A_eV), float(p.rho_A), float(p.C_eV_A6), float(p.D_eV_A8)]
            for p in self.pairs
        )
        charges = {element: float(charge) for element, charge in self.charges.items()}
        return content_hash({"charges": charges, "pairs": pairs, "cutoff_A": self.cutoff_A})

    @property
    def unconfirmed(self) -> list[str]:
        """Pairs whose numbers were not seen in their source."""
        return ["-".join(pair.species) for pair in self.pairs if not pair.confirmed]

    def check(self, symbols: Iterable[str]) -> None:
        """Refuse a crystal that the potential cannot describe.

        Parameters
        ----------
        symbols : iterable of str
            Element of every atom.

        Raises
        ------
        InputError
            An element without parameters, or a charged cell.
        """
        symbols = list(symbols)
        missing = sorted(set(symbols) - set(self.charges))
        if missing:
            raise InputError(
                f"potential {self.name!r} has no parameters for {', '.join(missing)}; it covers "
                f"{', '.join(sorted(self.charges))}"
            )
        charge = sum(self.charges[symbol] for symbol in symbols)
        if abs(charge) > _NEUTRAL_WITHIN:
            raise InputError(
                f"potential {self.name!r}: its charges leave the cell with {charge:+g} e; give a cell of "
                "neutral composition"
            )


def classical_names() -> list[str]:
    """List the potentials of the library.

    Returns
    -------
    list of str
        Names.
    """
    return sorted(path.stem for path in _LIBRARY.glob("*.yaml"))


def is_classical(name: str) -> bool:
    """Tell whether a name is that of a classical potential.

    Parameters
    ----------
    name : str
        Name in the library, or the path of a YAML file.

    Returns
    -------
    bool
        By the name alone; the file is not read.
    """
    return name in classical_names() or Path(name).suffix in SUFFIXES


def classical_path(name: str) -> Path:
    """Give the file of a classical potential.

    Parameters
    ----------
    name : str
        Name in the library, or the path of a YAML file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        When there is no such file.
    """
    path = _LIBRARY / f"{name}.yaml" if name in classical_names() else Path(name).expanduser()
    if not path.is_file():
        raise InputError(
            f"potential {name!r}: no such file; give the path of a YAML file of parameters or one of "
            f"{', '.join(classical_names())}"
        )
    return path


@lru_cache(maxsize=32)
def _read(path: Path, _modified_ns: int) -> ClassicalPotential:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return ClassicalPotential.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"potential {path}: not a YAML file: {error}") from None
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise InputError(f"potential {path}: " + "; ".join(lines)) from None


def load_classical(name: str) -> ClassicalPotential:
    """Read a classical potential.

    Parameters
    ----------
    name : str
        Name in the library, or the path of a YAML file.

    Returns
    -------
    ClassicalPotential
        Checked parameters.

    Raises
    ------
    InputError
        Naming file, field and fault.
    """
    path = classical_path(name)
    return _read(path.resolve(), path.stat().st_mtime_ns)
