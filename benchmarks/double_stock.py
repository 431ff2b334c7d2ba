"""The stock CHGNet in double precision: the reference that rounding does not touch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import chgnet.graph.converter
import chgnet.graph.crystalgraph
import chgnet.model.model
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator

from sse_screen.potentials import load_calculator

Evaluation = TypeVar("Evaluation")


@contextmanager
def _double_precision() -> Iterator[None]:
    modules = (chgnet.graph.converter, chgnet.graph.crystalgraph, chgnet.model.model)
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    for module in modules:
        module.TORCH_DTYPE = torch.float64
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(previous)
        for module in modules:
            module.TORCH_DTYPE = torch.float32


def double_evaluator(
    name: str, evaluate: Callable[[Calculator, Atoms], Evaluation]
) -> Callable[[Atoms], Evaluation]:
    """Give what evaluates a crystal by the stock model in double precision.

    Parameters
    ----------
    name : str
        A CHGNet, as in :func:`sse_screen.potentials.load_calculator`.
    evaluate : callable
        Takes a calculator and a crystal, which is not to be changed.

    Returns
    -------
    callable
        Takes a crystal and gives what `evaluate` gives.
    """
    calculator = load_calculator(name, variant="stock", device="cpu")
    calculator.model.double()
    calculator.model.composition_model.float()

    def evaluate_double(atoms: Atoms) -> Evaluation:
        with _double_precision():
            return evaluate(calculator, atoms)

    return evaluate_double
