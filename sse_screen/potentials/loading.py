"""Calculators by name."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sse_screen.exceptions import InputError
from sse_screen.potentials.classical import is_classical, load_classical
from sse_screen.potentials.mace_calculator import load_mace
from sse_screen.potentials.registry import find_potential

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from chgnet.model import CHGNet

    from sse_screen.potentials.calculator import Engine
    from sse_screen.potentials.chgnet_weights import CHGNetWeights


@contextlib.contextmanager
def _silence() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_state(path: Path) -> dict[str, Any]:
    """``model_args`` and ``state_dict`` of a CHGNet file; code hidden in the file is not run."""
    import torch

    try:
        model = torch.load(path, map_location="cpu", weights_only=True)["model"]
        return {"model_args": dict(model["model_args"]), "state_dict": dict(model["state_dict"])}
    except Exception as error:  # unpickling damaged bytes can end in any error
        raise InputError(f"{path}: damaged, or no CHGNet file") from error


def load_chgnet(path: Path) -> CHGNet:
    """Read a CHGNet file as the chgnet package's own model, silently.

    Parameters
    ----------
    path : Path
        As the chgnet package and its trainer write it.

    Returns
    -------
    CHGNet
        The model, on the CPU.

    Raises
    ------
    InputError
        Not a CHGNet file.
    """
    state = _read_state(path)
    with _silence():
        from chgnet.model import CHGNet

        return CHGNet.from_dict(state)


@lru_cache(maxsize=8)
def _weights(path: Path, sha256: str) -> CHGNetWeights:
    from sse_screen.potentials.chgnet_weights import CHGNetWeights

    model = _read_state(path)
    state = {name: tensor.numpy() for name, tensor in model["state_dict"].items()}
    try:
        return CHGNetWeights.from_state(model["model_args"], state)
    except KeyError as error:
        raise InputError(f"potential {str(path)!r}: lacks the parameter {error}") from error


def load_calculator(
    name: str, *, variant: Literal["fast", "stock"] = "fast", device: str | None = None
) -> Calculator:
    """Load a potential as an ASE calculator, silently and offline.

    Parameters
    ----------
    name : str
        One of :func:`sse_screen.potentials.known_potentials`, or the path of a fine-tuned CHGNet file or
        of a YAML file of classical parameters, or of a MACE model (these have no variants).
    variant : {"fast", "stock"}
        ``fast`` is this package's evaluation of the same model; ``stock`` the potential's own calculator.
    device : str, optional
        ``cpu``, ``cuda`` and so on; by default the GPU when there is one.

    Returns
    -------
    Calculator
        Energies in eV, forces in eV/Å, stress in eV/Å^3.

    Raises
    ------
    InputError
        Unknown name, variant or device; not a CHGNet file; an architecture unknown to the fast engine.

    Examples
    --------
    In atomate2: ``ForceFieldMDMaker(force_field_name={"@module": "sse_screen.potentials", "@callable":
    "load_calculator"}, calculator_kwargs={"name": "chgnet"})``.
    """
    if variant not in ("fast", "stock"):
        raise InputError(f"variant {variant!r}: known are 'fast' and 'stock'")
    potential = find_potential(name)
    if is_classical(name):
        from sse_screen.potentials.classical_calculator import ClassicalCalculator

        return ClassicalCalculator(load_classical(name))
    device = choose_device(device)
    if potential.identity.code == "mace":
        return load_mace(potential.path, device)
    if variant == "stock":
        with _silence():
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(load_chgnet(potential.path), use_device=device)
    from sse_screen.potentials.calculator import FastCHGNetCalculator

    return FastCHGNetCalculator(load_engine(name, device=device))


def load_engine(name: str, *, device: str | None = None) -> Engine:
    """Load the fast evaluation of a potential without a calculator around it.

    Parameters
    ----------
    name : str
        As for :func:`load_calculator`.
    device : str, optional
        As for :func:`load_calculator`; compiled loops on the CPU, torch elsewhere.

    Returns
    -------
    Engine
        Evaluates graphs.

    Raises
    ------
    InputError
        As for :func:`load_calculator`.
    """
    potential = find_potential(name)
    if is_classical(name):
        raise InputError(f"potential {name!r} is classical: only CHGNet has a batched engine")
    if potential.identity.code == "mace":
        raise InputError(f"potential {name!r} is a MACE: only CHGNet has a batched engine")
    device = choose_device(device)
    weights = _weights(potential.path, potential.identity.weights_sha256)
    if device == "cpu":
        from sse_screen.potentials.chgnet_compiled import CompiledCHGNet

        return CompiledCHGNet(weights)
    from sse_screen.potentials.chgnet_torch import TorchCHGNet

    return TorchCHGNet(weights, device)


def choose_device(device: str | None) -> str:
    """Say where a potential runs.

    Parameters
    ----------
    device : str, optional
        ``cpu``, ``cuda`` or ``cuda:<n>``; ``auto`` or nothing for a GPU when there is one.

    Returns
    -------
    str
        ``cpu``, ``cuda`` or ``cuda:<n>``.

    Raises
    ------
    InputError
        No such kind of device, or a GPU that torch does not find.
    """
    import torch

    if device is None or device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", device)
    if found is None:
        raise InputError(f"device {device!r}: known are 'cpu', 'cuda', 'cuda:<n>' and 'auto'")
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"device {device!r}: torch finds no GPU here; use 'cpu'")
    if found[1] is not None and int(found[1]) >= torch.cuda.device_count():
        raise InputError(f"device {device!r}: torch finds {torch.cuda.device_count()} GPUs here, from cuda:0")
    return device
