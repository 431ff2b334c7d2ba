"""Potentials by name: where their weights are and who they are."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sse_screen.documents.base import PotentialIdentity
from sse_screen.exceptions import InputError
from sse_screen.potentials.classical import (
    ClassicalPotential,
    classical_names,
    classical_path,
    is_classical,
    load_classical,
)
from sse_screen.potentials.lammps_library import NOT_INSTALLED
from sse_screen.potentials.mace_calculator import SUFFIX as MACE_SUFFIX
from sse_screen.potentials.mace_calculator import mace_version

DEFAULT_CHGNET = "0.3.0"
_CHGNET_FILES = {
    "chgnet": (
        DEFAULT_CHGNET,
        "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "PBE and PBE+U (MPtrj, Materials Project settings)",
    ),
    "chgnet-r2scan": (
        "r2scan",
        "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "r2SCAN (MP-r2SCAN, transfer learning from MPtrj)",
    ),
}


@dataclass(frozen=True)
class PotentialFile:
    """A potential's weights on disk.

    Attributes
    ----------
    path : Path
        The file.
    identity : PotentialIdentity
        Who it is.
    """

    path: Path
    identity: PotentialIdentity


def known_potentials() -> list[str]:
    """List the names that need no file.

    Returns
    -------
    list of str
        Names for :func:`resolve_potential` and :func:`sse_screen.potentials.load_calculator`.
    """
    return sorted([*_CHGNET_FILES, *classical_names()])


def bundled_models() -> list[str]:
    """List the learnt models whose weights come with a package.

    Returns
    -------
    list of str
        Names.
    """
    return sorted(_CHGNET_FILES)


@lru_cache(maxsize=64)
def _sha256(path: Path, modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_potential(name: str) -> PotentialFile:
    """Find a potential's weights.

    Parameters
    ----------
    name : str
        One of :func:`known_potentials`, or the path of a fine-tuned CHGNet file or of a YAML file of
        classical parameters.

    Returns
    -------
    PotentialFile
        Path and identity.

    Raises
    ------
    InputError
        No such name and no such file.
    """
    model_version: str | None
    level_of_theory: str | None
    if is_classical(name):
        return _classical(name)
    if name in _CHGNET_FILES:
        model_version, relative, level_of_theory = _CHGNET_FILES[name]
        package = importlib.util.find_spec("chgnet")
        if package is None or not package.submodule_search_locations:
            raise InputError("potential 'chgnet': the chgnet package is not installed; pip install chgnet")
        path = Path(package.submodule_search_locations[0]) / "pretrained" / relative
    else:
        path, model_version, level_of_theory = Path(name).expanduser(), None, None
        if not path.is_file():
            raise InputError(
                f"potential {name!r}: neither a known name ({', '.join(known_potentials())}) "
                "nor a file; check the spelling or give the path of a CHGNet file (or a MACE model, .model)"
            )
    is_mace = path.suffix == MACE_SUFFIX
    identity = PotentialIdentity(
        name=name,
        code="mace" if is_mace else "chgnet",
        code_version=mace_version() if is_mace else version("chgnet"),
        model_version=model_version,
        weights_sha256=_sha256(path.resolve(), path.stat().st_mtime_ns),
        level_of_theory=level_of_theory,
    )
    return PotentialFile(path=path, identity=identity)


def _classical(name: str) -> PotentialFile:
    potential = load_classical(name)
    try:
        code_version = version("lammps")
    except PackageNotFoundError:
        raise InputError(f"potential {name!r}: {NOT_INSTALLED}") from None
    identity = PotentialIdentity(
        name=name,
        code="lammps",
        code_version=code_version,
        model_version=potential.name,
        weights_sha256=potential.parameters_sha256,
        level_of_theory="classical, rigid ions",
        elements=sorted(potential.charges),
        warnings=_warnings(potential),
    )
    return PotentialFile(path=classical_path(name), identity=identity)


def _warnings(potential: ClassicalPotential) -> list[str]:
    if not (unconfirmed := potential.unconfirmed):
        return []
    pairs = ", ".join(unconfirmed)
    return [f"potential {potential.name!r}: the numbers of {pairs} were not confirmed in their source"]


def resolve_potential(name: str) -> PotentialIdentity:
    """Say who a potential is, without loading it.

    Parameters
    ----------
    name : str
        One of :func:`known_potentials`, or the path of a fine-tuned CHGNet file or of a YAML file of
        classical parameters.

    Returns
    -------
    PotentialIdentity
        Code, versions and sha256 of the weights file.

    Raises
    ------
    InputError
        No such name and no such file.
    """
    return find_potential(name).identity
