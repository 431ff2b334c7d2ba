"""Classical potentials: rigid ions that repel, attract by dispersion, and carry charges.

A linear many-body part may be added to them: with charges this is the form of Deng 2019 for lithium
nitride (npj Comput. Mater. 5, 75), which :mod:`sse_screen.training.linear` fits to labels.

The energy of a pair is ``A exp(-r/rho) - C/r^6 - D/r^8 + q_i q_j/r``, the last summed over all images, the
others cut off at a distance where they are shifted to zero. With D = 0 it is the Buckingham form; with D it
is that of Born, Mayer and Huggins (A includes the exponential of the radii). Parameters are YAML files, each
number with its source and whether it was confirmed there.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from ase.data import chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sse_screen.exceptions import InputError
from sse_screen.potentials.radial import RadialPart

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARY = Path(__file__).parent / "data"
SUFFIXES = (".yaml", ".yml", ".json")
_NEUTRAL_WITHIN = 1e-6


class PairParameters(BaseModel):
    """Short-range part of one pair of elements, with its source."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    species: tuple[str, str] = Field(description="The two elements")
    A_eV: float = Field(ge=0, description="Repulsion")
    rho_A: float = Field(gt=0, description="Its range")
    C_eV_A6: float = Field(0.0, description="Dipole-dipole dispersion")
    D_eV_A8: float = Field(0.0, description="Dipole-quadrupole dispersion")
    source: str = Field("", description="Where the numbers are from")
    confirmed: bool = Field(False, description="Whether they were seen in that source")


class BispectrumPart(BaseModel):
    """Many-body part: a linear function of the bispectrum components of every atom's surroundings.

    This is SNAP (Thompson 2015, J. Comput. Phys. 285, 316) with components of their own for each combination
    of elements (Cusentino 2020, J. Phys. Chem. A 124, 5456).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cutoff_A: float = Field(gt=1.0, le=8.0, description="Radius of the surroundings")
    two_j_max: int = Field(ge=2, le=10, description="Twice the largest angular momentum, even")
    coefficients_eV: dict[str, tuple[float, ...]] = Field(
        description="By element: its constant energy, then one coefficient a component"
    )

    @property
    def elements(self) -> list[str]:
        """Elements, alphabetical: the order of the components."""
        return sorted(self.coefficients_eV)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        expected = 1 + n_components(self.two_j_max, len(self.coefficients_eV))
        for element, coefficients in self.coefficients_eV.items():
            if len(coefficients) != expected:
                raise ValueError(
                    f"coefficients_eV: {element} has {len(coefficients)} numbers instead of {expected}"
                )
        return self


def n_components(two_j_max: int, n_elements: int) -> int:
    """Count the bispectrum components of an atom.

    Parameters
    ----------
    two_j_max : int
        Twice the largest angular momentum.
    n_elements : int
        Elements.

    Returns
    -------
    int
        Components j1 >= j2, j >= j1 of Thompson 2015, for every ordered triple of elements.
    """
    triples = sum(
        1
        for j1 in range(two_j_max + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(two_j_max, j1 + j2) + 1, 2)
        if j >= j1
    )
    return triples * n_elements**3


class ClassicalPotential(BaseModel):
    """Charges, pairs and, where there are any, linear two-body and many-body parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field("unnamed", pattern=r"^[A-Za-z0-9_.-]+$", description="Name in campaigns")
    description: str = Field("", description="For what it is made")
    cutoff_A: float = Field(
        10.0, gt=2.0, le=20.0, description="Where the short-range part ends, shifted to zero energy there"
    )
    charges: dict[str, float] = Field(description="Charge by element in units of e")
    pairs: tuple[PairParameters, ...] = Field((), description="Pairs left out have no short-range part")
    radial: RadialPart | None = Field(None, description="Linear two-body part")
    many_body: BispectrumPart | None = Field(None, description="Linear many-body part")
    element_energies_eV: dict[str, float] = Field(
        {}, description="Constant energy by element, beside that of the many-body part; 0 when left out"
    )
    references: tuple[str, ...] = Field((), description="Publications")

    @model_validator(mode="after")
    def _elements_and_each_pair_once(self) -> Self:
        if nonsense := sorted(set(self.charges) - set(chemical_symbols[1:])):
            raise ValueError(f"charges: {', '.join(nonsense)} is no element; write symbols, such as Li")
        pairs = [tuple(sorted(pair.species)) for pair in self.pairs]
        doubled = sorted({"-".join(pair) for pair in pairs if pairs.count(pair) > 1})
        if doubled:
            raise ValueError(f"pairs: {', '.join(doubled)} is given twice")
        unknown = sorted({element for pair in pairs for element in pair} - set(self.charges))
        if unknown:
            raise ValueError(f"pairs: {', '.join(unknown)} has no charge in charges")
        if self.radial is not None:
            named = {element for pair in self.radial.coefficients_eV for element in pair.split("-")}
            if unknown := sorted(named - set(self.charges)):
                raise ValueError(f"radial: {', '.join(unknown)} has no charge in charges")
        if self.many_body is not None and self.many_body.elements != sorted(self.charges):
            raise ValueError("many_body: its elements are not those of charges")
        return self

    @property
    def parameters_sha256(self) -> str:
        """Hash of :attr:`canonical_bytes`."""
        return hashlib.sha256(self.canonical_bytes).hexdigest()

    @property
    def canonical_bytes(self) -> bytes:
        """A file with all numbers that fix the energy, and nothing else, in one order."""
        numbers = ("A_eV", "rho_A", "C_eV_A6", "D_eV_A8")
        pairs = [
            {"species": sorted(p.species)} | {n: float(getattr(p, n)) for n in numbers} for p in self.pairs
        ]
        content: dict[str, Any] = {
            "charges": {element: float(charge) for element, charge in self.charges.items()},
            "pairs": sorted(pairs, key=lambda pair: pair["species"]),
            "cutoff_A": float(self.cutoff_A),
        }
        for name in ("radial", "many_body"):
            part = getattr(self, name)
            if part is not None:
                content[name] = part.model_dump(mode="json")
        if self.element_energies_eV:
            content["element_energies_eV"] = self.element_energies_eV
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def unconfirmed(self) -> list[str]:
        """Pairs whose numbers were not seen in their source."""
        return ["-".join(pair.species) for pair in self.pairs if not pair.confirmed]

    @property
    def without_charges(self) -> ClassicalPotential:
        """The same short range and many-body part between neutral atoms."""
        return self.model_copy(update={"charges": dict.fromkeys(self.charges, 0.0)})

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
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return ClassicalPotential.model_validate(content)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"potential {path}: not a YAML or JSON file: {error}") from None
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
