"""MACE models as ASE calculators, where the extra ``mace`` is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

SUFFIX = ".model"
NOT_INSTALLED = "MACE is not installed: pip install 'sse-screen[mace]' (mace-torch 0.3.16)"
_OWN_HEAD = "Default"
_NOT_READ = "{}: damaged, or cannot be read as a MACE model"


def mace_version() -> str:
    """Give the version of the installed MACE.

    Returns
    -------
    str
        Version of mace-torch.

    Raises
    ------
    InputError
        It is not installed.
    """
    if importlib.util.find_spec("mace") is None:
        raise InputError(NOT_INSTALLED)
    return version("mace-torch")


def read_mace(path: Path, device: str = "cpu") -> Any:
    """Read a MACE model.

    Parameters
    ----------
    path : Path
        Model file. It can hold code that runs when it is loaded: load only files that you trust.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    torch.nn.Module
        MACE's own model.

    Raises
    ------
    InputError
        MACE is not installed, or the file is no MACE model.
    """
    mace_version()
    import mace  # noqa: F401 - has to be imported before e3nn
    import torch

    try:
        model = torch.load(path, map_location=device, weights_only=False)
        model.atomic_numbers.tolist()
    except Exception as error:  # unpickling a file of another kind can end in any error
        raise InputError(_NOT_READ.format(path)) from error
    return model


def load_mace(path: Path, device: str) -> Calculator:
    """Load a MACE model silently.

    Parameters
    ----------
    path : Path
        Model file. It can hold code that runs when it is loaded: load only files that you trust.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    Calculator
        Energies in eV, forces in eV/Å, stress in eV/Å^3; of a model with several heads that of the labels.

    Raises
    ------
    InputError
        MACE is not installed, or the file is no MACE model.
    """
    mace_version()
    import torch

    precision = torch.get_default_dtype()
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it reports its choice of precision
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = read_mace(path, device)
            from mace.calculators import MACECalculator

            heads = list(getattr(model, "heads", None) or [])
            choice: dict[str, Any] = (
                {"head": _OWN_HEAD if _OWN_HEAD in heads else heads[-1]} if len(heads) > 1 else {}
            )
            own = next(model.parameters()).dtype
            kind = {torch.float32: "float32", torch.float64: "float64"}[own]

            class OwnPrecision(MACECalculator):
                """Computes at the model's precision and leaves that of the process alone."""

                def calculate(self, *args: Any, **options: Any) -> None:
                    """Calculate as MACE does."""
                    before = torch.get_default_dtype()
                    torch.set_default_dtype(own)
                    try:
                        super().calculate(*args, **options)  # type: ignore[no-untyped-call]
                    finally:
                        torch.set_default_dtype(before)

            return OwnPrecision(models=[model], device=device, default_dtype=kind, **choice)
    except Exception as error:  # a model of another architecture can end in any error
        raise InputError(_NOT_READ.format(path)) from error
    finally:
        logging.disable(level)
        torch.set_default_dtype(precision)  # MACE changes it, and other potentials would compute otherwise
