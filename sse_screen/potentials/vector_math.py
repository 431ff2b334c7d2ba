"""Elementary functions in a form that the compiler turns into vector code, and how loops are compiled.

Loops never raise (numpy's error model), which is what allows vector code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_HALF, _ONE = np.float32(0.5), np.float32(1)
_LOG2_E = np.float32(np.log2(np.e))
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUNDER = np.float32(1.5 * 2**23)
_EXP_LIMIT = np.float32(40)
_E5, _E4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3)
_E3, _E2 = np.float32(8.3334519073e-3), np.float32(4.1665795894e-2)
_E1, _E0 = np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_S2, _S1, _S0 = np.float32(-1.9515295891e-4), np.float32(8.3321608736e-3), np.float32(-1.6666654611e-1)
_C2, _C1, _C0 = (
    np.float32(2.443315711809948e-5),
    np.float32(-1.388731625493765e-3),
    np.float32(4.166664568298827e-2),
)


def compiled(function: Callable[..., Any], fastmath: bool | set[str] = False) -> Any:
    """Compile a function on its first call; keep the result on disk where that can be written.

    Parameters
    ----------
    function : callable
        What to compile.
    fastmath : bool or set of str
        Liberties that the compiler may take, as in numba.

    Returns
    -------
    callable
        The compiled function.
    """
    try:
        return njit(cache=True, error_model="numpy", fastmath=fastmath)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(error_model="numpy", fastmath=fastmath)(function)


# Reassociation is for sums only; in the functions of one number it would undo the two-step range reduction.
plain = partial(compiled, fastmath=False)
exact = partial(compiled, fastmath={"contract", "nsz"})
sums = partial(compiled, fastmath={"contract", "nsz", "reassoc"})


@intrinsic
def _power_of_two(typing_context: Any, exponent: Any) -> Any:
    """2**n of a float32 that holds an integer, by writing its exponent bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write it in LLVM's intermediate form."""
        integer = ir.IntType(32)
        bits = builder.add(builder.fptosi(arguments[0], integer), ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(bits, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), generate


@exact
def exponential(x: Any) -> Any:
    """Exp of a float32 to 2 units in the last place (polynomial of the Cephes library), limited to +-40."""
    x = x if x < _EXP_LIMIT else _EXP_LIMIT
    x = x if x > -_EXP_LIMIT else -_EXP_LIMIT
    n = (x * _LOG2_E + _ROUNDER) - _ROUNDER
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return (p * r * r + r + _ONE) * _power_of_two(n)  # type: ignore[call-arg]


@exact
def sine_cosine(phase: Any) -> Any:
    """Sine and cosine of a float64 phase, as float32 (polynomials of the Cephes library)."""
    quarter = np.floor(phase * (2 / np.pi) + 0.5)
    r = np.float32(phase - quarter * (np.pi / 2))
    turn = np.int32(quarter)
    square = r * r
    sine = ((_S2 * square + _S1) * square + _S0) * square * r + r
    cosine = ((_C2 * square + _C1) * square + _C0) * square * square - _HALF * square + _ONE
    if turn & 1:
        sine, cosine = cosine, -sine
    if turn & 2:
        sine, cosine = -sine, -cosine
    return sine, cosine
